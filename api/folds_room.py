"""Room for answers that fold a long history again: few at a time, of whoever asks.

Each takes seconds of the processor and of a database connection, and costs who asks for it nothing.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.in_use import release
from api.problems import limit_reached, overloaded, unavailable

MOST = 12  # in this process,
MOST_OF_ORG = 4  # of one organisation,
MOST_OF_LOGIN = 2  # and of one login
MOST_S = 10.0  # for one
RETRY_AFTER_S = 1


class FoldsRoom:
    """Made once for each process."""

    def __init__(self) -> None:
        self._orgs: Counter[str] = Counter()
        self._logins: Counter[tuple[str, str]] = Counter()

    @property
    def used(self) -> int:
        """Answers that are made now."""
        return self._orgs.total()

    @asynccontextmanager
    async def enter(self, org: str, login: str) -> AsyncIterator[None]:
        """For as long as a history is folded. Raises Problem: 429, 503 where there is no room, 503 after `MOST_S`."""
        who = org, login
        for whose, used, most in (
            ("login", self._logins[who], MOST_OF_LOGIN),
            ("organisation", self._orgs[org], MOST_OF_ORG),
        ):
            if used >= most:
                detail = f"One {whose} may have {most} answers from the past made at a time."
                raise limit_reached("too_many_past_answers", detail, most, RETRY_AFTER_S)
        if self.used >= MOST:
            raise overloaded()
        self._orgs[org] += 1
        self._logins[who] += 1
        try:
            async with asyncio.timeout(MOST_S):
                yield
        except TimeoutError:
            raise unavailable() from None
        finally:
            release(self._orgs, org)
            release(self._logins, who)
