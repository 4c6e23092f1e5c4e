"""The lock comes first and the look after it, so that writers in any number never fork the log or leave gaps."""

import threading
from datetime import UTC, datetime

from domain.credits.address import stream_of
from domain.credits.events import CreditsDebited
from domain.registry import SCRIP
from infra.log import statements
from infra.log.chain import link_of
from infra.log.events import LedgerEvent
from infra.log.mapper import LedgerMapper
from infra.log.postgres import PostgresLog
from infra.partitions import partition_of
from infra.writer.submission import Outcome
from infra.writer.writer import Writer
from tests.conftest import PARTITIONS, Database
from tests.infra.writer.ledger_kit import (
    ALICE,
    DEADLINE_S,
    ORG,
    accepted,
    account,
    check_log,
    debit,
    grant,
    locked,
    stored,
    submission,
    until,
    waiting_for_lock,
)
from tests.waiting import joined

PARTITION = partition_of(ORG, PARTITIONS)


def test_a_writer_that_waited_for_the_lock_sees_what_was_committed_meanwhile(database: Database) -> None:
    with Writer(database.writer_uri, SCRIP) as one, Writer(database.writer_uri, SCRIP) as other:
        accepted(one, grant(10))
        assert account(other).available == 10  # it has a state of its own, as of now
        with locked(database.writer_uri) as holder:
            waiting = other.submit([submission(debit("d-2", 5))])
            until(lambda: waiting_for_lock(database.owner_uri), "the writer waits for the lock")
            last = stored(database.owner_uri, PARTITION)[-1]
            PostgresLog.append(holder.cursor(), [_debited(last, "d-1", 6)])
            holder.execute("commit")
        (refused,) = waiting.result(DEADLINE_S)
        assert isinstance(refused, Outcome)
        assert refused.refusal is not None
        assert refused.refusal.facts == {"required": 5, "available": 4, "deficit": 1}
        assert len(check_log(database.owner_uri)) == 2


def test_no_event_is_missed_while_one_writer_sleeps_between_insert_and_commit(database: Database) -> None:
    """T-GAP: a reader that follows positions gets every event, in order, whoever commits when."""
    writers, rounds = 8, 60
    seen: list[int] = []
    done = threading.Event()

    def follow() -> None:
        with statements.connect(database.relay_uri, "test") as connection:
            while True:
                ended = done.is_set()
                rows = connection.execute(
                    "select position from events where partition = %s and position > %s order by position",
                    (PARTITION, seen[-1] if seen else 0),
                ).fetchall()
                seen.extend(row[0] for row in rows)
                if ended and not rows:
                    return

    def write(number: int) -> None:
        with Writer(database.writer_uri, SCRIP) as writer:
            for turn in range(rounds):
                accepted(writer, debit(f"d-{number}-{turn}"))

    with Writer(database.writer_uri, SCRIP) as writer:
        accepted(writer, grant(10_000))
    reader = threading.Thread(target=follow)
    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    reader.start()
    held = 0
    with locked(database.writer_uri) as sleeper:
        # All eight wait for this transaction, which has inserted and not committed.
        last = stored(database.owner_uri, PARTITION)[-1]
        PostgresLog.append(sleeper.cursor(), [_debited(last, "d-slow", 1)])
        for thread in threads:
            thread.start()
        until(lambda: waiting_for_lock(database.owner_uri) == writers, "all writers wait")
        held = len(stored(database.owner_uri, PARTITION))
        sleeper.execute("commit")
    joined(*threads)
    done.set()
    joined(reader)
    assert held == 1  # nothing was committed past the sleeper
    events = check_log(database.owner_uri)
    assert len(events) == writers * rounds + 2
    assert events[1].tag == "debit/d-slow"
    assert seen == [event.position for event in events]


def test_two_writers_on_one_account_spend_each_credit_once(database: Database) -> None:
    with Writer(database.writer_uri, SCRIP) as one, Writer(database.writer_uri, SCRIP) as other:
        accepted(one, grant(100))
        waiting = [
            writer.submit([submission(debit(f"d-{name}-{turn}"))])
            for turn in range(100)
            for name, writer in (("one", one), ("other", other))
        ]
        outcomes = [future.result(DEADLINE_S)[0] for future in waiting]
        taken = [item for item in outcomes if isinstance(item, Outcome) and item.refusal is None]
        assert len(taken) == 100
        assert len({item.position for item in taken}) == 100
        assert account(one).available == account(other).available == 0
        assert len(check_log(database.owner_uri)) == 101


def test_a_batch_of_many_partitions_meets_another_in_the_other_order_without_a_deadlock(database: Database) -> None:
    orgs = [f"org-{number}" for number in range(12)]
    assert len({partition_of(org, PARTITIONS) for org in orgs}) == PARTITIONS
    with Writer(database.writer_uri, SCRIP) as one, Writer(database.writer_uri, SCRIP) as other:
        futures = [
            writer.submit([submission(grant(1, grant_id=f"{name}-{turn}"), org=org) for org in order])
            for turn in range(30)
            for name, writer, order in (("one", one, orgs), ("other", other, list(reversed(orgs))))
        ]
        for future in futures:
            assert all(isinstance(item, Outcome) and item.refusal is None for item in future.result(DEADLINE_S))
        assert one.counters.failures == other.counters.failures == 0
    assert len(check_log(database.owner_uri)) == 30 * 2 * len(orgs)


def _debited(last: LedgerEvent, debit_id: str, amount: int) -> LedgerEvent:
    """The event that another process would write after `last`."""
    (first,) = [LedgerMapper.of(SCRIP).decode(last.type, last.data)]
    event = CreditsDebited(debit_id=debit_id, amount=amount, slices=(first.grant._replace(amount=amount),))
    type_, data = LedgerMapper.of(SCRIP).encode(event, "user:other", "other-key")
    bare = last._replace(
        position=last.position + 1,
        version=last.version + 1,
        stream=stream_of(ALICE),
        type=type_,
        tag=event.tag,
        actor="user:other",
        time=datetime.now(UTC),
        data=data,
    )
    return bare._replace(hash=link_of(last.hash, bare))
