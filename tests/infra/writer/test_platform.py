"""The price book is another partition's stream: read before a batch, without its lock, and never out of date."""

from datetime import datetime

import pytest

from domain.credits.address import stream_of
from domain.credits.commands import ReservePriced
from domain.prices.book import STREAM
from domain.prices.events import PriceEntry
from domain.prices.publish import PublishPrices
from domain.prices.quote import Ask
from domain.registry import SCRIP
from infra.partitions import PLATFORM, partition_of
from infra.writer.cache import Cache
from infra.writer.submission import Outcome
from infra.writer.writer import Writer
from tests.conftest import PARTITIONS, Database, move_clock
from tests.infra.writer.asking import now
from tests.infra.writer.ledger_kit import (
    ALICE,
    ORG,
    accepted,
    code,
    grant,
    locked,
    outcome,
    submission,
    together,
    until,
    waiting_for_lock,
)


def publish(writer: Writer, price: int, *, first: bool = False, at: datetime | None = None) -> None:
    entry = PriceEntry(model="Gen-4", operation="video", credits=price)
    accepted(writer, PublishPrices(entries=(entry,), first=first, effective_at=at), org=PLATFORM)


def priced(reservation_id: str) -> ReservePriced:
    return ReservePriced(address=ALICE, reservation_id=reservation_id, ask=Ask(model="Gen-4", operation="video"))


def paid(result: Outcome) -> int:
    assert result.refusal is None, result.refusal
    ((_, event),) = result.events
    return int(event.amount)


def test_the_account_and_the_prices_live_in_different_partitions() -> None:
    assert partition_of(ORG, PARTITIONS) != partition_of(PLATFORM, PARTITIONS)  # or the tests below show less


def test_a_new_price_is_used_by_a_writer_that_was_idle(writer: Writer, database: Database) -> None:
    with Writer(database.writer_uri, SCRIP) as idle:
        publish(writer, 7, first=True)
        accepted(writer, grant(1000))
        assert paid(accepted(idle, priced("r-1"))) == 7
        publish(writer, 9)
        assert paid(accepted(idle, priced("r-2"))) == 7  # announced, not yet in force
        move_clock(database, "5 seconds")
        until(lambda: paid(accepted(idle, priced(f"r-{idle.counters.commands}"))) == 9, "the new price", 1.5)


def test_a_batch_that_waited_for_its_lock_past_the_notice_looks_again(writer: Writer, database: Database) -> None:
    publish(writer, 7, first=True)
    accepted(writer, grant(1000))
    with Writer(database.writer_uri, SCRIP) as other:
        assert paid(accepted(other, priced("r-1"))) == 7
        with locked(database.writer_uri):
            waiting = other.submit([submission(priced("r-2"))])
            until(lambda: waiting_for_lock(database.owner_uri), "the batch waits")
            publish(writer, 9)
            move_clock(database, "6 seconds")
        (found,) = waiting.result(30)
        assert isinstance(found, Outcome)
        assert paid(found) == 9


def test_prices_are_there_after_a_batch_that_failed(writer: Writer, caplog: pytest.LogCaptureFixture) -> None:
    publish(writer, 7, first=True)
    accepted(writer, grant(1000))
    assert paid(accepted(writer, priced("r-1"))) == 7
    caplog.set_level("CRITICAL")
    bad = submission(grant(1, grant_id="g-bad"))
    bad.actor = "nul\0"
    failed = writer.submit([bad])
    assert failed.exception(30) is not None
    assert paid(accepted(writer, priced("r-2"))) == 7


def test_prices_are_there_when_the_cache_has_no_room(writer: Writer) -> None:
    publish(writer, 7, first=True)
    accepted(writer, grant(1000))
    for partition in range(PARTITIONS):
        writer._loader.caches[partition] = Cache(SCRIP.kind_of, writer._loader.codec, 1)
    for turn in range(3):
        assert paid(accepted(writer, priced(f"r-{turn}"))) == 7
        accepted(writer, grant(1, "user:bob:credits", f"g-{turn}"), org=PLATFORM)


def test_without_any_prices_the_answer_says_so_and_is_not_kept(writer: Writer) -> None:
    accepted(writer, grant(1000))
    assert code(outcome(writer, priced("r-1"), "k-1")) == "unpriced"
    publish(writer, 7, first=True)
    assert paid(accepted(writer, priced("r-1"), "k-1")) == 7


def test_a_publication_and_a_priced_command_share_a_batch(writer: Writer) -> None:
    publish(writer, 7, first=True)
    accepted(writer, grant(1000))
    entry = PriceEntry(model="Gen-4", operation="video", credits=9)
    found = together(writer, [submission(PublishPrices(entries=(entry,)), org=PLATFORM)], [submission(priced("r-1"))])
    assert code(found[0][0]) is None
    assert paid(found[1][0]) == 7
    book = now(writer, PLATFORM, [STREAM]).states[STREAM]
    assert book.latest == 2
    assert now(writer, ORG, [stream_of(ALICE)]).states[stream_of(ALICE)].reserved == 7
