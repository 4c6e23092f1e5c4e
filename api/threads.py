"""Threads for what would hold up the event loop: keys of personal text, long histories, the log's recorders.

Not asyncio's own threads: these have one queue for everybody, and names are looked up and audits run there too.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

from infra.turns import CALLER, Turns

THREADS = 4  # they share one interpreter, with the event loop too
WAIT_S = 10.0

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """Made once for each process. Callers take turns; nothing waits in the threads' own queue."""

    def __init__(self, threads: int = THREADS, wait_s: float = WAIT_S) -> None:
        self.turns = Turns(threads, wait_s=wait_s)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="work")

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function` returns. Raises psycopg_pool's TooManyRequests and PoolTimeout; what `function` raises."""
        caller = CALLER.get()
        await self.turns.enter(caller)
        try:
            work = partial(copy_context().run, function, *args, **kwargs)
            working = asyncio.get_running_loop().run_in_executor(self._threads, work)
        except BaseException:
            self.turns.leave(caller)
            raise
        # Not when the caller is answered: they may have gone, and the thread is busy until its work has ended.
        working.add_done_callback(lambda _: self.turns.leave(caller))
        return await asyncio.shield(working)

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
