"""What live streams need in a process: its reader of the log, tickets, room for listeners, and an end."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from api.fair_share import fits
from api.in_use import release
from api.live.tail import LogTail
from api.problems import Problem, limit_reached
from api.services import Services
from infra.security.principal import Principal
from infra.security.stream_tickets import StreamTickets

MOST_STREAMS = 2_000  # in this process
MOST_OF_ORG = 1_000  # of one organisation: half, so that the others have room
MOST_OF_ONE = 50  # of one login: a browser has six connections, a display of many screens has more
LITTLE_OF_ORG, LITTLE_OF_ONE = 50, 6  # who has no more is let in while others fill what all have
RETRY_AFTER_S = 10


class Live:
    """Made once for each process. `closing` is set when the process stops, so that no stream holds it up."""

    def __init__(self, services: Services) -> None:
        self.tail = LogTail(services)
        self.tickets = StreamTickets(services.writes)
        self.closing = asyncio.Event()
        self._of_logins: Counter[tuple[str, str]] = Counter()
        self._of_orgs: Counter[str] = Counter()

    @property
    def streams(self) -> int:
        """How many are open."""
        return self._of_orgs.total()

    @contextmanager
    def room(self, principal: Principal) -> Iterator[None]:
        """Count a stream while it is open. Raises Problem (429, 503) where there are too many."""
        org, who = principal.org, (principal.org, principal.actor)
        of_login, of_org = self._of_logins[who] + 1, self._of_orgs[org] + 1
        if of_login > MOST_OF_ONE:
            raise _too_many("login", MOST_OF_ONE)
        if not fits(of_login, LITTLE_OF_ONE, of_org, MOST_OF_ORG):
            raise _too_many("organisation", MOST_OF_ORG)
        if not fits(of_org, LITTLE_OF_ORG, self.streams + 1, MOST_STREAMS):
            headers = {"Retry-After": str(RETRY_AFTER_S)}
            raise Problem(503, "overloaded", "Too many live streams are open.", headers=headers)
        self._of_logins[who] += 1
        self._of_orgs[org] += 1
        try:
            yield
        finally:
            release(self._of_logins, who)
            release(self._of_orgs, org)

    async def close(self) -> None:
        """End all streams and stop following the log."""
        self.closing.set()
        await self.tail.close()


def _too_many(whose: str, most: int) -> Problem:
    return limit_reached(
        "too_many_streams", f"One {whose} may have {most:,} live streams at a time.", most, RETRY_AFTER_S
    )
