"""Waits that end: with the event, with the time, with the task; and tasks that must end before anything else begins."""

import asyncio
import gc
from collections.abc import Coroutine
from time import monotonic
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from infra import waits
from infra.waits import StillRunning, end_tasks, set_within
from infra.webhooks.deliveries import Deliveries
from infra.webhooks.sending import Sender
from infra.webhooks.signature import WebhookSecrets
from tests.conftest import Database
from tests.infra.relaying import until
from tests.waiting import ENOUGH_S


def test_an_event_is_waited_for_as_long_as_allowed() -> None:
    async def steps() -> None:
        event = asyncio.Event()
        began = monotonic()
        assert not await set_within(event, 0.05)
        assert monotonic() - began >= 0.05
        asyncio.get_running_loop().call_later(0.01, event.set)
        assert await set_within(event, ENOUGH_S)
        assert await set_within(event, 0)

    asyncio.run(steps())


@pytest.mark.parametrize("first", ["set", "cancelled"])
def test_a_task_that_waits_is_cancelled_also_in_the_moment_of_the_event(first: str) -> None:
    async def steps() -> None:
        event = asyncio.Event()
        waiting = asyncio.ensure_future(set_within(event, ENOUGH_S))
        await asyncio.sleep(0)
        for step in (event.set, waiting.cancel) if first == "set" else (waiting.cancel, event.set):
            step()
        await asyncio.wait([waiting])
        assert waiting.cancelled()

    asyncio.run(steps())


def ended(*works: Coroutine[Any, Any, None]) -> None:
    """Begin these, let each come to its first wait, and end them."""

    async def steps() -> None:
        tasks = [asyncio.ensure_future(work) for work in works]
        await asyncio.sleep(0)
        await end_tasks(tasks)
        assert all(task.done() for task in tasks)

    asyncio.run(steps())


async def forgets(cancellations: list[str], times: int) -> None:
    while len(cancellations) < times:
        try:
            await asyncio.sleep(ENOUGH_S)
        except asyncio.CancelledError:
            cancellations.append("forgotten")
    await asyncio.sleep(ENOUGH_S)


async def fails() -> None:
    try:
        await asyncio.sleep(ENOUGH_S)
    finally:
        raise LookupError("planted")


def test_whoever_forgets_a_cancellation_is_told_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(waits, "AGAIN_S", 0.02)
    forgotten: list[str] = []
    ended(forgets(forgotten, 3), fails())
    assert len(forgotten) == 3
    gc.collect()
    assert "never retrieved" not in caplog.text  # what a task raises while it is ended is no news


def test_whoever_goes_on_in_spite_of_all_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "AGAIN_S", 0.02)
    monkeypatch.setattr(waits, "END_S", 0.1)

    async def steps() -> None:
        tasks = [asyncio.ensure_future(forgets([], 10**9)), asyncio.ensure_future(fails())]
        await asyncio.sleep(0)
        with pytest.raises(StillRunning, match="not ended 0 s after being cancelled: forgets"):
            await end_tasks(tasks)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(steps())  # not `asyncio.run`, which would wait for that task for ever
    loop.close()


def test_a_deliverer_ends_that_gets_its_connection_in_the_moment_of_its_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool forgets the cancellation of whoever waits for a connection and is given one just then."""
    monkeypatch.setattr(waits, "AGAIN_S", 0.1)

    async def steps() -> None:
        uri = database.writer_uri
        async with AsyncConnectionPool(uri, min_size=1, max_size=1, open=False, kwargs={"autocommit": True}) as pool:
            sender = Sender(allow_private=True)
            deliverer = Deliveries(pool, WebhookSecrets(b"the deployment's own secret of 32 bytes"), sender)
            taken = await pool.getconn()
            running = asyncio.ensure_future(deliverer.run(asyncio.Event()))
            await until(lambda: pool.get_stats()["requests_waiting"] == 1, "the deliverer waits for a connection")
            await pool.putconn(taken)
            await end_tasks([running])
            assert running.cancelled()

    asyncio.run(steps())
