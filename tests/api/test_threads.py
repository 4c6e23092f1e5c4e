"""Threads that callers share: one has a part of them, and a turn lasts as long as its work."""

import asyncio
from threading import Event

import pytest
import structlog
from psycopg_pool import PoolTimeout

from api.http.services import THREADS, Threads
from infra.turns import CALLER
from tests.waiting import ENOUGH_S


def test_one_caller_leaves_threads_to_others() -> None:
    async def main() -> None:
        threads, go_on = Threads(), Event()

        async def of(login: str) -> bool:
            CALLER.set(("acme", login))
            return await threads.run(go_on.wait, ENOUGH_S)

        many = [asyncio.create_task(of("greedy")) for _ in range(50)]
        await asyncio.sleep(0)
        CALLER.set(("acme", "modest"))
        assert await threads.run(sum, [1, 2], start=3) == 6
        go_on.set()
        assert all(await asyncio.gather(*many))
        assert (threads.turns.used, threads.turns.waiting) == (0, 0)
        threads.close()

    asyncio.run(asyncio.wait_for(main(), ENOUGH_S))


def test_a_turn_ends_with_its_work_and_not_with_its_caller() -> None:
    async def main() -> None:
        threads, began, go_on = Threads(), Event(), Event()
        threads.turns.wait_s = 0.01

        def work() -> None:
            began.set()
            go_on.wait(ENOUGH_S)
            raise ValueError("nobody hears of it")

        tasks = [asyncio.create_task(threads.run(work)) for _ in range(threads.turns.of_login)]
        await asyncio.to_thread(began.wait, ENOUGH_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert threads.turns.used == len(tasks) == THREADS // 2
        with pytest.raises(PoolTimeout):
            await threads.run(work)
        go_on.set()
        threads.turns.wait_s = ENOUGH_S
        assert await threads.run(len, "ab") == 2
        with pytest.raises(ValueError, match="nobody"):
            await threads.run(work)
        threads.close()

    asyncio.run(asyncio.wait_for(main(), ENOUGH_S))


def test_what_is_logged_there_names_the_request() -> None:
    async def main() -> None:
        threads = Threads()
        with structlog.contextvars.bound_contextvars(request_id="r1"):
            assert (await threads.run(structlog.contextvars.get_contextvars))["request_id"] == "r1"
        threads.close()

    asyncio.run(main())
