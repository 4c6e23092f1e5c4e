"""What live streams need in a process: its reader of the log, tickets, room for listeners, and an end."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from api.live.tail import LogTail
from api.problems import Problem
from api.services import Services
from infra.security.principal import Principal
from infra.security.stream_tickets import StreamTickets

MOST_STREAMS = 2_000  # in this process
MOST_OF_ORG = 1_000  # of one organisation: half, so that the others have room
MOST_OF_ONE = 50  # of one login: a browser has six connections, a display of many screens has more


class Live:
    """Made once for each process. `closing` is set when the process stops, so that no stream holds it up."""

    def __init__(self, services: Services) -> None:
        self.tail = LogTail(services)
        self.tickets = StreamTickets(services.writes)
        self.closing = asyncio.Event()
        self._all = 0
        self._open: Counter[tuple[str, str]] = Counter()  # by organisation and login, and by organisation

    @contextmanager
    def room(self, principal: Principal) -> Iterator[None]:
        """Count a stream while it is open. Raises Problem (429, 503) where there are too many."""
        who, org = (principal.org, principal.actor), (principal.org, "")  # no actor is without a name
        for counted, whose, most in ((who, "login", MOST_OF_ONE), (org, "organisation", MOST_OF_ORG)):
            if self._open[counted] >= most:
                raise Problem(
                    429,
                    "too_many_streams",
                    f"One {whose} may have {most:,} live streams at a time.",
                    limit=most,
                    headers={"Retry-After": "10"},
                )
        if self._all >= MOST_STREAMS:
            raise Problem(503, "overloaded", "Too many live streams are open.", headers={"Retry-After": "10"})
        self._all += 1
        self._open.update((who, org))
        try:
            yield
        finally:
            self._all -= 1
            for each in (who, org):
                self._open[each] -= 1
                if not self._open[each]:
                    del self._open[each]

    async def close(self) -> None:
        """End all streams and stop following the log."""
        self.closing.set()
        await self.tail.close()
