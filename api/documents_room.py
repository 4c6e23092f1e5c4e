"""Documents to print are made one after the other, in a thread of their own, and few wait.

One takes the processor for seconds. In the threads that all requests share, ten of one caller kept everybody's batches
waiting for minutes.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from api.fair_share import Bounds, Shares

MOST = 10  # that are made or wait, in this process,
MOST_OF_ORG = 4  # of one organisation,
MOST_OF_LOGIN = 2  # and of one login
LITTLE = 1  # who has no more is served while others fill what all have
RETRY_AFTER_S = 5


def _bounds() -> Bounds:
    detail = "One {whose} may have {most} documents made at a time."
    return Bounds(
        *(MOST_OF_LOGIN, MOST_OF_ORG, MOST), "too_many_documents", detail, RETRY_AFTER_S,
        little_of_login=LITTLE, little_of_org=LITTLE,
    )  # fmt: skip


class DocumentsRoom:
    """Made once for each process; its thread starts with the first document and ends with the process."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="documents")
        self._shares = Shares(_bounds)

    @property
    def waiting(self) -> int:
        """Documents that are made or wait."""
        return self._shares.taken

    async def make(self, org: str, login: str, document: Callable[[], bytes]) -> bytes:
        """What `document` returns, for a caller of `org`. Raises Problem (429, 503) where there is no room."""
        self._shares.take(org, login)
        making = asyncio.get_running_loop().run_in_executor(self._thread, document)
        # Not when the caller is answered: they may have gone, and the document is made to its end.
        making.add_done_callback(lambda _: self._shares.give_back(org, login))
        return await making

    def close(self) -> None:
        """Make none of those that wait."""
        self._thread.shutdown(wait=False, cancel_futures=True)
