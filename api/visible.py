"""Read your own writes: all requests that wait for a position share one query, which is repeated while any waits."""

import asyncio
from typing import Any

from psycopg_pool import AsyncConnectionPool

from infra.turns import CALLER, Turns, ours
from infra.waits import set_within

WAIT_S = 2.0
MOST = 2_000  # that wait at a time, in this process,
MOST_OF_ORG = 500  # of one organisation,
MOST_OF_LOGIN = 250  # and of one login
LEAST_PAUSE_S, LONGEST_PAUSE_S = 0.005, 0.025  # between looks
_LOOK = "select partition, position from read.checkpoints where partition = any(%s)"

Waiting = tuple[int, int, asyncio.Future[None]]  # partition, position


class Visible:
    """What the read models have reached. `pool`: login scrip_auditor.

    It looks only while somebody waits: at once for who comes first, and for others after a pause that is short when
    somebody has just come.
    """

    def __init__(self, pool: "AsyncConnectionPool[Any]") -> None:
        self._pool = pool
        self._waiting: set[Waiting] = set()
        self._came = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.turns = Turns(MOST, of_org=MOST_OF_ORG, of_login=MOST_OF_LOGIN)

    async def reached(self, partition: int, position: int) -> bool:
        """True as soon as events up to `position` of the partition are in the read models, False after WAIT_S.

        Raises psycopg.Error; psycopg_pool's TooManyRequests where too many wait, PoolTimeout.
        """
        caller = CALLER.get()
        await self.turns.take_or_refuse(caller)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = partition, position, done
        self._waiting.add(waiting)
        self._came.set()
        if self._task is None or self._task.done():
            with ours("visible"):
                self._task = asyncio.create_task(self._follow())
        try:
            async with asyncio.timeout(WAIT_S):
                await done
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(waiting)
            self.turns.leave(caller)
        return True

    async def _follow(self) -> None:
        pause = LEAST_PAUSE_S
        while self._waiting:
            self._came.clear()
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001 - it is raised to those who wait
                self._fail(error)
            if not self._waiting:
                return
            await asyncio.sleep(LEAST_PAUSE_S)
            if self._came.is_set():
                pause = LEAST_PAUSE_S
                continue
            if not await set_within(self._came, pause):
                pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _look(self) -> None:
        asked = list({partition for partition, _, _ in self._waiting})
        async with self._pool.connection() as connection:
            rows = await (await connection.execute(_LOOK, (asked,))).fetchall()
        positions = dict(rows)
        there = {waiting for waiting in self._waiting if positions.get(waiting[0], 0) >= waiting[1]}
        self._waiting -= there
        for _, _, done in there:
            if not done.done():
                done.set_result(None)

    def _fail(self, error: Exception) -> None:
        failed, self._waiting = self._waiting, set()
        for _, _, done in failed:
            if not done.done():
                done.set_exception(error)
