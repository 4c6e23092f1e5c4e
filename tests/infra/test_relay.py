"""The relay: exactly once and in order for `read_committed` readers, whatever lies at the topic's end."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from unittest.mock import AsyncMock

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from infra.embedded.ports import free_port
from infra.kafka import topics
from infra.kafka.client import kafka_arguments
from infra.kafka.record import LedgerRecord, to_record
from infra.kafka.topics import set_max_message_bytes
from infra.log.events import LedgerEvent
from infra.log.postgres import PostgresLog
from infra.log.statements import Head
from infra.postgres.selfcheck import UnsafeSetting
from infra.relay import TopicDisagrees, run_relay
from infra.relay.disagreement import LogGap
from infra.relay.source import Source
from infra.relay.tail import UndecidedTransaction, last_published
from infra.settings import Settings
from tests.conftest import PARTITIONS, Database
from tests.infra.relaying import (
    committed,
    deployed,
    following,
    head,
    ledger,
    new_relay,
    published,
    records_of,
    running,
    settings_for,
    stored,
    until,
    write,
)
from tests.waiting import patient


@pytest.fixture
def settings(database: Database, kafka: str, topic_prefix: str) -> Settings:
    """A deployment of its own, with its topics."""
    return deployed(database.relay_uri, kafka, topic_prefix)


def log_id(database: Database) -> str:
    with psycopg.connect(database.owner_uri) as connection:
        row = connection.execute("select id::text from log").fetchone()
    assert row is not None
    return str(row[0])


async def tail_of(settings: Settings, database: Database) -> int:
    """Where the relay would go on in partition 0."""
    async with await Source.connect(database.relay_uri) as source:
        return await last_published(kafka_arguments(settings), ledger(settings), 0, source, log_id(database))


async def send_foreign(settings: Settings, events: Sequence[LedgerEvent], log: str, *, end: str) -> AIOKafkaProducer:
    """Records by a producer that is not the relay's; `end` is commit, abort or open."""
    producer = AIOKafkaProducer(**kafka_arguments(settings), transactional_id=f"{settings.topic_prefix}foreign")
    await producer.start()
    await producer.begin_transaction()
    sent = []
    for event in events:
        key, value, headers = to_record(event, log)
        sent.append(await producer.send(ledger(settings), value, key, event.partition, headers=headers))
    await asyncio.gather(*sent)
    if end == "commit":
        await producer.commit_transaction()
    elif end == "abort":
        await producer.abort_transaction()
    return producer


def test_all_partitions_exactly_once_and_in_order(database: Database, settings: Settings) -> None:
    for partition in range(PARTITIONS):
        write(database.writer_uri, partition, 2_500 if partition == 0 else 10 * partition)

    async def steps() -> None:
        async with running(settings) as relay:
            for partition in range(PARTITIONS):
                await published(relay, partition, len(stored(database.owner_uri, partition)))
            write(database.writer_uri, 2, 7)
            await published(relay, 2, 27)
            assert relay.published == 2_500 + 10 + 27 + 30
            await until(lambda: relay.lag == 0, "no lag")
        for partition in range(PARTITIONS):
            assert await committed(settings, partition) == stored(database.owner_uri, partition)

    asyncio.run(steps())


def test_restarts_continue_where_the_topic_ends(database: Database, settings: Settings) -> None:
    async def steps() -> None:
        for _ in range(4):
            write(database.writer_uri, 1, 30)
            async with running(settings) as relay:
                await published(relay, 1, len(stored(database.owner_uri, 1)))
                assert relay.published == 30
        assert await committed(settings, 1) == stored(database.owner_uri, 1)

    asyncio.run(steps())


def test_aborted_batches_at_the_end_are_stepped_over(database: Database, settings: Settings) -> None:
    """Three of a thousand: a reader that waits for a record, or looks back a fixed way, never gets an answer."""
    write(database.writer_uri, 0, 20)

    async def steps() -> None:
        async with running(settings) as relay:
            await published(relay, 0, 20)
        with psycopg.connect(database.owner_uri) as connection, connection.cursor() as cursor:
            never = following(head(cursor, 0), 0, 1_000)
        for _ in range(3):
            await (await send_foreign(settings, never, log_id(database), end="abort")).stop()
        assert await tail_of(settings, database) == 20
        write(database.writer_uri, 0, 5)
        async with running(settings) as relay:
            await published(relay, 0, 25)
            assert relay.published == 5
        assert await committed(settings, 0) == stored(database.owner_uri, 0)

    asyncio.run(steps())


def test_a_topic_of_nothing_but_aborted_records_starts_at_the_first(database: Database, settings: Settings) -> None:
    events = write(database.writer_uri, 0, 40)

    async def steps() -> None:
        await (await send_foreign(settings, events, log_id(database), end="abort")).stop()
        assert await tail_of(settings, database) == 0
        async with running(settings) as relay:
            await published(relay, 0, 40)
        assert await committed(settings, 0) == events

    asyncio.run(steps())


def test_an_open_transaction_of_somebody_else_is_waited_for(database: Database, settings: Settings) -> None:
    """What it hides could be the relay's own last events: going on would publish them twice."""
    events = write(database.writer_uri, 0, 3)

    async def steps() -> None:
        foreign = await send_foreign(settings, events[:1], log_id(database), end="open")
        try:
            with pytest.raises(UndecidedTransaction):
                await tail_of(settings, database)
            async with running(settings, wait=False) as relay:
                await until(lambda: "UndecidedTransaction" in relay.errors.get(0, ""), "partition 0 waits")
                await foreign.abort_transaction()
                await published(relay, 0, 3)
        finally:
            await foreign.stop()
        assert await committed(settings, 0) == events

    asyncio.run(steps())


def test_an_event_too_large_for_kafka_stops_its_partition_and_tears_nothing(
    database: Database, settings: Settings
) -> None:
    write(database.writer_uri, 0, 5)
    write(database.writer_uri, 0, 1, data=b"x" * 1_500_000)
    write(database.writer_uri, 0, 5)
    write(database.writer_uri, 1, 5)

    async def steps() -> None:
        async with running(settings) as relay:
            await published(relay, 0, 5)
            await published(relay, 1, 5)
            await until(lambda: relay.restarts >= 2, "tried again")
            assert "MessageSizeTooLarge" in relay.errors[0]
            assert relay.positions[0] == 5
            (stop,) = relay.stops
            assert stop[:2] == (0, 6)
            assert stop.refused
            await until(lambda: noted(database) == [(0, 6, True)], "the stop is noted for everybody")
        assert await committed(settings, 0) == stored(database.owner_uri, 0)[:5]
        assert await committed(settings, 1) == stored(database.owner_uri, 1)

    asyncio.run(steps())


def noted(database: Database) -> list[tuple[int, int, bool]]:
    with psycopg.connect(database.auditor_uri) as connection:
        return connection.execute("select partition, position, refused from relay_stops").fetchall()


def test_a_topic_that_takes_less_than_it_did_gets_smaller_batches(database: Database, settings: Settings) -> None:
    """A setting that somebody changed on the broker stops no event that it still takes."""
    arguments = kafka_arguments(settings)
    write(database.writer_uri, 0, 200, data=b"x" * 5_000)

    async def steps() -> None:
        assert await set_max_message_bytes(arguments, ledger(settings), 60_000) == 60_000
        async with running(settings) as relay:
            await published(relay, 0, 200)
            await until(lambda: not relay.errors, "no partition complains any more")
            assert 1 <= relay.restarts <= 3
            write(database.writer_uri, 0, 1, data=b"x" * 70_000)
            await until(lambda: noted(database) == [(0, 201, True)], "the stop is noted")
            await set_max_message_bytes(arguments, ledger(settings), 80_000)
            await published(relay, 0, 201)
            await until(lambda: not noted(database), "it is forgotten")
        assert await committed(settings, 0) == stored(database.owner_uri, 0)
        await topics.check(settings, PARTITIONS)  # no other setting has changed

    asyncio.run(steps())


@pytest.mark.parametrize("told", [True, False], ids=["the topic tells", "the topic does not tell"])
def test_batches_grow_again_once_the_topic_takes_more(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    arguments, small, data = kafka_arguments(settings), 300_000, b"x" * 20_000
    monkeypatch.setattr("infra.relay.lane.GROW_EVERY_S", 0.1)
    if not told:
        monkeypatch.setattr("infra.relay.lane.max_message_bytes", AsyncMock(side_effect=KafkaError("not allowed")))

    async def batches() -> list[int]:
        """How many events each of them had: what ends a transaction takes an offset of its own."""
        offsets = [record.offset for record in await records_of(settings, 0)]
        starts = [i for i, offset in enumerate(offsets) if i == 0 or offset != offsets[i - 1] + 1]
        return [end - start for start, end in pairwise([*starts, len(offsets)])]

    async def steps() -> None:
        await set_max_message_bytes(arguments, ledger(settings), small)
        async with running(settings) as relay:
            write(database.writer_uri, 0, 100, data=data)
            await published(relay, 0, 100)
            before = await batches()
            assert max(before) <= small // len(data)
            await set_max_message_bytes(arguments, ledger(settings), 2_000_000)
            for last in range(200, 1_100, 100):
                write(database.writer_uri, 0, 100, data=data)
                await published(relay, 0, last)
                if max(await batches()) > 2 * max(before):
                    break
            assert max(await batches()) > 2 * max(before)
        assert await committed(settings, 0) == stored(database.owner_uri, 0)

    asyncio.run(steps())


def test_a_relay_that_ends_for_good_says_why_where_others_look(database: Database, settings: Settings) -> None:
    with psycopg.connect(database.owner_uri) as connection, connection.cursor() as cursor:
        newer = following(head(cursor, 2), 2, 3)

    async def steps() -> None:
        await (await send_foreign(settings, newer, log_id(database), end="commit")).stop()
        with pytest.raises(TopicDisagrees):
            await new_relay(settings).run(asyncio.Event())

    asyncio.run(steps())
    assert noted(database) == [(2, 3, True)]


def test_the_second_relay_waits_and_takes_over(database: Database, settings: Settings) -> None:
    async def steps() -> None:
        async with running(settings) as first:
            async with running(settings) as second:
                write(database.writer_uri, 3, 10)
                await published(first, 3, 10)
                assert (first.active, second.active) == (True, False)
                with psycopg.connect(database.owner_uri, autocommit=True) as connection:
                    connection.execute("select pg_terminate_backend(session) from leases where name = 'relay'")
                await until(lambda: first.active != second.active and (first.ready or second.ready), "one is active")
                write(database.writer_uri, 3, 10)
                await until(lambda: 20 in (first.positions.get(3), second.positions.get(3)), "all published")
            # Now whichever was the second is gone.
            await until(lambda: first.ready, "the first is alone")
            write(database.writer_uri, 3, 10)
            await published(first, 3, 30)
        assert await committed(settings, 3) == stored(database.owner_uri, 3)

    asyncio.run(steps())


def test_who_lost_the_lease_unknowingly_is_fenced(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two relays that both believe to be the active one: whatever they do, nothing comes twice."""

    async def believes(_: object) -> bool:
        return True

    monkeypatch.setattr("infra.postgres.lease.Lease.take", believes)
    monkeypatch.setattr("infra.postgres.lease.Lease.confirm", believes)

    async def steps() -> None:
        async with running(settings) as first, running(settings) as second:
            for _ in range(10):
                write(database.writer_uri, 0, 50)
                reached = len(stored(database.owner_uri, 0))
                await until(lambda n=reached: n in (first.positions.get(0), second.positions.get(0)), "published")  # type: ignore[misc]
            assert first.restarts + second.restarts > 0
        assert await committed(settings, 0) == stored(database.owner_uri, 0)

    asyncio.run(steps())


def test_a_topic_ahead_of_the_database_is_refused(database: Database, settings: Settings) -> None:
    """As after restoring an old backup."""
    with psycopg.connect(database.owner_uri) as connection, connection.cursor() as cursor:
        newer = following(head(cursor, 2), 2, 3)

    async def steps() -> None:
        await (await send_foreign(settings, newer, log_id(database), end="commit")).stop()
        with pytest.raises(TopicDisagrees, match="partition 2 the topic is ahead: position 3") as caught:
            await new_relay(settings).run(asyncio.Event())
        assert (caught.value.partition, caught.value.position) == (2, 3)
        write(database.writer_uri, 2, 3)  # new events on the old backup: the same positions, another history
        with pytest.raises(TopicDisagrees, match="another event at position 3"):
            await new_relay(settings).run(asyncio.Event())
        assert await committed(settings, 2) == newer

    asyncio.run(steps())


def test_the_topic_of_another_log_is_refused(database: Database, settings: Settings) -> None:
    events = write(database.writer_uri, 0, 1)

    async def steps() -> None:
        await (await send_foreign(settings, events, "another-log", end="commit")).stop()
        with pytest.raises(TopicDisagrees, match="belongs to another log, another-log"):
            await new_relay(settings).run(asyncio.Event())

    asyncio.run(steps())


def test_who_ends_while_its_reader_stops_is_ended(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiokafka swallows a cancellation while it stops: a lane would go on, and the relay never say why it ended."""
    stop = AIOKafkaConsumer.stop
    asked: list[bool] = []

    async def steps() -> None:
        for turns in range(8):  # of the event loop, after which the task is cancelled
            task = asyncio.ensure_future(tail_of(settings, database))

            async def stop_late(reader: AIOKafkaConsumer, task: "asyncio.Task[int]" = task, turns: int = turns) -> None:
                def later(left: int) -> None:
                    asyncio.get_running_loop().call_soon(later, left - 1) if left else asked.append(task.cancel())

                later(turns)
                await stop(reader)

            monkeypatch.setattr(AIOKafkaConsumer, "stop", stop_late)
            await asyncio.wait([task])
            assert task.cancelled(), f"it went on after {turns} turns"

    asyncio.run(steps())
    assert any(asked)


def test_a_lane_whose_cancellation_is_swallowed_ends_with_the_others(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled: list[int] = []

    async def position(_kafka: object, _topic: str, partition: int, *_: object) -> int:
        if partition == 0:
            await all_wait.wait()
            raise TopicDisagrees(0, 1, "is planted")
        waiting.append(partition)
        if len(waiting) == PARTITIONS - 1:
            all_wait.set()
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            cancelled.append(partition)
        return 0

    waiting: list[int] = []
    all_wait = asyncio.Event()
    monkeypatch.setattr("infra.relay.lane.last_published", position)

    async def steps() -> None:
        async with asyncio.timeout(patient(20)):
            with pytest.raises(TopicDisagrees, match="is planted"):
                await new_relay(settings).run(asyncio.Event())

    asyncio.run(steps())
    assert sorted(cancelled) == [*range(1, PARTITIONS)]


Strangers = Callable[[list[LedgerEvent], str], list[LedgerRecord]]
STRANGERS: dict[str, Strangers] = {
    "no record of ours": lambda events, log: [LedgerRecord(b"", b"hello", [])],
    "an old event again": lambda events, log: [to_record(events[2], log)],
    "many old events again": lambda events, log: [to_record(events[2], log)] * 40,
    "the hash of an event that is not yet published": lambda events, log: [
        to_record(events[24]._replace(data=b'{"n":9}'), log)
    ],
    "a copy of an event that is not yet published": lambda events, log: [to_record(events[24], log)],
    "a position that the log does not have": lambda events, log: [to_record(events[4]._replace(position=900), log)],
    "a record of another log": lambda events, log: [to_record(events[5], "another-log")],
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_what_others_wrote_at_the_end_of_the_topic_makes_no_event_missing(
    database: Database, settings: Settings, stranger: str
) -> None:
    """A relay that took the last record's word for it would skip events, publish them twice, or stand still."""
    write(database.writer_uri, 0, 20)

    async def steps() -> None:
        async with running(settings) as relay:
            await published(relay, 0, 20)
        write(database.writer_uri, 0, 10)
        events = stored(database.owner_uri, 0)
        records = STRANGERS[stranger](events, log_id(database))
        producer = AIOKafkaProducer(**kafka_arguments(settings))
        await producer.start()
        for key, value, headers in records:
            await producer.send_and_wait(ledger(settings), value, key, 0, headers=headers)
        await producer.stop()
        async with running(settings) as relay:
            await published(relay, 0, 30)
            assert relay.published == 10
        ours = [to_record(event, log_id(database)) for event in events]
        found = [LedgerRecord(each.key, each.value, list(each.headers)) for each in await records_of(settings, 0)]
        assert found == ours[:20] + records + ours[20:]

    asyncio.run(steps())


def test_a_record_with_a_hash_that_follows_stops_the_relay(database: Database, settings: Settings) -> None:
    """It could be an event that the database has lost: somebody must decide."""
    events = write(database.writer_uri, 0, 20)

    async def steps() -> None:
        async with running(settings) as relay:
            await published(relay, 0, 20)
        follower = following(Head(20, events[-1].hash, None), 0, 1)
        await (await send_foreign(settings, follower, log_id(database), end="commit")).stop()
        with pytest.raises(TopicDisagrees, match="is ahead: position 21 is not in the database"):
            await new_relay(settings).run(asyncio.Event())
        write(database.writer_uri, 0, 20)  # another history, and longer than the first window that is looked at
        with pytest.raises(TopicDisagrees, match="has another event at position 21"):
            await new_relay(settings).run(asyncio.Event())

    asyncio.run(steps())


def test_nothing_is_missed_when_a_writer_sleeps_before_its_commit(database: Database, settings: Settings) -> None:
    """T-GAP: one writer of nine sleeps between insert and commit, in a partition that the others write to as well."""

    def others(number: int) -> None:
        for turn in range(25):
            write(database.writer_uri, (number + turn) % PARTITIONS, 40)

    def sleeper() -> None:
        for _ in range(3):
            write(database.writer_uri, 0, 40, hold_s=0.5)

    async def steps() -> None:
        async with running(settings) as relay:
            threads = [threading.Thread(target=others, args=(number,)) for number in range(8)]
            threads.append(threading.Thread(target=sleeper))
            for thread in threads:
                thread.start()
            for thread in threads:
                await asyncio.to_thread(thread.join)
            for partition in range(PARTITIONS):
                await published(relay, partition, len(stored(database.owner_uri, partition)))
            assert relay.published == 8 * 25 * 40 + 3 * 40
        for partition in range(PARTITIONS):
            assert await committed(settings, partition) == stored(database.owner_uri, partition)

    asyncio.run(steps())


def test_a_position_that_is_not_there_yet_is_never_skipped(database: Database, settings: Settings) -> None:
    """Could a writer commit position 3 before 2, it would be refused rather than 2 lost for ever."""
    with psycopg.connect(database.owner_uri) as connection, connection.cursor() as cursor:
        first, _, third = following(head(cursor, 0), 0, 3)
        PostgresLog.append(cursor, [first, third])

    async def steps() -> None:
        with pytest.raises(LogGap, match="Partition 0 of the log has a gap"):
            await new_relay(settings).run(asyncio.Event())
        assert await committed(settings, 0) == []

    asyncio.run(steps())


def test_the_role_refuses_a_topic_that_would_lose_events(database: Database, kafka: str, topic_prefix: str) -> None:
    with pytest.raises(UnsafeSetting, match=r"scrip\.ledger is missing"):
        asyncio.run(run_relay(settings_for(database.relay_uri, kafka, topic_prefix), asyncio.Event()))


def test_the_role_waits_for_its_servers_until_it_is_told_to_stop(database: Database, topic_prefix: str) -> None:
    nobody = f"127.0.0.1:{free_port()}"

    async def steps() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(run_relay(settings_for(database.relay_uri, nobody, topic_prefix), stop))
        done, _ = await asyncio.wait([task], timeout=1.5)
        assert not done
        stop.set()
        await asyncio.wait_for(task, patient(10))

    asyncio.run(steps())
