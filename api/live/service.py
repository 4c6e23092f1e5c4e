"""What live streams need in a process: its reader of the log, tickets, room for listeners, and an end."""

import asyncio
from contextlib import AbstractContextManager

from api.fair_share import Bounds, Shares
from api.live.tail import LogTail
from api.problems import Problem
from api.services import Services
from infra.security.principal import Principal
from infra.security.stream_tickets import StreamTickets

MOST_STREAMS = 2_000  # in this process
MOST_OF_ORG = 1_000  # of one organisation: half, so that the others have room
MOST_OF_ONE = 50  # of one login: a browser has six connections, a display of many screens has more
LITTLE_OF_ORG, LITTLE_OF_ONE = 50, 6  # who has no more is let in while others fill what all have
RETRY_AFTER_S = 10


def _bounds() -> Bounds:
    detail = "One {whose} may have {most:,} live streams at a time."
    return Bounds(
        *(MOST_OF_ONE, MOST_OF_ORG, MOST_STREAMS), "too_many_streams", detail, RETRY_AFTER_S,
        little_of_login=LITTLE_OF_ONE, little_of_org=LITTLE_OF_ORG, full=_full,
    )  # fmt: skip


def _full() -> Problem:
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return Problem(503, "overloaded", "Too many live streams are open.", headers=headers)


class Live:
    """Made once for each process. `closing` is set when the process stops, so that no stream holds it up."""

    def __init__(self, services: Services) -> None:
        self.tail = LogTail(services)
        self.tickets = StreamTickets(services.writes)
        self.closing = asyncio.Event()
        self._shares = Shares(_bounds)

    @property
    def streams(self) -> int:
        """How many are open."""
        return self._shares.taken

    def room(self, principal: Principal) -> AbstractContextManager[None]:
        """Count a stream while it is open. Raises Problem (429, 503) where there are too many."""
        return self._shares.held(principal.org, principal.actor)

    async def close(self) -> None:
        """End all streams and stop following the log."""
        self.closing.set()
        await self.tail.close()
