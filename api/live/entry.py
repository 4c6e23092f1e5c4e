"""An event as live streams tell it: its place in the log, whom it is about, and the figures that displays need."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from functools import cached_property
from typing import Any

import msgspec

from domain.credits.address import STREAM_PREFIX, address_of, parse_address
from domain.credits.events import Slice
from domain.generations.events import Charge, Quoted
from domain.groups.state import MEMBERSHIPS
from domain.groups.state import PREFIX as GROUP
from domain.registry import SCRIP
from infra.log.mapper import LedgerMapper, UnknownEventType
from infra.position import format_position

_codec = LedgerMapper.of(SCRIP)
_NOT_TOLD = frozenset({"sealed", "user"})
_OF_PEOPLE = frozenset({"ref", "generation_id"})  # on a group's stream: whose work it was is not every member's to know


class Entry:
    """One event of the log. `owner`: the user of the generation or purchase that it is about, where it has one."""

    def __init__(self, row: dict[str, Any], owner: str | None = None) -> None:
        self.position: int = row["position"]
        self.org: str = row["org"]
        self.stream: str = row["stream"]
        self.type: str = row["type"]
        self.size: int = row["size"]  # of its stored bytes
        self._time: datetime = row["time"]
        self._actor: str = row["actor"]
        self._event = _decoded(row["type"], bytes(row["data"]))
        self.user = getattr(self._event, "user", None) or owner or _user_of(self.stream)

    @property
    def group(self) -> str | None:
        """The group that was joined or left, or whose stream this is."""
        if self.stream.startswith(GROUP):
            return self.stream.removeprefix(GROUP)
        return getattr(self._event, "group_id", None)

    @cached_property
    def whole(self) -> bytes:
        """The data for those who see all of the organisation."""
        about = {"user": self.user, "account": self._account, "actor": self._actor}
        return msgspec.json.encode(self._place | about | {"figures": figures(self._event)})

    @cached_property
    def own(self) -> bytes:
        """The data for a user; of a group's, what names nobody."""
        if self.stream.startswith(GROUP):
            told = {name: value for name, value in figures(self._event).items() if name not in _OF_PEOPLE}
            return msgspec.json.encode(self._place | {"user": None, "account": None, "figures": told})
        about = {"user": self.user, "account": self._account}
        return msgspec.json.encode(self._place | about | {"figures": figures(self._event)})

    @property
    def _account(self) -> str | None:
        return address_of(self.stream) if self.stream.startswith(STREAM_PREFIX) else None

    @property
    def _place(self) -> dict[str, Any]:
        return {
            "position": format_position(self.position),
            "type": self.type,
            "stream": self.stream,
            "time": self._time,
        }


def figures(event: Any) -> dict[str, Any]:
    """What a display needs of an event: its plain values, grants and charges added up. Never a sealed text.

    Amounts are in the unit of the event's stream, times RFC 3339. Empty for an event that this version does not know.
    """
    told: dict[str, Any] = {}
    for field in fields(event) if event is not None else ():
        value = getattr(event, field.name)
        if field.name in _NOT_TOLD or value is None:
            continue
        if isinstance(value, str | int | datetime):
            told[field.name] = value
        elif isinstance(value, Slice):
            told |= {"grant_id": value.grant, "amount": value.amount, "expires_at": value.expires_at}
        elif isinstance(value, Quoted):
            told[field.name] = {name: amount for name, amount in value._asdict().items() if amount}
        elif isinstance(value, dict):
            told |= {field.name: value} if all(type(amount) is int for amount in value.values()) else {}
        elif isinstance(value, tuple) and field.name != "slices":
            told |= _summed(field.name, value)
    return told


def _summed(name: str, values: Sequence[Any]) -> dict[str, Any]:
    first = values[0] if values else None
    if isinstance(first, Slice):
        return {name: sum(part.amount for part in values)}
    if isinstance(first, Charge):
        total: Counter[str] = Counter()
        for charge in values:
            total.update(charge.amounts)
        return {name: dict(total)}
    return {}


def _decoded(type_: str, data: bytes) -> Any:
    try:
        return _codec.decode(type_, data)
    except UnknownEventType:  # a newer process wrote it: its place is told, its figures are not
        return None


def _user_of(stream: str) -> str | None:
    """The user whose stream this is, for the kinds that are a user's."""
    if stream.startswith(STREAM_PREFIX):
        owner_type, owner_id, _ = parse_address(address_of(stream))
        return owner_id if owner_type == "user" else None
    kind, slash, id_ = stream.partition("/")
    return id_ if kind + slash in _OF_USERS else None


_OF_USERS = frozenset({"storage/", "budget/", MEMBERSHIPS})
