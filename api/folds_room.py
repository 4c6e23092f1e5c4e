"""Room for answers that fold a long history again: only a few are made at a time.

Each takes seconds of the processor and of a database connection, and costs who asks for it nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.fair_share import Bounds, Shares
from api.problems import unavailable

MOST = 12  # in this process,
MOST_OF_ORG = 4  # of one organisation,
MOST_OF_LOGIN = 2  # and of one login
MOST_S = 10.0  # for one
RETRY_AFTER_S = 1


def _bounds() -> Bounds:
    detail = "One {whose} may have {most} answers from the past made at a time."
    return Bounds(MOST_OF_LOGIN, MOST_OF_ORG, MOST, "too_many_past_answers", detail, RETRY_AFTER_S)


class FoldsRoom:
    """Made once for each process."""

    def __init__(self) -> None:
        self._shares = Shares(_bounds)

    @property
    def used(self) -> int:
        """Answers that are made now."""
        return self._shares.taken

    @asynccontextmanager
    async def enter(self, org: str, login: str) -> AsyncIterator[None]:
        """For as long as a history is folded. Raises Problem: 429, 503 where there is no room, 503 after `MOST_S`."""
        with self._shares.held(org, login):
            try:
                async with asyncio.timeout(MOST_S):
                    yield
            except TimeoutError:
                raise unavailable() from None
