"""What a listener may see, and what they asked for."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from api.database import Row
from api.live.entry import Entry
from api.services import Services
from domain.groups.state import MEMBERSHIPS
from domain.groups.state import PREFIX as GROUP
from infra.security.principal import Principal, Role

_JOINED, _LEFT = "group-joined.v1", "group-left.v1"
_MEMBERSHIPS = """
    select type, data from events where org = %(org)s and stream = %(stream)s and position <= %(position)s
    order by version"""


class Wanted(NamedTuple):
    """`types`: names of event types, with or without their version; `stream`: one, or the start of many, ending in `/`.

    Empty for all.
    """

    types: frozenset[str] = frozenset()
    stream: str = ""

    def includes(self, entry: Entry) -> bool:
        """Whether the listener asked for the event."""
        if self.types and not {entry.type, entry.type.rpartition(".")[0]} & self.types:
            return False
        return self.stream in ("", entry.stream) or (self.stream.endswith("/") and entry.stream.startswith(self.stream))


class Viewer:
    """Decides event by event, in the log's order: a user's groups change on the way. `groups`: those at the start."""

    def __init__(self, principal: Principal, wanted: Wanted, groups: Iterable[str] = ()) -> None:
        self._user = principal.sub if principal.role is Role.USER else None
        self._wanted = wanted
        self._groups = set(groups)

    def data(self, entry: Entry) -> bytes | None:
        """What to send of the event; none where it is not for this listener."""
        if self._user is None:
            return entry.whole if self._wanted.includes(entry) else None
        if entry.stream == MEMBERSHIPS + self._user:
            _move(self._groups, entry.type, entry.group)
        own = entry.group in self._groups if entry.stream.startswith(GROUP) else entry.user == self._user
        return entry.own if own and self._wanted.includes(entry) else None


async def groups_at(services: Services, principal: Principal, position: int) -> set[str]:
    """The groups that a user was in when the log stood at `position`; none for other roles. Raises psycopg.Error."""
    found: set[str] = set()
    if principal.role is Role.USER:
        stream = MEMBERSHIPS + principal.sub
        asked = {"org": principal.org, "stream": stream, "position": position}
        for row in await services.rows(_MEMBERSHIPS, asked):
            _move(found, row["type"], _group_in(row))
    return found


def _group_in(row: Row) -> str:
    group: str = msgspec.json.decode(row["data"])["data"]["group_id"]
    return group


def _move(groups: set[str], type_: str, group: str | None) -> None:
    if group is not None and type_ == _JOINED:
        groups.add(group)
    elif group is not None and type_ == _LEFT:
        groups.discard(group)
