"""One command that cannot be decided or stored does not undo the others of its batch."""

import logging
from collections.abc import Iterator
from concurrent.futures import Future
from time import monotonic
from typing import Any

import psycopg
import pytest

from domain.credits.address import stream_of
from domain.credits.commands import Grant, Reserve
from domain.generations.create import CreateGeneration
from domain.generations.request import Request
from domain.registry import SCRIP
from infra.writer.batch import Unit
from infra.writer.submission import Submission
from infra.writer.waiting import Waiting
from infra.writer.writer import Writer
from tests.conftest import Database
from tests.infra.writer.asking import now
from tests.infra.writer.ledger_kit import (
    DEADLINE_S,
    ORG,
    accepted,
    account,
    check_log,
    code,
    debit,
    grant,
    submission,
)

TOKENS = "user:alice:tokens"


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The writer logs such a fault with its trace, as it should; here that is only noise."""
    with caplog.at_level(logging.CRITICAL):
        yield


@pytest.mark.parametrize("place", [0, 50, 99])
def test_what_postgresql_cannot_store(writer: Writer, database: Database, place: int) -> None:
    accepted(writer, grant(1000))
    items = [submission(debit(f"d-{number}")) for number in range(100)]
    items[place].actor = "nul\0"
    futures = [writer.submit([item]) for item in items]
    for number, future in enumerate(futures):
        if number == place:
            assert isinstance(future.exception(DEADLINE_S), psycopg.DataError)
        else:
            assert code(future.result(DEADLINE_S)[0]) is None
    assert account(writer).available == 1000 - 99
    assert len(check_log(database.owner_uri)) == 100


@pytest.mark.parametrize("field", ["actor", "caller", "key"])
@pytest.mark.parametrize("text", ["one\x1fmore", "\x1e", "\x1f"], ids=["separator", "null", "only a separator"])
def test_what_would_shift_the_columns_of_its_batch(writer: Writer, database: Database, field: str, text: str) -> None:
    """The edges let no control characters in; should one come through, it must neither be stored nor move others."""
    accepted(writer, grant(1000))
    items = [submission(debit(f"d-{number}"), f"k-{number}") for number in range(5)]
    setattr(items[2], field, text)
    found = [item.result(DEADLINE_S) if not item.exception(DEADLINE_S) else None for item in _each(writer, items)]
    assert [result is None for result in found] == [False, False, True, False, False]
    assert [code(result[0]) for result in found if result] == [None] * 4
    events = check_log(database.owner_uri)
    assert [event.tag for event in events[1:]] == ["debit/d-0", "debit/d-1", "debit/d-3", "debit/d-4"]
    for number in (0, 1, 3, 4):
        assert accepted(writer, debit("d-again"), f"k-{number}").replayed


def _each(writer: Writer, items: list[Submission]) -> list[Any]:
    futures: list[Future[Any]] = [Future() for _ in items]
    deadline = monotonic() + DEADLINE_S
    writer.enqueue(
        [Waiting(Unit((item,)), future, None, deadline) for item, future in zip(items, futures, strict=True)]
    )
    return futures


def test_a_bug_in_a_decision(database: Database) -> None:
    poison = debit("d-poison")
    decider = SCRIP.deciders[type(poison)]

    def decide(work: Any, command: Any) -> None:
        if command is poison:
            raise ZeroDivisionError("a bug")
        decider.decide(work, command)

    with Writer(database.writer_uri, SCRIP.with_decider(type(poison), decider._replace(decide=decide))) as writer:
        accepted(writer, grant(1000))
        futures = [writer.submit([submission(command)]) for command in (debit("d-1"), poison, debit("d-2"))]
        assert isinstance(futures[1].exception(DEADLINE_S), ZeroDivisionError)
        assert [code(futures[index].result(DEADLINE_S)[0]) for index in (0, 2)] == [None, None]
        assert account(writer).available == 998
        assert len(check_log(database.owner_uri)) == 3


def test_what_was_emitted_before_a_refusal_is_nowhere(writer: Writer, database: Database) -> None:
    """A plain reservation has taken the id: that shows only after the generation and its period have been emitted."""
    accepted(writer, grant(1000))
    request = Request(user="alice", operation="chat", provider="any", tokens=5)
    accepted(writer, Grant(address=TOKENS, grant_id="t", amount=100, source="gift"))
    taken = Reserve(address=TOKENS, reservation_id="j1", amount=1)
    makes = [CreateGeneration(generation_id=id_, request=request) for id_ in ("j1", "j2")]
    found = _each(writer, [submission(command) for command in (taken, *makes, debit("d-1"))])
    assert [code(each.result(DEADLINE_S)[0]) for each in found] == [None, "exists", None, None]
    events = check_log(database.owner_uri)
    assert [event.stream for event in events if event.stream.startswith("generation/")] == ["generation/j2"]
    current = now(writer, ORG, ["generation/j1", stream_of(TOKENS)], ["reservation/j1"])  # a reader's and the writer's
    assert current.states["generation/j1"].asked is None
    assert len(current.tagged["reservation/j1"]) == 1
    assert sorted(current.states[stream_of(TOKENS)].holds) == ["j1", "j2"]


def test_a_command_of_an_unknown_kind(writer: Writer) -> None:
    accepted(writer, grant(10))
    futures = [writer.submit([submission(command)]) for command in (debit("d-1"), object(), debit("d-2"))]
    assert isinstance(futures[1].exception(DEADLINE_S), KeyError)
    assert [code(futures[index].result(DEADLINE_S)[0]) for index in (0, 2)] == [None, None]


def test_the_connection_is_kept(writer: Writer) -> None:
    accepted(writer, grant(10))
    bad = submission(debit("d-1"))
    bad.actor = "nul\0"
    before = writer._connection
    assert writer.submit([bad]).exception(DEADLINE_S) is not None
    accepted(writer, debit("d-1"))
    assert writer._connection is before
    assert writer.counters.failures == 0
