"""Documents to print are made one after the other, in a thread of their own, and few wait.

One takes the processor for seconds. In the threads that all requests share, ten of one caller kept everybody's batches
waiting for minutes.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from api.in_use import release
from api.problems import limit_reached, overloaded

MOST = 10  # that are made or wait, in this process,
MOST_OF_ORG = 2  # of one organisation,
MOST_OF_LOGIN = 1  # and of one login: another one of its organisation has the second
RETRY_AFTER_S = 5


class DocumentsRoom:
    """Made once for each process; its thread starts with the first document and ends with the process."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="documents")
        self._of: Counter[str] = Counter()
        self._of_logins: Counter[tuple[str, str]] = Counter()

    @property
    def waiting(self) -> int:
        """Documents that are made or wait."""
        return self._of.total()

    async def make(self, org: str, login: str, document: Callable[[], bytes]) -> bytes:
        """What `document` returns, for a caller of `org`. Raises Problem (429, 503) where there is no room."""
        if self._of_logins[org, login] >= MOST_OF_LOGIN:
            detail = f"A login may have {MOST_OF_LOGIN} document made at a time."
            raise limit_reached("too_many_documents", detail, MOST_OF_LOGIN, RETRY_AFTER_S)
        if self._of[org] >= MOST_OF_ORG:
            detail = f"The organisation may have {MOST_OF_ORG} documents made at a time."
            raise limit_reached("too_many_documents", detail, MOST_OF_ORG, RETRY_AFTER_S)
        if self.waiting >= MOST:
            raise overloaded()
        self._of[org] += 1
        self._of_logins[org, login] += 1
        making = asyncio.get_running_loop().run_in_executor(self._thread, document)
        # Not when the caller is answered: they may have gone, and the document is made to its end.
        making.add_done_callback(lambda _: self._made(org, login))
        return await making

    def _made(self, org: str, login: str) -> None:
        release(self._of, org)
        release(self._of_logins, (org, login))

    def close(self) -> None:
        """Make none of those that wait."""
        self._thread.shutdown(wait=False, cancel_futures=True)
