"""Room for bodies beyond the usual limit: who sends many of them, or sends them slowly, fills no memory with them."""

from collections import Counter

from starlette.types import ASGIApp, Receive, Scope, Send

from api.fields import MAX_BODY
from api.in_use import release
from api.problems import limit_reached, overloaded

MAX_BYTES = 33_554_432  # of large bodies that are read or worked on, in this process,
MAX_OF_ORG = 16_777_216  # and of one organisation
RETRY_AFTER_S = 1
_ROOM = "scrip.room"


def around(large_bodies: "LargeBodies", app: ASGIApp, limit: int) -> ASGIApp:
    """An app whose bodies may have up to `limit` bytes: what one takes up is given back when it has ended."""
    if limit <= MAX_BODY:
        return app

    async def within(scope: Scope, receive: Receive, send: Send) -> None:
        room = scope[_ROOM] = Room(large_bodies, limit)
        try:
            await app(scope, receive, send)
        finally:
            room.leave()

    return within


class Room:
    """One request's part of it. `limit`: the most that its body may have."""

    __slots__ = ("_all", "_limit", "_taken", "org")

    def __init__(self, all_: "LargeBodies", limit: int) -> None:
        self._all, self._limit, self._taken = all_, limit, 0
        self.org = ""

    def take(self, announced: int | None) -> None:
        """Before more than usual of a body is read; what is announced, or else the most. Raises Problem (429, 503)."""
        if not self._taken:
            size = self._limit if announced is None else announced
            self._all.take(self.org, size)
            self._taken = size

    def leave(self) -> None:
        """At the request's end."""
        if self._taken:
            self._all.give_back(self.org, self._taken)
            self._taken = 0


class LargeBodies:
    """What large bodies take up, until their requests are answered. Made once for each process."""

    def __init__(self) -> None:
        self._bytes = 0
        self._of: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        """Bytes that large bodies take up now."""
        return self._bytes

    def take(self, org: str, size: int) -> None:
        """Raises Problem (429, 503) where there is no room."""
        if self._of[org] + size > MAX_OF_ORG:
            detail = f"The organisation's requests may have {MAX_OF_ORG:,} bytes of large bodies at a time."
            raise limit_reached("too_many_large_bodies", detail, MAX_OF_ORG, RETRY_AFTER_S)
        if self._bytes + size > MAX_BYTES:
            raise overloaded()
        self._bytes += size
        self._of[org] += size

    def room(self, scope: Scope, org: str) -> Room | None:
        """The room of a request, for its organisation; none where it may have no large body."""
        room: Room | None = scope.get(_ROOM)
        if room is not None:
            room.org = org
        return room

    def give_back(self, org: str, size: int) -> None:
        """The request is answered."""
        self._bytes -= size
        release(self._of, org, size)
