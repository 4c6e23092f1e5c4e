"""What the writer's tests share: short submissions, and checks of what the log holds afterwards."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import psycopg

from domain.credits.account import Account
from domain.credits.address import stream_of
from domain.credits.commands import Debit, Grant, Reserve
from domain.registry import SCRIP
from infra.log import statements
from infra.log.chain import GENESIS, link_of
from infra.log.events import LedgerEvent
from infra.log.mapper import LedgerMapper
from infra.log.statements import Connection
from infra.partitions import partition_of
from infra.writer.batch import Unit
from infra.writer.submission import KeyReused, NotApplied, Outcome, Submission
from infra.writer.waiting import Waiting
from infra.writer.writer import Writer
from tests.conftest import PARTITIONS
from tests.infra.writer.asking import now
from tests.waiting import patient

ORG = "acme"
ALICE = "user:alice:credits"
BOB = "user:bob:credits"
DEADLINE_S = patient(30.0)


def submission(
    command: Any, key: str | None = None, *, org: str = ORG, caller: str = "test", **more: Any
) -> Submission:
    """A command of a test caller; `key` none for one of its own."""
    item = Submission(org=org, command=command, actor="user:tester", caller=caller, **more)
    if key is not None:
        item.key = key
    return item


def grant(amount: int = 1000, address: str = ALICE, grant_id: str = "g-1", **more: Any) -> Grant:
    """A grant for whoever needs credits first."""
    return Grant(address=address, grant_id=grant_id, amount=amount, source="purchase", **more)


def debit(debit_id: str, amount: int = 1, address: str = ALICE) -> Debit:
    """The simplest command that leaves one event."""
    return Debit(address=address, debit_id=debit_id, amount=amount)


def reserve(reservation_id: str, amount: int = 1, address: str = ALICE, **more: Any) -> Reserve:
    """A hold with an id that the caller chose."""
    return Reserve(address=address, reservation_id=reservation_id, amount=amount, own_id=True, **more)


def results(writer: Writer, *items: Submission, atomic: bool = False) -> list[Any]:
    """What one unit of submissions came to."""
    return list(writer.submit(items, atomic=atomic).result(DEADLINE_S))


def outcome(writer: Writer, command: Any, key: str | None = None, **more: Any) -> Outcome:
    """What one command came to."""
    (result,) = results(writer, submission(command, key, **more))
    assert isinstance(result, Outcome), result
    return result


def accepted(writer: Writer, command: Any, key: str | None = None, **more: Any) -> Outcome:
    """The same for one that must not be refused."""
    result = outcome(writer, command, key, **more)
    assert result.refusal is None, result.refusal
    return result


def code(result: Outcome | KeyReused | NotApplied) -> str | None:
    """The refusal's code, the name of a result that is no outcome, or none where the command was accepted."""
    if not isinstance(result, Outcome):
        return type(result).__name__
    return result.refusal.code if result.refusal else None


def account(writer: Writer, address: str = ALICE, org: str = ORG) -> Account:
    """An account as it is now, for a reader and for the writer."""
    state: Account = now(writer, org, [stream_of(address)]).states[stream_of(address)]
    return state


def stored(uri: str, partition: int | None = None) -> list[LedgerEvent]:
    """The log, in order; only one partition's part where it is given."""
    where = "" if partition is None else f"where partition = {partition}"
    with psycopg.connect(uri) as connection:
        rows = connection.execute(f"select {statements.COLUMNS} from events {where} order by partition, position")
        return [LedgerEvent(*row) for row in rows]


def check_log(uri: str) -> list[LedgerEvent]:
    """The log, after a check that positions and versions have no gaps and that every hash follows from the last."""
    events = stored(uri)
    versions: dict[tuple[str, str], int] = {}
    for partition in range(PARTITIONS):
        previous, time_before = GENESIS, None
        for position, event in enumerate((event for event in events if event.partition == partition), 1):
            stream = (event.org, event.stream)
            versions[stream] = versions.get(stream, 0) + 1
            assert event.position == position
            assert event.version == versions[stream]
            assert event.hash == link_of(previous, event)
            assert time_before is None or event.time >= time_before
            previous, time_before = event.hash, event.time
    return events


def replayed(uri: str, address: str = ALICE, org: str = ORG) -> Account:
    """An account folded from its first event, without any cache or snapshot."""
    codec, stream = LedgerMapper.of(SCRIP), stream_of(address)
    kind = SCRIP.kind_of(stream)
    state: Account = kind.initial
    for event in stored(uri, partition_of(org, PARTITIONS)):
        if (event.org, event.stream) == (org, stream):
            state = kind.evolve(state, codec.decode(event.type, event.data))
    return state


def same_account(one: Account, other: Account) -> bool:
    """Equal but for the hint of what is next due, which may be early."""
    return one._replace(next_due=None) == other._replace(next_due=None)  # type: ignore[arg-type]


def until(true: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Wait for a condition and return what it gave; fails with `what` when the deadline passes."""
    end = time.monotonic() + deadline_s
    while not (found := true()):
        assert time.monotonic() < end, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.005)
    return found


@contextmanager
def locked(uri: str, org: str = ORG) -> Iterator[Connection]:
    """Another session that holds the partition's lock, in a transaction that is rolled back at the end."""
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("begin")
        statements.lock(connection.cursor(), [partition_of(org, PARTITIONS)])
        yield connection
        if not connection.closed and connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            connection.execute("rollback")


def waiting_for_lock(uri: str) -> int:
    """How many sessions wait for a partition's lock."""
    with psycopg.connect(uri) as connection:
        row = connection.execute(
            "select count(*) from pg_locks where locktype in ('transactionid', 'tuple', 'advisory') and not granted"
            " and pid in (select pid from pg_stat_activity where datname = current_database())"
        ).fetchone()
    return int(row[0]) if row else 0


def together(writer: Writer, *units: Sequence[Submission], atomic: Sequence[int] = ()) -> list[Any]:
    """What units came to that reach an idle writer at once and so make one batch; `atomic`: indexes of such units."""
    futures: list[Future[Any]] = [Future() for _ in units]
    deadline = time.monotonic() + DEADLINE_S
    writer.enqueue(
        [
            Waiting(Unit(unit, index in atomic), future, None, deadline)
            for index, (unit, future) in enumerate(zip(units, futures, strict=True))
        ]
    )
    return [future.result(DEADLINE_S) for future in futures]
