"""What a decision must know of an old entity is found by tag, the batch's own events included."""

from typing import Any

import pytest

from domain.credits.commands import Capture, Refund, Release, Reserve
from domain.registry import SCRIP
from infra.writer.draft import Draft
from infra.writer.writer import Writer
from tests.conftest import Database
from tests.infra.writer.asking import now
from tests.infra.writer.ledger_kit import (
    ALICE,
    accepted,
    account,
    check_log,
    code,
    debit,
    grant,
    outcome,
    reserve,
    results,
    submission,
    together,
)


def capture(reservation_id: str, debit_id: str) -> Capture:
    return Capture(address=ALICE, reservation_id=reservation_id, debit_id=debit_id)


def made(reservation_id: str) -> Reserve:
    """A hold with an id that the ledger made, which is not looked up beforehand."""
    return Reserve(address=ALICE, reservation_id=reservation_id, amount=1)


def release(reservation_id: str) -> Release:
    return Release(address=ALICE, reservation_id=reservation_id)


def refund(debit_id: str, refund_id: str, amount: int | None = None) -> Refund:
    return Refund(address=ALICE, refund_id=refund_id, debit_id=debit_id, amount=amount)


def codes(writer: Writer, *commands: object, atomic: bool = False) -> list[str | None]:
    return [code(item) for item in results(writer, *map(submission, commands), atomic=atomic)]


def test_a_refund_sees_the_debit_of_its_own_batch(writer: Writer, database: Database) -> None:
    assert codes(
        writer, grant(10), debit("d-1", 4), refund("d-1", "f-1", 3), refund("d-1", "f-2", 2), refund("d-1", "f-3")
    ) == [None, None, None, "exceeds_debit", None]
    assert code(outcome(writer, refund("d-1", "f-4"))) == "exceeds_debit"
    assert account(writer).available == 10
    check_log(database.owner_uri)


def test_a_refund_finds_a_debit_that_another_writer_made(writer: Writer, database: Database) -> None:
    accepted(writer, grant(10))
    assert code(outcome(writer, refund("d-1", "f-1"))) == "not_found"  # so that the tag is known to be empty
    with Writer(database.writer_uri, SCRIP) as other:
        accepted(other, debit("d-1", 4))
        accepted(other, refund("d-1", "f-2", 1))
    assert code(outcome(writer, refund("d-1", "f-3", 4))) == "exceeds_debit"
    accepted(writer, refund("d-1", "f-4", 3))


@pytest.mark.parametrize("before", [(), ("unknown",)], ids=["", "after another look-up"])
def test_a_hold_ends_once_in_one_batch_and_the_words_are_right(writer: Writer, before: tuple[str, ...]) -> None:
    accepted(writer, grant(10))
    assert codes(
        writer,
        reserve("r-1"),
        capture("r-1", "d-1"),
        *(release(name) for name in before),
        capture("r-1", "d-2"),
        release("r-1"),
        reserve("r-2"),
        release("r-2"),
        release("r-2"),
    ) == [
        None,
        None,
        *("not_found" for _ in before),
        "reservation_ended",
        "reservation_ended",
        None,
        None,
        "reservation_ended",
    ]
    late = outcome(writer, capture("r-2", "d-3"))
    assert late.refusal is not None
    assert late.refusal.facts["outcome"] == "released"
    late = outcome(writer, release("r-1"))
    assert late.refusal is not None
    assert late.refusal.facts["outcome"] == "captured"


def test_an_own_id_cannot_be_used_again_in_its_batch_or_later(writer: Writer, database: Database) -> None:
    accepted(writer, grant(10))
    assert codes(writer, reserve("r-1"), reserve("r-1"), release("r-1"), reserve("r-1")) == [
        None,
        "exists",
        None,
        "exists",
    ]
    assert code(outcome(writer, reserve("r-1"))) == "exists"
    with Writer(database.writer_uri, SCRIP) as other:
        assert code(outcome(other, reserve("r-1"))) == "exists"


def test_an_id_made_and_looked_up_in_one_batch_stays_taken(writer: Writer) -> None:
    """The look-up by tag comes after the events that the batch itself has made, and they must not be forgotten."""
    accepted(writer, grant(10))
    assert codes(writer, made("r-1"), capture("r-1", "d-1"), release("unknown"), release("r-1")) == [
        None,
        None,
        "not_found",
        "reservation_ended",
    ]
    assert code(outcome(writer, reserve("r-1"))) == "exists"


def test_events_of_the_batch_that_were_sent_early_are_not_counted_twice(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.writer.batch.SEND_EVERY", 1)
    sent: list[int] = []
    send = Draft.send

    def counted(self: Draft, cursor: Any, *, at_least: int = 1) -> None:
        sent.append(at_least)
        send(self, cursor, at_least=at_least)

    monkeypatch.setattr(Draft, "send", counted)
    accepted(writer, grant(10))
    commands = (made("r-1"), release("r-1"), release("r-1"), debit("d-1", 4), refund("d-1", "f-1", 2))
    found = together(writer, *([submission(command)] for command in commands))
    assert [code(item) for (item,) in found] == [None, None, "reservation_ended", None, None]
    assert sent.count(1) > len(commands)
    current = now(writer, "acme", [], ["reservation/r-1", "debit/d-1"])
    assert {tag: len(events) for tag, events in current.tagged.items()} == {"reservation/r-1": 2, "debit/d-1": 2}


def test_a_taken_back_group_leaves_tags_as_they_were(writer: Writer) -> None:
    accepted(writer, grant(10))
    units: list[list[Any]] = [
        [made("r-1")],
        [release("r-1"), release("r-1")],
        [capture("r-1", "d-1")],
        [capture("r-1", "d-2")],
    ]
    found = together(writer, *([submission(command) for command in unit] for unit in units), atomic=[1])
    assert [[code(item) for item in unit] for unit in found] == [
        [None],
        ["NotApplied", "reservation_ended"],
        [None],
        ["reservation_ended"],
    ]
    assert code(outcome(writer, reserve("r-1"))) == "exists"
    current = now(writer, "acme", [], ["reservation/r-1"])
    assert len(current.tagged["reservation/r-1"]) == 1
