"""The projector on real Kafka and PostgreSQL: everything once, whatever is repeated, aborted, killed or not ours."""

import asyncio
import os
import socket
import sys
from collections.abc import Sequence

import psycopg
import pytest

from consumers import projector, subscribing
from consumers.projector import ProjectorStuck, run_projector
from consumers.rebuild import rebuild
from domain.registry import SCRIP
from infra.log.events import LedgerEvent
from infra.log.mapper import LedgerMapper
from infra.settings import Settings
from projections import READ_MODELS
from projections.runner import Applied, Runner
from tests.conftest import PARTITIONS, Database
from tests.consumers.projecting import DEADLINE_S, deployed, last, positions, publish, serving, until
from tests.projections.folding import apply, tables
from tests.projections.log_builder import LogBuilder, busy, write

LOG = busy(LogBuilder(PARTITIONS), 1200, seed=5).events


@pytest.fixture
def deployment(database: Database, kafka: str, topic_prefix: str) -> Settings:
    """A deployment with its own database, which holds LOG, and topics."""
    write(database.owner_uri, LOG)
    return deployed(database, kafka, topic_prefix)


def expected(database: Database, events: Sequence[LedgerEvent]) -> str:
    """The tables as a runner makes them that gets the events from no queue at all."""
    with psycopg.connect(database.projector_uri, autocommit=True) as connection:
        for model in READ_MODELS:
            connection.execute(f"truncate read_g1.{model.name}")  # type: ignore[arg-type, unused-ignore]
        connection.execute("update read_g1.checkpoints set position = 0, kafka_offset = null, time = null")
    runner = Runner(database.projector_uri, LedgerMapper.of(SCRIP).decode)
    apply(runner, events)
    runner.close()
    return repr(tables(database.auditor_uri))


def test_all_events_arrive_once_in_spite_of_aborted_batches(deployment: Settings, database: Database) -> None:
    async def scenario() -> None:
        await publish(deployment, database, LOG[:400])
        await publish(deployment, database, LOG[400:700], abort=True)
        await publish(deployment, database, LOG[400:])
        await until(lambda: positions(database) == last(LOG))

    serving(deployment, scenario)
    rows = repr(tables(database.auditor_uri))
    assert rows == expected(database, LOG)


def test_a_restart_goes_on_after_the_checkpoint(
    deployment: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def first() -> None:
        await publish(deployment, database, LOG[:500])
        await until(lambda: positions(database) == last(LOG[:500]))

    async def second() -> None:
        await publish(deployment, database, LOG[500:])
        await until(lambda: positions(database) == last(LOG))

    read: list[int] = []
    whole = projector.Projection._apply

    def counting(self: projector.Projection, records: subscribing.Records) -> Applied:
        read.append(len(records))
        return whole(self, records)

    monkeypatch.setattr(projector.Projection, "_apply", counting)
    serving(deployment, first)
    serving(deployment, second)
    assert sum(read) == len(LOG), "nothing was read twice"


def test_repeats_and_a_gap_heal(deployment: Settings, database: Database) -> None:
    async def scenario() -> None:
        await publish(deployment, database, LOG[:300])
        await publish(deployment, database, LOG[200:400])  # a topic that was written to twice, after a restore
        await until(lambda: positions(database) == last(LOG[:400]))
        with psycopg.connect(database.projector_uri) as connection:  # as after a crash that lost the last commits
            connection.execute("delete from read_g1.transactions where created_at >= %s", (LOG[0].time,))
            for model in READ_MODELS:
                connection.execute(f"truncate read_g1.{model.name}")  # type: ignore[arg-type, unused-ignore]
            connection.execute("update read_g1.checkpoints set position = 0, kafka_offset = null")
        await publish(deployment, database, LOG[400:])
        await until(lambda: positions(database) == last(LOG))

    serving(deployment, scenario)
    rows = repr(tables(database.auditor_uri))
    assert rows == expected(database, LOG)


def test_a_rebuild_beside_the_projector(deployment: Settings, database: Database) -> None:
    async def scenario() -> None:
        await publish(deployment, database, LOG[:600])
        report = await asyncio.to_thread(rebuild, deployment)
        assert (report.generation, report.events) == (2, len(LOG))
        assert positions(database) == last(LOG), "ahead of the topic: the projector will find repeats"
        await publish(deployment, database, LOG[600:])

    serving(deployment, scenario)
    rows = repr(tables(database.auditor_uri))
    rebuild(deployment)
    assert repr(tables(database.auditor_uri)) == rows


def test_read_models_of_another_shape_are_rebuilt_at_the_start(deployment: Settings, database: Database) -> None:
    with psycopg.connect(database.projector_uri) as connection:
        connection.execute("update read_generation set shape = 'older'")

    async def scenario() -> None:
        assert positions(database) == last(LOG)

    serving(deployment, scenario)


def test_two_projectors_share_the_work(deployment: Settings, database: Database) -> None:
    async def scenario() -> None:
        stop, ready = asyncio.Event(), asyncio.Event()
        other = asyncio.create_task(run_projector(deployment, stop, ready.set))
        await publish(deployment, database, LOG[:300])
        async with asyncio.timeout(DEADLINE_S):
            await ready.wait()
        await publish(deployment, database, LOG[300:800])
        await until(lambda: positions(database) == last(LOG[:800]))
        stop.set()
        await other  # its partitions come back
        await publish(deployment, database, LOG[800:])
        await until(lambda: positions(database) == last(LOG))

    serving(deployment, scenario)
    rows = repr(tables(database.auditor_uri))
    assert rows == expected(database, LOG)


def test_it_waits_for_postgresql(deployment: Settings, database: Database) -> None:
    async def scenario() -> None:
        name = psycopg.conninfo.conninfo_to_dict(database.owner_uri)["dbname"]
        with psycopg.connect(database.owner_uri, dbname="postgres", autocommit=True) as connection:
            connection.execute(f'alter database "{name}" allow_connections false')  # type: ignore[arg-type, unused-ignore]
            connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))
            await publish(deployment, database, LOG[:50])
            connection.execute(f'alter database "{name}" allow_connections true')  # type: ignore[arg-type, unused-ignore]
        await until(lambda: positions(database) == last(LOG[:50]))

    serving(deployment, scenario)


def test_it_waits_for_kafka(deployment: Settings, database: Database, caplog: pytest.LogCaptureFixture) -> None:
    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = deployment.kafka.split(":")
        theirs, ours = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pump(reader, ours), pump(theirs, writer))

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            target.write(data)
        target.close()

    async def go() -> None:
        with socket.socket() as chosen:
            chosen.bind(("127.0.0.1", 0))
            port = chosen.getsockname()[1]
        away = deployment.model_copy(update={"kafka": f"127.0.0.1:{port}"})
        stop, ready = asyncio.Event(), asyncio.Event()
        role = asyncio.create_task(run_projector(away, stop, ready.set))
        await until(lambda: "Kafka cannot be reached" in caplog.text)
        async with await asyncio.start_server(forward, "127.0.0.1", port), asyncio.timeout(DEADLINE_S):
            await ready.wait()
            await publish(deployment, database, LOG[:20])
            await until(lambda: positions(database) == last(LOG[:20]))
            stop.set()
            await role

    caplog.set_level("WARNING", "consumers.projector")
    asyncio.run(go())


def test_a_consumer_that_gets_nothing_ends_the_process(
    deployment: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribing, "STUCK_AFTER_S", 0.5)
    monkeypatch.setattr(subscribing, "LOOK_EVERY_S", 0.3)

    async def go() -> None:
        ready = asyncio.Event()
        role = asyncio.create_task(run_projector(deployment, asyncio.Event(), ready.set))
        await asyncio.wait_for(ready.wait(), DEADLINE_S)
        monkeypatch.setattr(subscribing, "behind", lambda *_: _true())
        with pytest.raises(ProjectorStuck):
            async with asyncio.timeout(DEADLINE_S):
                await role

    asyncio.run(go())


async def _true() -> bool:
    return True


ROLE = """
import asyncio, sys
from consumers.projector import run_projector
from infra.settings import Settings
asyncio.run(run_projector(Settings(), asyncio.Event(), lambda: print("ready", flush=True)))
"""


def test_kill_9_again_and_again(deployment: Settings, database: Database) -> None:
    environment = os.environ | {
        "SCRIP_KAFKA": deployment.kafka,
        "SCRIP_TOPIC_PREFIX": deployment.topic_prefix,
        "SCRIP_PROJECTOR_URL": database.projector_uri,
    }

    async def go() -> None:
        for step in range(2):
            child = await asyncio.create_subprocess_exec(sys.executable, "-c", ROLE, env=environment)
            events = LOG[step * 350 : (step + 1) * 350]
            publishing = asyncio.create_task(publish(deployment, database, events, size=10))
            goal = sum(last(LOG[: step * 350 + 100]).values())
            await until(lambda goal=goal: sum(positions(database).values()) >= goal)  # type: ignore[misc]
            child.kill()
            await asyncio.wait_for(child.wait(), DEADLINE_S)
            await publishing

    asyncio.run(go())
    rest = LOG[2 * 350 :]

    async def scenario() -> None:
        await publish(deployment, database, rest)
        await until(lambda: positions(database) == last(LOG))

    serving(deployment, scenario)
    rows = repr(tables(database.auditor_uri))
    assert rows == expected(database, LOG)
