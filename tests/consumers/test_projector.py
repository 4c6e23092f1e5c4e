"""The projector on real Kafka and PostgreSQL: everything once, whatever is repeated, aborted, killed or not ours."""

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence

import psycopg
import pytest
from aiokafka import AIOKafkaProducer

from consumers import projector
from consumers.projector import ProjectorStuck, run_projector
from consumers.rebuild import rebuild
from domain.credits.debit import Debit
from domain.credits.grant import Grant
from infra.chain import StoredEvent
from infra.codec import Codec
from infra.kafka_client import kafka_arguments
from infra.kafka_record import to_record
from infra.partitions import partition_of
from infra.settings import Settings
from infra.topics import LEDGER, provision, topic_name
from projections import generations
from projections.runner import Applied, Runner
from tests.conftest import PARTITIONS, Database
from tests.projections.folding import apply, tables
from tests.projections.log_builder import LogBuilder, busy, write
from tests.waiting import patient

DEADLINE_S = patient(40.0)
LOG = busy(LogBuilder(PARTITIONS), 1200, seed=5).events


@pytest.fixture
def deployment(database: Database, kafka: str, topic_prefix: str) -> Settings:
    """A deployment with its own database and topics."""
    made = Settings(kafka=kafka, topic_prefix=topic_prefix, projector_url=database.projector_uri)  # type: ignore[arg-type]
    asyncio.run(provision(made, PARTITIONS))
    generations.ensure(database.projector_uri)
    return made


async def publish(settings: Settings, events: Sequence[StoredEvent], *, abort: bool = False, size: int = 100) -> None:
    """What the relay does: transactions of some events each, in order."""
    producer = AIOKafkaProducer(**kafka_arguments(settings), transactional_id=settings.topic_prefix + "test")
    await producer.start()
    try:
        for start in range(0, len(events), size):
            await producer.begin_transaction()
            for event in events[start : start + size]:
                record = to_record(event, "log")
                await producer.send(
                    topic_name(settings, LEDGER), record.value, record.key, event.partition, headers=record.headers
                )
            await (producer.abort_transaction() if abort else producer.commit_transaction())
    finally:
        await producer.stop()


def positions(database: Database) -> dict[int, int]:
    with psycopg.connect(database.auditor_uri) as connection:
        rows = connection.execute("select partition, position from read.checkpoints where position > 0")
        return dict(rows.fetchall())


def last(events: Sequence[StoredEvent]) -> dict[int, int]:
    return {event.partition: event.position for event in events}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - the condition is another process's
            await asyncio.sleep(0.02)  # between looks at the database


def serving(settings: Settings, scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario beside a projector that is ready."""

    async def go() -> None:
        stop, ready = asyncio.Event(), asyncio.Event()
        role = asyncio.create_task(run_projector(settings, stop, ready.set))
        try:
            async with asyncio.timeout(DEADLINE_S):
                await asyncio.wait({role, asyncio.create_task(ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
            await scenario()
        finally:
            stop.set()
            await role

    asyncio.run(go())


def expected(database: Database, events: Sequence[StoredEvent]) -> str:
    """The tables as a runner makes them that gets the events from no queue at all."""
    with psycopg.connect(database.projector_uri, autocommit=True) as connection:
        for name in generations.TABLES[1:]:
            connection.execute(f"truncate read_g1.{name}")  # type: ignore[arg-type, unused-ignore]
        connection.execute("update read_g1.checkpoints set position = 0, kafka_offset = null, time = null")
    runner = Runner(database.projector_uri, Codec().decode)
    apply(runner, events)
    runner.close()
    return repr(tables(database.auditor_uri))


def test_all_events_arrive_once_in_spite_of_aborted_batches(deployment: Settings, database: Database) -> None:
    async def scenario() -> None:
        await publish(deployment, LOG[:400])
        await publish(deployment, LOG[400:700], abort=True)
        await publish(deployment, LOG[400:])
        await until(lambda: positions(database) == last(LOG))

    serving(deployment, scenario)
    rows = repr(tables(database.auditor_uri))
    assert rows == expected(database, LOG)


def test_a_restart_goes_on_after_the_checkpoint(
    deployment: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def first() -> None:
        await publish(deployment, LOG[:500])
        await until(lambda: positions(database) == last(LOG[:500]))

    async def second() -> None:
        await publish(deployment, LOG[500:])
        await until(lambda: positions(database) == last(LOG))

    read: list[int] = []
    whole = projector.Projection._apply

    def counting(self: projector.Projection, records: projector.Records) -> Applied:
        read.append(len(records))
        return whole(self, records)

    monkeypatch.setattr(projector.Projection, "_apply", counting)
    serving(deployment, first)
    serving(deployment, second)
    assert sum(read) == len(LOG), "nothing was read twice"


def test_repeats_and_a_gap_heal(deployment: Settings, database: Database) -> None:
    async def scenario() -> None:
        await publish(deployment, LOG[:300])
        await publish(deployment, LOG[200:400])  # a topic that was written to twice, after a restore
        await until(lambda: positions(database) == last(LOG[:400]))
        with psycopg.connect(database.projector_uri) as connection:  # as after a crash that lost the last commits
            connection.execute("delete from read_g1.transactions where created_at >= %s", (LOG[0].time,))
            for name in generations.TABLES[1:]:
                connection.execute(f"truncate read_g1.{name}")  # type: ignore[arg-type, unused-ignore]
            connection.execute("update read_g1.checkpoints set position = 0, kafka_offset = null")
        await publish(deployment, LOG[400:])
        await until(lambda: positions(database) == last(LOG))

    serving(deployment, scenario)
    rows = repr(tables(database.auditor_uri))
    assert rows == expected(database, LOG)


def test_what_no_relay_wrote_stops_one_partition_only(deployment: Settings, database: Database) -> None:
    first, others = "acme", map("o{}".format, range(99))
    second = next(name for name in others if partition_of(name, PARTITIONS) != partition_of(first, PARTITIONS))
    log = LogBuilder(PARTITIONS)
    for org in (first, second):
        log.do(Grant(address="user:u:credits", grant_id="g", amount=10, source="gift"), org)
    more = [log.do(Debit(address="user:u:credits", debit_id="d", amount=1), org)[0] for org in (first, second)]

    async def scenario() -> None:
        await publish(deployment, log.events[:2])
        producer = AIOKafkaProducer(**kafka_arguments(deployment))
        await producer.start()
        await producer.send_and_wait(topic_name(deployment, LEDGER), b"hello", partition=partition_of(first, 4))
        await producer.stop()
        await publish(deployment, more)
        await until(lambda: positions(database) == {more[0].partition: 1, more[1].partition: 2})

    serving(deployment, scenario)
    with psycopg.connect(database.auditor_uri) as connection:
        ((partition, reason),) = connection.execute("select partition, reason from read_stops").fetchall()
    assert partition == more[0].partition
    assert "not a record of the ledger" in reason


def test_a_rebuild_beside_the_projector(deployment: Settings, database: Database) -> None:
    async def scenario() -> None:
        write(database.owner_uri, LOG)
        await publish(deployment, LOG[:600])
        report = await asyncio.to_thread(rebuild, deployment)
        assert (report.generation, report.events) == (2, len(LOG))
        assert positions(database) == last(LOG), "ahead of the topic: the projector will find repeats"
        await publish(deployment, LOG[600:])

    serving(deployment, scenario)
    rows = repr(tables(database.auditor_uri))
    rebuild(deployment)
    assert repr(tables(database.auditor_uri)) == rows


def test_read_models_of_another_shape_are_rebuilt_at_the_start(deployment: Settings, database: Database) -> None:
    write(database.owner_uri, LOG)
    with psycopg.connect(database.projector_uri) as connection:
        connection.execute("update read_generation set shape = 'older'")

    async def scenario() -> None:
        assert positions(database) == last(LOG)

    serving(deployment, scenario)


def test_two_projectors_share_the_work(deployment: Settings, database: Database) -> None:
    async def scenario() -> None:
        stop, ready = asyncio.Event(), asyncio.Event()
        other = asyncio.create_task(run_projector(deployment, stop, ready.set))
        await publish(deployment, LOG[:300])
        async with asyncio.timeout(DEADLINE_S):
            await ready.wait()
        await publish(deployment, LOG[300:800])
        await until(lambda: positions(database) == last(LOG[:800]))
        stop.set()
        await other  # its partitions come back
        await publish(deployment, LOG[800:])
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
            await publish(deployment, LOG[:50])
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
            await publish(deployment, LOG[:20])
            await until(lambda: positions(database) == last(LOG[:20]))
            stop.set()
            await role

    caplog.set_level("WARNING", "consumers.projector")
    asyncio.run(go())


def test_a_consumer_that_gets_nothing_ends_the_process(
    deployment: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector, "STUCK_AFTER_S", 0.5)
    monkeypatch.setattr(projector, "LOOK_EVERY_S", 0.3)

    async def go() -> None:
        ready = asyncio.Event()
        role = asyncio.create_task(run_projector(deployment, asyncio.Event(), ready.set))
        await asyncio.wait_for(ready.wait(), DEADLINE_S)
        monkeypatch.setattr(projector.Projection, "_behind", lambda self: _true())
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
            publishing = asyncio.create_task(publish(deployment, events, size=10))
            goal = sum(last(LOG[: step * 350 + 100]).values())
            await until(lambda goal=goal: sum(positions(database).values()) >= goal)  # type: ignore[misc]
            child.kill()
            await asyncio.wait_for(child.wait(), DEADLINE_S)
            await publishing

    asyncio.run(go())
    rest = LOG[2 * 350 :]

    async def scenario() -> None:
        await publish(deployment, rest)
        await until(lambda: positions(database) == last(LOG))

    serving(deployment, scenario)
    rows = repr(tables(database.auditor_uri))
    assert rows == expected(database, LOG)
