"""Publish a new version of the price book."""

from dataclasses import replace

import pytest

from domain.prices import book as price_book
from domain.prices.book import PriceBook
from domain.prices.catalogue import CATALOGUE
from domain.prices.events import PriceEntry, PricesPublished
from domain.prices.publish import PublishPrices
from domain.prices.quote import Ask, quote
from domain.prices.refusals import InvalidPrices
from domain.refusal import StaleVersion
from tests.domain.scenario import NOW, Scenario, after

CHAT = PriceEntry(operation="chat", credits=1)
DEARER = PriceEntry(operation="chat", credits=2)
EARLY = InvalidPrices(field="effective_at", reason="must be at least 5 seconds ahead")
RANGES = InvalidPrices(field="entries[1]", reason="prices are 0 to 10^12, percentages off 0 to 100, counts from 1")


def published(version: int, *entries: PriceEntry, seconds: float = 5) -> PricesPublished:
    return PricesPublished(version=version, effective_at=after(seconds), entries=entries)


FREE = "charges nothing; name a price above 0, or say free: true where that is meant"
TOO_MUCH = "costs more than 10^12 credits"
UNSIZED = "is needed above 0 beside rates without credits; a hold is sized from it"


def after_publishing(command: PublishPrices) -> tuple[PricesPublished, ...]:
    decided = Scenario().given(published(1, CHAT, seconds=0), of=price_book.STREAM).when(command).decided
    if decided.refusal is not None:
        raise decided.refusal
    return tuple(event for _, event in decided.events)


def in_book(version: int, entry: PriceEntry) -> tuple[str, PricesPublished]:
    return price_book.STREAM, published(version, entry)


def test_takes_effect_after_five_seconds() -> None:
    scenario = Scenario().given_prices(CHAT)
    decided = scenario.when(PublishPrices(entries=(DEARER,))).decided
    assert decided.events == (in_book(2, DEARER),)
    book = scenario.ledger.state(price_book.STREAM)
    asked = Ask(operation="chat")
    assert quote(book, asked, after(4.999999)).credits == 1
    assert quote(book, asked, after(5)).credits == 2
    assert quote(book, asked, after(5)).price_version == 2


@pytest.mark.parametrize("seconds", [5, 60, 86_400])
def test_takes_effect_when_it_says(seconds: int) -> None:
    assert after_publishing(PublishPrices(entries=(DEARER,), effective_at=after(seconds))) == (
        published(2, DEARER, seconds=seconds),
    )


@pytest.mark.parametrize("seconds", [4.999999, 0, -60])
def test_no_price_changes_without_notice(seconds: float) -> None:
    with pytest.raises(InvalidPrices) as caught:
        after_publishing(PublishPrices(entries=(DEARER,), effective_at=after(seconds)))
    assert caught.value == EARLY
    assert str(caught.value) == "effective_at: must be at least 5 seconds ahead."


def test_the_first_prices_of_an_installation_count_at_once_and_only_once() -> None:
    scenario = Scenario()
    command = PublishPrices(entries=CATALOGUE, first=True)
    assert scenario.when(command).decided.events == (
        (price_book.STREAM, PricesPublished(version=1, effective_at=NOW, entries=CATALOGUE)),
    )
    scenario.when(command).then_nothing()


def test_a_later_version_may_take_effect_before_an_earlier_one() -> None:
    year, soon = published(2, DEARER, seconds=31_536_000), published(3, replace(CHAT, credits=3))
    book = PriceBook((published(1, CHAT, seconds=0), year, soon))
    asked = Ask(operation="chat")
    assert quote(book, asked, NOW).price_version == 1
    assert quote(book, asked, after(5)).price_version == 3
    assert quote(book, asked, after(31_536_000)).price_version == 3, "the version published last stays in force"


def test_every_version_stays_known() -> None:
    book = PriceBook((published(1, CHAT), published(2, DEARER)))
    assert book.latest == 2
    assert book.version(1) == published(1, CHAT)
    assert book.version(3) is None


def test_refuses_prices_that_were_written_against_an_older_version() -> None:
    with pytest.raises(StaleVersion) as caught:
        after_publishing(PublishPrices(entries=(DEARER,), expected=0))
    assert caught.value == StaleVersion(what="price book", current=1)
    assert after_publishing(PublishPrices(entries=(DEARER,), expected=1)) == (published(2, DEARER),)


@pytest.mark.parametrize(
    ("entries", "field", "reason"),
    [
        ((CHAT, PriceEntry(operation="x")), "entries[1]", "must name credits, tokens, usd or rates"),
        ((PriceEntry(provider="BFL", credits=1),), "entries[0]", "must name a model or an operation"),
        ((CHAT, DEARER), "entries[1]", "prices the same thing as entries[0]"),
        ((CHAT, replace(CHAT, operation="CHAT")), "entries[1]", "prices the same thing as entries[0]"),
        ((CHAT,) * 2001, "entries", "at most 2000 are allowed"),
    ],
)
def test_refuses_a_book_that_cannot_be_meant(entries: tuple[PriceEntry, ...], field: str, reason: str) -> None:
    with pytest.raises(InvalidPrices) as caught:
        after_publishing(PublishPrices(entries=entries))
    assert caught.value == InvalidPrices(field=field, reason=reason)


@pytest.mark.parametrize(
    "entry",
    [
        PriceEntry(model="M", credits=-1),
        PriceEntry(model="M", tokens=10**12 + 1),
        PriceEntry(model="M", usd_micros=-5),
        PriceEntry(model="M", rates={"tokens": -1}),
        PriceEntry(model="M", credits=1, complexity={"x": -1}),
        PriceEntry(model="M", credits=1, bulk=((10, 101),)),
        PriceEntry(model="M", credits=1, bulk=((10, -1),)),
        PriceEntry(model="M", credits=1, bulk=((0, 5),)),
    ],
)
def test_no_price_is_negative_or_beyond_all_amounts(entry: PriceEntry) -> None:
    with pytest.raises(InvalidPrices) as caught:
        after_publishing(PublishPrices(entries=(CHAT, entry)))
    assert caught.value == RANGES


def test_the_catalogue_can_be_published() -> None:
    assert len(after_publishing(PublishPrices(entries=CATALOGUE))) == 1


@pytest.mark.parametrize(
    ("entry", "field", "reason"),
    [
        (PriceEntry(model="M", credits=0), "", FREE),
        (PriceEntry(model="M", rates={"x": 0}), "", FREE),
        (PriceEntry(model="M", credits=1, free=True), ".free", "is true, but the entry names a price above 0"),
        (PriceEntry(model="M", rates={"x": 1}, free=True), ".free", "is true, but the entry names a price above 0"),
        (PriceEntry(model="M", rates={"x": 1}), ".expected_usage", UNSIZED),
        (PriceEntry(model="M", tokens=5, rates={"x": 1}), ".expected_usage", UNSIZED),
        (PriceEntry(model="M", rates={"x": 1}, expected_usage={"x": 0}), ".expected_usage", UNSIZED),
        (PriceEntry(model="M", credits=1, expected_usage={"y": 1}), ".expected_usage.y", "has no rate to price it"),
        (PriceEntry(model="M", rates={"x": 10**12}, expected_usage={"x": 1001}), ".expected_usage", TOO_MUCH),
        (PriceEntry(model="M", credits=1, complexity={"low": 0}), ".complexity", "0 percent would be free"),
        (PriceEntry(model="M", credits=1, bulk=((10, 100),)), ".bulk", "100 percent off would be free"),
    ],
)  # fmt: skip
def test_what_a_price_promises_is_checked(entry: PriceEntry, field: str, reason: str) -> None:
    """Nothing is free but on purpose, and a hold can be sized for whatever is priced."""
    with pytest.raises(InvalidPrices) as caught:
        after_publishing(PublishPrices(entries=(CHAT, entry)))
    assert caught.value == InvalidPrices(field=f"entries[1]{field}", reason=reason)


@pytest.mark.parametrize(
    "entry",
    [
        PriceEntry(model="M", free=True),
        PriceEntry(model="M", credits=0, rates={"x": 0}, free=True),
        PriceEntry(model="M", usd_micros=1),
        PriceEntry(model="M", credits=5, rates={"x": 1}),
        PriceEntry(model="M", rates={"x": 1, "y": 0}, expected_usage={"x": 1}),
    ],
)
def test_what_may_be_published(entry: PriceEntry) -> None:
    assert after_publishing(PublishPrices(entries=(CHAT, entry)))[0].entries == (CHAT, entry)
