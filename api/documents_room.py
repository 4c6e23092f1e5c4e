"""Documents to print are made one after the other, in a thread of their own, and few wait.

One takes the processor for seconds. In the threads that all requests share, ten of one caller kept everybody's batches
waiting for minutes.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from api.fair_share import fits
from api.in_use import release
from api.problems import Problem, limit_reached, overloaded

MOST = 10  # that are made or wait, in this process,
MOST_OF_ORG = 4  # of one organisation,
MOST_OF_LOGIN = 2  # and of one login
LITTLE = 1  # who has no more is served while others fill what all have
RETRY_AFTER_S = 5


class DocumentsRoom:
    """Made once for each process; its thread starts with the first document and ends with the process."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="documents")
        self._of_orgs: Counter[str] = Counter()
        self._of_logins: Counter[tuple[str, str]] = Counter()

    @property
    def waiting(self) -> int:
        """Documents that are made or wait."""
        return self._of_orgs.total()

    async def make(self, org: str, login: str, document: Callable[[], bytes]) -> bytes:
        """What `document` returns, for a caller of `org`. Raises Problem (429, 503) where there is no room."""
        who = org, login
        of_login, of_org = self._of_logins[who] + 1, self._of_orgs[org] + 1
        if of_login > MOST_OF_LOGIN:
            raise _too_many("login", MOST_OF_LOGIN)
        if not fits(of_login, LITTLE, of_org, MOST_OF_ORG):
            raise _too_many("organisation", MOST_OF_ORG)
        if not fits(of_org, LITTLE, self.waiting + 1, MOST):
            raise overloaded()
        self._of_orgs[org] += 1
        self._of_logins[who] += 1

        def ended(_made: object) -> None:
            release(self._of_orgs, org)
            release(self._of_logins, who)

        making = asyncio.get_running_loop().run_in_executor(self._thread, document)
        # Not when the caller is answered: they may have gone, and the document is made to its end.
        making.add_done_callback(ended)
        return await making

    def close(self) -> None:
        """Make none of those that wait."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _too_many(whose: str, most: int) -> Problem:
    detail = f"One {whose} may have {most} documents made at a time."
    return limit_reached("too_many_documents", detail, most, RETRY_AFTER_S)
