"""Room for bodies beyond the usual limit: who sends many of them, or sends them slowly, fills no memory with them.

Only bytes that have come are counted, not the length that a head announces: a caller who sends heads without bodies
takes no room from others.
"""

from api.fair_share import Bounds, Shares

MAX_BYTES = 33_554_432  # of large bodies that are read or worked on, in this process,
MAX_OF_ORG = 16_777_216  # of one organisation,
MAX_OF_LOGIN = 8_388_608  # and of one login
LITTLE_OF_ORG, LITTLE_OF_LOGIN = 1_048_576, 262_144  # who has no more is served while others fill what all have
RETRY_AFTER_S = 1
ROOM = "scrip.room"


class Room:
    """One request's part of it."""

    __slots__ = ("_all", "_taken", "login", "org")

    def __init__(self, all_: "LargeBodies") -> None:
        self._all, self._taken = all_, 0
        self.org = self.login = ""

    def look(self, announced: int) -> None:
        """Before a body of so many bytes is read. Raises Problem (429, 503) where there is no room for it now."""
        self._all.check(self.org, self.login, announced)

    def take(self, size: int) -> None:
        """Count a body of which `size` bytes have come so far. Raises Problem (429, 503) where there is no room."""
        self._all.take(self.org, self.login, size - self._taken)
        self._taken = size

    def leave(self) -> None:
        """At the request's end."""
        if self._taken:
            self._all.give_back(self.org, self.login, self._taken)
            self._taken = 0


def _bounds() -> Bounds:
    detail = "The requests of one {whose} may have {most:,} bytes of large bodies at a time."
    return Bounds(
        *(MAX_OF_LOGIN, MAX_OF_ORG, MAX_BYTES), "too_many_large_bodies", detail, RETRY_AFTER_S,
        little_of_login=LITTLE_OF_LOGIN, little_of_org=LITTLE_OF_ORG,
    )  # fmt: skip


class LargeBodies(Shares):
    """The bytes of large bodies, until their requests are answered. Made once for each process."""

    def __init__(self) -> None:
        super().__init__(_bounds)
