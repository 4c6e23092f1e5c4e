"""A relay that hangs: its standby takes over, and whenever it wakes up, it publishes nothing more."""

import asyncio
import gc
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import psutil
import psycopg
import pytest
from aiokafka.errors import KafkaError

from infra.log.events import LedgerEvent
from infra.postgres import lease
from infra.postgres.lease import Lease
from infra.relay import source
from infra.relay.lane import Lane
from infra.relay.publisher import Publisher
from infra.settings import Settings
from tests.conftest import PARTITIONS, Database
from tests.infra.relaying import committed, deployed, published, running, stored, until, write
from tests.waiting import ENOUGH_S, wait_until

pause = threading.Event().wait  # for a moment that the test chooses
ROOT = Path(__file__).parents[2]
ROUNDS = 20
TERM_S = 0.4  # so that the rounds are short


@pytest.fixture
def settings(database: Database, kafka: str, topic_prefix: str) -> Settings:
    """A deployment of its own, with its topics."""
    return deployed(database.relay_uri, kafka, topic_prefix)


@contextmanager
def relay_process(settings: Settings) -> Iterator[psutil.Process]:
    """A relay in another process, gone at the end."""
    uri = settings.relay_url.get_secret_value()
    where = f"never:{TERM_S}"
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.infra.relay_process", uri, settings.kafka, settings.topic_prefix, where],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield psutil.Process(child.pid)
    finally:
        child.kill()
        child.wait(ENOUGH_S)


def holder(connection: "psycopg.Connection[Any]") -> tuple[int, int]:
    """The epoch of the relay's lease, and the port of the holder's session at its own end."""
    row = connection.execute(
        "select epoch, coalesce(client_port, 0) from leases left join pg_stat_activity"
        " on pid = session and backend_start = session_start where name = 'relay'"
    ).fetchone()
    assert row is not None
    epoch, port = row
    return epoch, port


def active_of(connection: "psycopg.Connection[Any]", relays: list[psutil.Process]) -> tuple[int, psutil.Process]:
    """The epoch of the lease, and the process that holds it."""
    deadline = monotonic() + ENOUGH_S
    while True:
        epoch, port = holder(connection)
        for relay in relays:
            if any(tcp.laddr.port == port for tcp in relay.net_connections("tcp")):
                return epoch, relay
        assert monotonic() < deadline, "no relay is active"
        pause(0.02)


@contextmanager
def commands_go_on(database: Database) -> Iterator[None]:
    """Events are committed all the time, in all partitions."""
    over = threading.Event()

    def commit() -> None:
        while not over.wait(0.01):
            for partition in range(PARTITIONS):
                write(database.writer_uri, partition, 5)

    thread = threading.Thread(target=commit)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(ENOUGH_S)


def test_the_active_relay_is_stopped_and_goes_on_again_and_again(database: Database, settings: Settings) -> None:
    """Two relays; whichever is active is stopped at any moment, and woken when the other has taken over, or later."""
    chance = random.Random(20)
    with ExitStack() as stack:
        look = stack.enter_context(psycopg.connect(database.owner_uri, autocommit=True))
        relays = [stack.enter_context(relay_process(settings)) for _ in range(2)]
        stack.enter_context(commands_go_on(database))
        for _ in range(ROUNDS):
            epoch, active = active_of(look, relays)
            pause(chance.uniform(0, 0.3))
            active.send_signal(signal.SIGSTOP)
            wait_until(lambda before=epoch: holder(look)[0] > before, 30, "the standby takes over", poll_s=0.02)  # type: ignore[misc]
            pause(chance.choice((0.0, 0.0, chance.uniform(0, 0.5))))
            active.send_signal(signal.SIGCONT)
        assert [each.is_running() for each in relays] == [True, True]
    logged = [stored(database.owner_uri, partition) for partition in range(PARTITIONS)]

    async def steps() -> None:
        async with running(settings) as relay:  # what the two had not yet published
            for partition, events in enumerate(logged):
                await published(relay, partition, len(events))
        assert [await committed(settings, partition) for partition in range(PARTITIONS)] == logged

    asyncio.run(steps())
    assert min(map(len, logged)) > ROUNDS


class Standstill:
    """Has partition 0 of the first relay begin anew once `armed` is set, and stand still on the way, at `where`.

    It stands until `goes_on`; its lease is renewed no more and never asked for by the part that renews it.
    """

    def __init__(self, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.armed, self.there, self.goes_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._never = asyncio.Event()
        self._publish = Publisher.publish
        stage = self

        def standing(step: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
            async def at(what: Any) -> None:
                partition = what.partition if isinstance(what, Lane) else what._partition
                if partition == 0 and stage.armed.is_set() and not stage.there.is_set():
                    stage.there.set()
                    await stage.goes_on.wait()
                await step(what)

            return at

        async def publish(publisher: Publisher, events: Sequence[LedgerEvent], batch_bytes: int) -> int:
            if publisher._partition == 0 and stage.armed.is_set() and not stage.there.is_set():
                raise KafkaError("planted: the lane begins anew")
            return await stage._publish(publisher, events, batch_bytes)

        async def keep(held: Lease) -> None:
            # Until it stands still: else the other one may take over before that, and stand still in its place.
            while not (stage.there.is_set() and held.epoch == 1):
                await held.confirm()
                await asyncio.sleep(lease.RENEW_EVERY_S)
            await stage._never.wait()

        if where == "before it fences":
            monkeypatch.setattr(Publisher, "start", standing(Publisher.start))
        else:
            monkeypatch.setattr(Lane, "_find_position", standing(Lane._find_position))
        monkeypatch.setattr(Publisher, "publish", publish)
        monkeypatch.setattr(Lease, "keep", keep)


@pytest.mark.parametrize("where", ["before it fences", "after it was confirmed"])
def test_a_relay_that_stands_still_between_two_steps_publishes_nothing_more(
    database: Database,
    settings: Settings,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The moments between asking for the lease and being fenced, when the other takes over meanwhile."""
    monkeypatch.setattr(lease, "TERM_S", TERM_S)
    monkeypatch.setattr(lease, "RENEW_EVERY_S", TERM_S / 5)

    async def steps() -> None:
        stage = Standstill(where, monkeypatch)
        write(database.writer_uri, 0, 50)
        async with running(settings) as first:
            await published(first, 0, 50)
            async with running(settings) as second:
                stage.armed.set()
                write(database.writer_uri, 0, 50)
                await asyncio.wait_for(stage.there.wait(), ENOUGH_S)
                await published(second, 0, 100)
                before = first.published
                stage.goes_on.set()
                # Fenced already, it learns it from Kafka when it has something to publish. Otherwise from the lease.
                more = 5 if where == "after it was confirmed" else 0
                await until(
                    lambda: write(database.writer_uri, 0, more) is not None and not first.active, "it stands by"
                )
                write(database.writer_uri, 0, 5)
                await published(second, 0, len(stored(database.owner_uri, 0)))
                assert first.published == before
                assert second.active
                assert second.restarts == (where == "before it fences")  # whom the first fenced when it woke up
        assert await committed(settings, 0) == stored(database.owner_uri, 0)

    asyncio.run(steps())
    gc.collect()
    assert "never retrieved" not in caplog.text  # what the fenced producer had to say is no error of anybody's


def test_a_database_that_answers_nothing_holds_no_thread(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process is suspended, so TCP goes on and no answer ever comes."""
    monkeypatch.setattr(source, "STATEMENT_S", 0.3)
    backend = 0

    async def steps() -> None:
        nonlocal backend
        async with await source.Source.connect(database.relay_uri) as relay:
            backend = relay._connection.info.backend_pid
            os.kill(backend, signal.SIGSTOP)
            with pytest.raises(TimeoutError):
                await relay.heads()

    try:
        asyncio.run(steps())
        waiting = [thread for thread in threading.enumerate() if thread.name.startswith("relay's log")]
        wait_until(lambda: not any(thread.is_alive() for thread in waiting), 20, "the thread has ended")
    finally:
        os.kill(backend, signal.SIGCONT)
