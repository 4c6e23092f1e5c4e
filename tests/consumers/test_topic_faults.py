"""A topic that somebody else writes to: read models take the log's own events and nothing else, and an alarm stays."""

from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaProducer

from consumers import projector, subscribing
from domain.credits.commands import Debit, Grant
from domain.registry import SCRIP
from infra.kafka.client import kafka_arguments
from infra.kafka.record import LedgerRecord, to_record
from infra.kafka.topics import LEDGER, topic_name
from infra.log.chain import link_of
from infra.log.events import LedgerEvent
from infra.log.mapper import LedgerMapper
from infra.partitions import partition_of
from infra.settings import Settings
from tests.conftest import PARTITIONS, Database
from tests.consumers.projecting import deployed, last, log_id, positions, publish, serving, until
from tests.projections.log_builder import LogBuilder, write
from tests.waiting import patient

ADDRESS = "user:u:credits"
PARTITION = partition_of("acme", PARTITIONS)


@pytest.fixture
def deployment(database: Database, kafka: str, topic_prefix: str) -> Settings:
    """A deployment with an empty log."""
    return deployed(database, kafka, topic_prefix)


def granted(debits: int, org: str = "acme", log: LogBuilder | None = None) -> LogBuilder:
    """A log of a grant of 1000 and so many debits of one credit."""
    log = log or LogBuilder(PARTITIONS)
    log.do(Grant(address=ADDRESS, grant_id="g", amount=1000, source="gift"), org)
    for number in range(debits):
        log.do(Debit(address=ADDRESS, debit_id=f"d{number}", amount=1), org)
    return log


async def send(settings: Settings, records: Sequence[LedgerRecord], partition: int = PARTITION) -> None:
    """Records of a producer that is no relay."""
    producer = AIOKafkaProducer(**kafka_arguments(settings))
    await producer.start()
    try:
        for key, value, headers in records:
            topic = topic_name(settings, LEDGER)
            await producer.send_and_wait(topic, value, key, partition=partition, headers=headers)
    finally:
        await producer.stop()


def rich(event: LedgerEvent) -> LedgerEvent:
    """The same place in the log, with a million credits: the hash as it was."""
    type_, data = LedgerMapper.of(SCRIP).encode(_a_million(), event.actor, "key")
    return event._replace(type=type_, data=data)


def _a_million() -> Any:
    log = LogBuilder(PARTITIONS)
    (row,) = log.do(Grant(address=ADDRESS, grant_id="forged", amount=1_000_000, source="gift"))
    return LedgerMapper.of(SCRIP).decode(row.type, row.data)


def chained(previous: LedgerEvent, event: LedgerEvent) -> LedgerEvent:
    """The event with the hash that follows from the one before it: anybody who reads the topic can make it."""
    return event._replace(hash=link_of(previous.hash, event))


def nested(actor: str, depth: int = 20_000) -> bytes:
    """Bytes that begin as an event's do."""
    return b'{"actor":"%b","cause":"k","data":%b%b}' % (actor.encode(), b"[" * depth, b"]" * depth)


def available(database: Database, org: str = "acme") -> int:
    with psycopg.connect(database.auditor_uri) as connection:
        row = connection.execute("select available from read.balances where org = %s", (org,)).fetchone()
    return row[0] if row else 0


def faults(database: Database) -> list[tuple[Any, ...]]:
    """Partition, kind, records, first offset, position and reason of what is not acknowledged."""
    with psycopg.connect(database.auditor_uri) as connection:
        return connection.execute(
            "select partition, kind, records, first_offset, position, reason from topic_faults"
            " where acknowledged_at is null order by id"
        ).fetchall()


def stops(database: Database) -> list[tuple[Any, ...]]:
    with psycopg.connect(database.auditor_uri) as connection:
        return connection.execute("select * from read_stops").fetchall()


def without(record: LedgerRecord, name: str, value: bytes | None = None) -> LedgerRecord:
    """A record with a header left out, or another value in it."""
    headers = [(key, old if key != name else value) for key, old in record.headers if key != name or value is not None]
    return record._replace(headers=[(key, old) for key, old in headers if old is not None])


Forge = Callable[[list[LedgerEvent], str], list[LedgerRecord]]

# Each makes records that come after the first two events of the log, and before the other three.
FORGED: dict[str, Forge] = {
    "the next position, with a hash of nothing": lambda log, id_: [
        to_record(rich(log[2])._replace(hash=bytes(32)), id_)
    ],
    "the next position, with the genuine hash": lambda log, id_: [to_record(rich(log[2]), id_)],
    "the next position, with a hash that follows": lambda log, id_: [to_record(chained(log[1], rich(log[2])), id_)],
    "two that follow each other": lambda log, id_: [
        to_record(first := chained(log[1], rich(log[2])), id_),
        to_record(chained(first, log[3]), id_),
    ],
    "an old position": lambda log, id_: [to_record(rich(log[0]), id_)],
    "far ahead": lambda log, id_: [to_record(rich(log[2])._replace(position=10**9), id_)],
    "a position that no database has": lambda log, id_: [to_record(rich(log[2])._replace(position=10**30), id_)],
    "a position below the first": lambda log, id_: [to_record(rich(log[2])._replace(position=0), id_)],
    "another actor": lambda log, id_: [to_record(log[2]._replace(actor="user:mallory"), id_)],
    "a tag": lambda log, id_: [to_record(log[2]._replace(tag="grant/x"), id_)],
    "another organisation": lambda log, id_: [to_record(log[2]._replace(org="globex"), id_)],
    "another stream": lambda log, id_: [to_record(log[2]._replace(stream="account/user:mallory:credits"), id_)],
    "another version": lambda log, id_: [to_record(log[2]._replace(version=99), id_)],
    "another time": lambda log, id_: [to_record(log[2]._replace(time=log[0].time), id_)],
    "another log": lambda log, id_: [to_record(log[2], "another-log")],
    "another key": lambda log, id_: [to_record(log[2], id_)._replace(key=b"globex/x")],
    "no hash": lambda log, id_: [without(to_record(log[2], id_), "ce_hash")],
    "no actor": lambda log, id_: [without(to_record(log[2], id_), "ce_actor")],
    "another id": lambda log, id_: [without(to_record(log[2], id_), "ce_id", b"0-1")],
    "a header more": lambda log, id_: [
        LedgerRecord(*to_record(log[2], id_)[:2], [*to_record(log[2], id_).headers, ("ce_x", b"y")])
    ],
    "a time without a zone": lambda log, id_: [without(to_record(log[2], id_), "ce_time", b"2026-01-31T12:00:00")],
    "bytes nested deeper than a reader goes": lambda log, id_: [
        to_record(chained(log[1], log[2]._replace(data=nested(log[2].actor))), id_)
    ],
    "a header of a hundred thousand letters": lambda log, id_: [
        without(to_record(log[2], id_), "ce_time", b"x" * 100_000)
    ],
    "no record of ours at all": lambda log, id_: [LedgerRecord(b"", b"hello", [])],
}


def test_no_forged_record_enters_the_read_models(deployment: Settings, database: Database) -> None:
    """All kinds in one topic, one after the other, each followed by the genuine event."""
    log = granted(len(FORGED) + 3).events
    write(database.owner_uri, log)
    id_ = log_id(database)

    async def scenario() -> None:
        await publish(deployment, database, log[:2])
        for index, forge in enumerate(FORGED.values()):
            at = log[index : index + 5]
            await send(deployment, forge(at, id_))
            await publish(deployment, database, log[index + 2 : index + 3])
            await until(lambda index=index: positions(database) == last(log[: index + 3]))  # type: ignore[misc]
            assert available(database) == 1000 - index - 2, list(FORGED)[index]
            ((partition, kind, records, *_),) = faults(database)
            assert (partition, kind, records) == (PARTITION, "foreign", index + 1 + (index > 2)), list(FORGED)[index]

    serving(deployment, scenario)
    ((_, _, _, offset, position, reason),) = faults(database)
    assert offset in (2, 3), "after two events, and perhaps the marker of their transaction"
    assert position == 3
    assert reason.startswith("not the log's event 3 of partition"), reason
    assert stops(database) == []


def test_an_exact_copy_of_an_event_is_no_fault(deployment: Settings, database: Database) -> None:
    log = granted(5).events
    write(database.owner_uri, log)

    async def scenario() -> None:
        await publish(deployment, database, log[:4])
        await publish(deployment, database, log[1:3])
        await publish(deployment, database, log[4:])
        await until(lambda: positions(database) == last(log))

    serving(deployment, scenario)
    assert (available(database), faults(database)) == (995, [])


def test_an_event_that_the_topic_lacks_is_read_from_the_store(deployment: Settings, database: Database) -> None:
    """Altered on the broker's disk, or deleted: what comes after it is not held up."""
    log = granted(6).events
    write(database.owner_uri, log)
    altered = to_record(rich(log[3]), log_id(database))

    async def scenario() -> None:
        await publish(deployment, database, log[:2])
        await send(deployment, [altered])
        await publish(deployment, database, log[4:5])  # 2 and 3 are nowhere
        await until(lambda: positions(database) == last(log[:5]))
        await publish(deployment, database, log[5:])
        await until(lambda: positions(database) == last(log))

    serving(deployment, scenario)
    assert available(database) == 994
    assert [(kind, position) for _, kind, _, _, position, _ in faults(database)] == [("foreign", 4), ("missing", 3)]


def test_events_that_the_topic_never_had_are_read_from_the_store(deployment: Settings, database: Database) -> None:
    log = granted(6).events
    write(database.owner_uri, log)

    async def scenario() -> None:
        await publish(deployment, database, [*log[:2], *log[5:]])
        await until(lambda: positions(database) == last(log))

    serving(deployment, scenario)
    assert available(database) == 994
    assert [(kind, position) for _, kind, _, _, position, _ in faults(database)] == [("missing", 3)]


def test_what_no_relay_wrote_holds_up_nothing(deployment: Settings, database: Database) -> None:
    first, others = "acme", map("o{}".format, range(99))
    second = next(name for name in others if partition_of(name, PARTITIONS) != PARTITION)
    log = granted(1, second, granted(1, first)).events
    write(database.owner_uri, log)
    before, more = [log[0], log[2]], [log[1], log[3]]

    async def scenario() -> None:
        await publish(deployment, database, before)
        await send(deployment, [LedgerRecord(b"", b"hello", [])])
        await publish(deployment, database, more)
        await until(lambda: positions(database) == last(log))

    serving(deployment, scenario)
    ((partition, kind, records, _, position, reason),) = faults(database)
    assert (partition, kind, records, position) == (PARTITION, "foreign", 1, None)
    assert "not a record of the ledger" in reason
    assert stops(database) == []


def test_a_flood_of_foreign_records_is_read_past(
    deployment: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than it may be silent: a new process would begin before the flood again, and never come out of it."""
    monkeypatch.setattr(subscribing, "STUCK_AFTER_S", patient(2.0))
    monkeypatch.setattr(subscribing, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(projector, "MAX_RECORDS", 10)  # with pauses of GATHER_S between
    flood = int(10 * patient(3.0) / projector.GATHER_S)  # ten at a time take three seconds
    log = granted(3).events
    write(database.owner_uri, log)

    async def scenario() -> None:
        await publish(deployment, database, log[:2])
        await send(deployment, [LedgerRecord(b"", b"hello", [])] * flood)
        await publish(deployment, database, log[2:])
        await until(lambda: positions(database) == last(log))

    serving(deployment, scenario)
    assert [(kind, records) for _, kind, records, *_ in faults(database)] == [("foreign", flood)]


def test_a_forged_record_that_was_acknowledged_raises_no_second_alarm(deployment: Settings, database: Database) -> None:
    log = granted(3).events
    write(database.owner_uri, log)
    forged = to_record(rich(log[2]), log_id(database))

    async def first() -> None:
        await publish(deployment, database, log[:2])
        await send(deployment, [forged])
        await until(lambda: len(faults(database)) == 1)

    async def second() -> None:  # a new process, which reads it again: the checkpoint lies before it
        await publish(deployment, database, log[2:3])
        await until(lambda: positions(database) == last(log[:3]))
        assert faults(database) == []
        await send(deployment, [forged])
        await publish(deployment, database, log[3:])
        await until(lambda: positions(database) == last(log))

    serving(deployment, first)
    with psycopg.connect(database.writer_uri) as connection:
        connection.execute("update topic_faults set acknowledged_at = now(), acknowledged_by = 'user:op'")
    serving(deployment, second)
    assert [(kind, records) for _, kind, records, *_ in faults(database)] == [("foreign", 1)], "only the new one"


def test_aborted_events_are_not_read(deployment: Settings, database: Database) -> None:
    """A reader of uncommitted records would meet them, and raise an alarm for what no reader may see."""
    log = granted(3).events
    write(database.owner_uri, log)

    async def scenario() -> None:
        await publish(deployment, database, log[:2])
        await publish(deployment, database, [rich(log[2])], abort=True)
        await publish(deployment, database, log[2:])
        await until(lambda: positions(database) == last(log))

    serving(deployment, scenario)
    assert (available(database), faults(database)) == (997, [])
