"""What something costs, by the price book: every figure of S4 and S2, and what happens where there is none."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from domain.prices.book import PriceBook
from domain.prices.catalogue import CATALOGUE
from domain.prices.events import OptionValue, PriceEntry, PricesPublished
from domain.prices.names import Named
from domain.prices.quote import Ask, CreditPrice, Quote, credits_of, metered, quote, quote_or_none, usage_cost
from domain.prices.refusals import Unpriced, UnpricedScale, UnsizedHold
from tests.domain.scenario import NOW, after

HAILUO = "MiniMax-Hailuo-02"
HAILUO_PRICED = tuple(f"{HAILUO} {options}" for options in ("512P 6s", "512P 10s", "768P 6s", "768P 10s", "1080P 6s"))


def book(*entries: PriceEntry) -> PriceBook:
    return PriceBook((PricesPublished(version=1, effective_at=NOW, entries=entries),))


STARTED = book(*CATALOGUE)


def ask(model: str | None = None, **options: OptionValue) -> Ask:
    return Ask(model=model, options=options)


@pytest.mark.parametrize(
    ("model", "options", "price"),
    [
        (HAILUO, {"resolution": "512P", "duration": 6}, 320),
        (HAILUO, {"resolution": "512P", "duration": 10}, 420),
        (HAILUO, {"resolution": "768P", "duration": 6}, 680),
        (HAILUO, {"resolution": "768P", "duration": 10}, 1240),
        (HAILUO, {"resolution": "1080P", "duration": 6}, 1100),
        ("T2V-01-Director", {}, 980),
        ("I2V-01-Director", {}, 980),
        ("S2V-01", {}, 1420),
        ("Gen-4 Turbo", {"duration": 5}, 620),
        ("Gen-4 Turbo", {"duration": 10}, 1120),
        ("Gen-3a Turbo", {"duration": 5}, 620),
        ("Gen-3a Turbo", {"duration": 10}, 1120),
        ("Gen-4 Aleph", {"duration": 10}, 3120),
        ("FLUX.1 Kontext [pro]", {}, 110),
        ("FLUX.1 Kontext [max]", {}, 190),
        ("FLUX 1.1 [pro] Ultra", {}, 150),
        ("FLUX.1 [dev]", {}, 90),
        ("FLUX.1 [pro]", {}, 130),
        ("Music 1.5", {"duration": 90}, 90),
        ("Music 1.5", {}, 90),
    ],
)
def test_every_price_of_s4(model: str, options: Mapping[str, OptionValue], price: int) -> None:
    """S4-2."""
    found = quote(STARTED, ask(model, **options), NOW)
    assert (found.credits, found.tokens, found.usd_micros, found.price_version) == (price, None, None, 1)


@pytest.mark.parametrize(
    ("size", "quality", "usd_micros"),
    [
        ("1024x1024", "standard", 40_000),
        ("1024x1024", "hd", 80_000),
        ("1024x1792", "standard", 80_000),
        ("1024x1792", "hd", 120_000),
        ("1792x1024", "standard", 80_000),
        ("1792x1024", "hd", 120_000),
    ],
)
def test_every_price_of_s2(size: str, quality: str, usd_micros: int) -> None:
    """S2-2."""
    wanted = Ask(operation="image", options={"size": size, "quality": quality})
    assert quote(STARTED, wanted, NOW) == Quote(
        None, None, usd_micros, f"image {size} {quality}", 1, Named("image", None, None)
    )


def test_the_catalogue_has_no_other_prices() -> None:
    """S4-2."""
    assert len(CATALOGUE) == 19 + 6
    assert {entry.provider for entry in CATALOGUE if entry.model} == {"MiniMax", "Runway", "BFL"}


def test_a_combination_without_a_price_lists_what_is_priced() -> None:
    """S4-2."""
    with pytest.raises(Unpriced) as caught:
        quote(STARTED, ask(HAILUO, resolution="1080P", duration=10), NOW)
    assert caught.value == Unpriced(asked=f"{HAILUO} 1080P 10s", priced=HAILUO_PRICED)
    assert str(caught.value) == (
        "There is no price for MiniMax-Hailuo-02 1080P 10s. Priced are: MiniMax-Hailuo-02 512P 6s, "
        "MiniMax-Hailuo-02 512P 10s, MiniMax-Hailuo-02 768P 6s, MiniMax-Hailuo-02 768P 10s, MiniMax-Hailuo-02 1080P 6s."
    )


@pytest.mark.parametrize(
    "asked",
    [
        ask(HAILUO),
        ask(HAILUO, resolution="1080P"),
        ask(HAILUO, duration=6),
        ask(HAILUO, resolution="1080P", duration=True),
    ],
)
def test_an_option_that_the_price_depends_on_must_be_named(asked: Ask) -> None:
    with pytest.raises(Unpriced) as caught:
        quote(STARTED, asked, NOW)
    assert caught.value.priced == HAILUO_PRICED


def test_an_unknown_model_lists_its_providers_prices_and_else_all() -> None:
    with pytest.raises(Unpriced) as caught:
        quote(STARTED, Ask(provider="Runway", model="Gen-9"), NOW)
    assert caught.value.priced == (
        "Gen-4 Turbo 5s", "Gen-4 Turbo 10s", "Gen-3a Turbo 5s", "Gen-3a Turbo 10s", "Gen-4 Aleph 10s",
    )  # fmt: skip
    with pytest.raises(Unpriced) as caught:
        quote(STARTED, Ask(provider="Google", model="Veo 3"), NOW)
    assert len(caught.value.priced) == len(CATALOGUE)


def test_a_model_of_another_provider_has_no_price() -> None:
    with pytest.raises(Unpriced):
        quote(STARTED, Ask(provider="Runway", model="S2V-01"), NOW)


def test_an_unknown_model_is_not_priced_by_its_operation() -> None:
    with pytest.raises(Unpriced):
        quote(STARTED, Ask(model="DALL-X", operation="image", options={"size": "1024x1024", "quality": "hd"}), NOW)


def test_music_is_priced_up_to_ninety_seconds() -> None:
    """S4-2."""
    with pytest.raises(Unpriced) as caught:
        quote(STARTED, ask("Music 1.5", duration=91), NOW)
    assert caught.value.priced == ("Music 1.5 up to 90s",)
    with pytest.raises(Unpriced):
        quote(STARTED, ask("Music 1.5", duration="long"), NOW)


def test_names_are_the_same_in_any_case_and_numbers_as_text() -> None:
    wanted = Ask(provider="minimax", model="minimax-hailuo-02", options={"resolution": "1080p", "duration": "6"})
    assert quote(STARTED, wanted, NOW).credits == 1100


def test_further_options_do_not_matter() -> None:
    assert quote(STARTED, ask("S2V-01", seed=7, watermark=False), NOW).credits == 1420


def test_the_most_specific_entry_decides() -> None:
    general = PriceEntry(model="M", credits=10)
    special = PriceEntry(model="M", options={"quality": "hd"}, credits=30)
    bounded = PriceEntry(model="M", options={"quality": "hd"}, at_most={"duration": 5}, credits=20)
    for entries in ((general, special, bounded), (bounded, special, general)):
        prices = book(*entries)
        assert quote(prices, ask("M"), NOW).credits == 10
        assert quote(prices, ask("M", quality="hd", duration=6), NOW).credits == 30
        assert quote(prices, ask("M", quality="hd", duration=5), NOW).credits == 20


def test_a_price_may_be_by_operation_alone() -> None:
    prices = book(PriceEntry(operation="chat", tokens=50, credits=1), PriceEntry(operation="video", tokens=500))
    assert quote(prices, Ask(operation="chat"), NOW) == Quote(1, 50, None, "chat", 1, Named("chat", None, None))


@pytest.mark.parametrize(("count", "price"), [(1, 110), (2, 220), (1_000_000, 110_000_000)])
def test_several_at_a_time_cost_several_times(count: int, price: int) -> None:
    assert quote(STARTED, ask("FLUX.1 Kontext [pro]", count=count), NOW).credits == price


@pytest.mark.parametrize("count", [0, -1, True, "2", 1_000_001, 10**30])
def test_a_count_is_a_whole_number(count: OptionValue) -> None:
    with pytest.raises(Unpriced) as caught:
        quote(STARTED, ask("FLUX.1 [dev]", count=count), NOW)
    assert caught.value.priced == ("whole numbers from 1 to 1000000",)


COMPLEX = PriceEntry(model="M", credits=101, complexity={"simple": 50, "complex": 150})


@pytest.mark.parametrize(
    ("complexity", "price"), [(None, 101), ("simple", 51), ("complex", 152)], ids=["none", "rounded up", "more"]
)
def test_complexity_scales_a_price_and_rounds_up(complexity: str | None, price: int) -> None:
    options = {"complexity": complexity} if complexity else {}
    assert quote(book(COMPLEX), ask("M", **options), NOW).credits == price


def test_an_unknown_complexity_lists_what_is_priced() -> None:
    with pytest.raises(Unpriced) as caught:
        quote(book(COMPLEX), ask("M", complexity="extreme"), NOW)
    assert caught.value == UnpricedScale(asked="complexity extreme", priced=("complex", "simple"))


def test_a_complexity_does_nothing_where_the_price_knows_none() -> None:
    assert quote(STARTED, ask("S2V-01", complexity="complex"), NOW).credits == 1420


@pytest.mark.parametrize(("count", "price"), [(9, 900), (10, 950), (99, 9405), (100, 8000), (1000, 80_000)])
def test_the_highest_bulk_step_reached_decides(count: int, price: int) -> None:
    entry = PriceEntry(model="M", credits=100, bulk=((10, 5), (100, 20)))
    assert quote(book(entry), ask("M", count=count), NOW).credits == price
    upside_down = PriceEntry(model="M", credits=100, bulk=((100, 20), (10, 5)))
    assert quote(book(upside_down), ask("M", count=count), NOW).credits == price


def test_scales_multiply_and_are_rounded_up_once() -> None:
    entry = PriceEntry(model="M", credits=3, tokens=7, usd_micros=1, complexity={"x": 150}, bulk=((2, 10),))
    price = quote(book(entry), ask("M", count=3, complexity="x"), NOW)
    assert (price.credits, price.tokens, price.usd_micros) == (13, 29, 5)  # 12.15, 28.35, 4.05


def test_a_discount_never_makes_a_part_of_a_credit_free() -> None:
    entry = PriceEntry(model="M", credits=1, bulk=((1, 99),))
    assert credits_of(book(entry), ask("M"), NOW) == CreditPrice(1, "M", 1, Named(None, None, "M"))


def test_before_the_first_price_there_is_none() -> None:
    with pytest.raises(Unpriced) as caught:
        quote(PriceBook(), ask("S2V-01"), NOW)
    assert str(caught.value) == "There is no price for S2V-01. Priced are: nothing yet."
    with pytest.raises(Unpriced):
        quote(STARTED, ask("S2V-01"), after(-1))


def test_metered_use_is_summed_and_then_rounded_up_once() -> None:
    rates = {"ContextTokens": 1, "GeneratedTokens": 4}
    assert metered(rates, {"ContextTokens": 374, "GeneratedTokens": 44}) == 1  # 0.55
    assert metered(rates, {"ContextTokens": 1000, "GeneratedTokens": 250}) == 2
    assert metered(rates, {"ContextTokens": 1001, "GeneratedTokens": 250}) == 3
    assert metered(rates, {"ContextTokens": 0, "GeneratedTokens": 0}) == 0
    with pytest.raises(KeyError):
        metered(rates, {"Seconds": 1})


# ---- what is priced by use

CHAT = PriceEntry(model="gpt", rates={"in": 10, "out": 50}, expected_usage={"in": 1000, "out": 400})


def held(entry: PriceEntry, estimate: dict[str, int] | None = None, *, may_lower: bool = False, **options: int) -> int:
    """The credits that a quote says to hold."""
    asked = Ask(model=entry.model, options=dict(options), estimate=estimate, may_lower=may_lower)
    return quote(book(entry), asked, NOW).credits or 0


@pytest.mark.parametrize(
    ("estimate", "may_lower", "credits"),
    [
        (None, False, 30),
        ({}, True, 30),
        ({"out": 1000}, False, 60),
        ({"out": 1000}, True, 60),
        ({"out": 100}, False, 30),
        ({"out": 100}, True, 15),
        ({"in": 1, "out": 0}, True, 1),
    ],
)
def test_a_hold_is_sized_from_expected_use(estimate: dict[str, int] | None, may_lower: bool, credits: int) -> None:  # noqa: A002
    """Whoever pays can raise the hold and never lower it; a worker knows what it asks of the model."""
    assert held(CHAT, estimate, may_lower=may_lower) == credits


def test_the_expected_use_is_of_one() -> None:
    assert held(CHAT, count=3) == 90
    assert held(CHAT, {"in": 3000}, count=3) == 90, "an estimate is of all of them"


def test_a_fixed_price_is_the_least_that_is_held() -> None:
    both = PriceEntry(model="gpt", credits=40, rates=CHAT.rates, expected_usage=CHAT.expected_usage)
    assert held(both) == 40
    assert held(both, {"out": 10}, may_lower=True) == 40
    assert held(both, {"out": 1000}) == 60


@pytest.mark.parametrize("estimate", [None, {}, {"in": 0}])
def test_use_without_an_estimate_is_refused_rather_than_free(estimate: dict[str, int] | None) -> None:
    """A book that was published before holds were checked may have rates alone."""
    old = PriceEntry(model="gpt", rates={"in": 10, "out": 30, "cached": 0})
    with pytest.raises(UnsizedHold) as caught:
        held(old, estimate)
    assert caught.value == UnsizedHold(asked="gpt", priced=("in", "out"))
    assert "Give an estimate" in str(caught.value)
    assert held(old, {"in": 100}) == 1


def test_an_estimate_of_what_has_no_rate_is_refused() -> None:
    for entry in (CHAT, PriceEntry(model="gpt", credits=5)):
        with pytest.raises(Unpriced) as caught:
            held(entry, {"seconds": 1})
        assert caught.value == Unpriced(asked="gpt by seconds", priced=tuple(sorted(entry.rates)))
    with pytest.raises(Unpriced):
        quote_or_none(book(), Ask(operation="chat", estimate={"in": 1}), NOW)


def test_no_hold_is_above_all_amounts() -> None:
    with pytest.raises(Unpriced):
        held(PriceEntry(model="gpt", rates={"out": 10**12}), {"out": 1001})


def test_what_is_free_on_purpose_costs_nothing() -> None:
    trial = PriceEntry(model="gpt", free=True)
    assert quote(book(trial), Ask(model="gpt", estimate={"in": 5}), NOW) == Quote(
        0, None, None, "gpt", 1, Named(None, None, "gpt")
    )
    assert usage_cost(book(trial), Ask(model="gpt"), {"in": 5}, NOW).amount == 0


def test_an_estimate_is_never_charged_at_once() -> None:
    with pytest.raises(Unpriced):
        credits_of(book(CHAT), Ask(model="gpt"), NOW)
    assert credits_of(book(CHAT), Ask(model="gpt"), NOW, hold=True).amount == 30


@pytest.mark.parametrize(
    "price",
    [
        PriceEntry(model="m", credits=10**12),
        PriceEntry(model="m", tokens=10**12),
        PriceEntry(model="m", usd_micros=10**12),
    ],
    ids=["credits", "tokens", "usd"],
)
def test_no_quote_is_above_what_read_models_can_keep(price: PriceEntry) -> None:
    """A count and a complexity may multiply a price beyond 63 bits; a refusal with such a quote could not be shown."""
    dear = book(replace(price, complexity={"huge": 1_000}))
    assert quote(dear, ask("m", count=1_000_000), NOW)
    with pytest.raises(Unpriced, match="up to 1000000000000000000"):
        quote(dear, ask("m", count=1_000_000, complexity="huge"), NOW)
