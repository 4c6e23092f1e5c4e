"""Charge credits at once, without a hold."""

import pytest

from domain.credits.commands import Debit, DebitPriced
from domain.credits.events import CreditsDebited, CreditsGranted, GrantScheduled, ReservationExpired, Work
from domain.credits.refusals import AccountClosed, AccountFrozen, InsufficientCredits
from domain.prices.catalogue import CATALOGUE
from domain.prices.events import PriceEntry
from domain.prices.quote import Ask
from domain.prices.refusals import Unpriced
from tests.domain.credits.facts import CLOSED, ENDS, FROZEN, below_zero, granted, part, postpaid, reserved
from tests.domain.scenario import ALICE, Scenario, after, given


def debit(amount: int, debit_id: str = "d1") -> Debit:
    return Debit(address=ALICE, debit_id=debit_id, amount=amount)


def test_charges_in_burn_order() -> None:
    scenario = given(granted(50), granted(30, "g2", priority=10))
    scenario.when(debit(60)).then(
        CreditsDebited(debit_id="d1", amount=60, slices=(part(30, "g2", priority=10), part(30)))
    )
    assert (scenario.account().debited, scenario.account().available) == (60, 20)


def test_keeps_what_was_priced_and_the_sealed_text() -> None:
    command = Debit(address=ALICE, debit_id="d1", amount=1, item="chat", price_version=2, sealed="s")
    given(granted(1)).when(command).then(
        CreditsDebited(debit_id="d1", amount=1, slices=(part(1),), item="chat", price_version=2, sealed="s")
    )


def test_does_not_touch_what_is_held() -> None:
    given(granted(100), reserved(part(70))).when(debit(31)).then_refused(InsufficientCredits(required=31, available=30))


def test_a_hold_that_has_expired_pays_again() -> None:
    given(granted(100), reserved(part(70))).at(ENDS).when(debit(100)).then(
        CreditsDebited(debit_id="d1", amount=100, slices=(part(100),)),
        due=(ReservationExpired(reservation_id="r1", amount=70, returned=(part(70),)),),
    )


def test_a_grant_that_was_promised_pays_from_its_first_moment() -> None:
    begins = after(60)
    given(GrantScheduled(grant=part(100), effective_at=begins)).at(begins).when(debit(100)).then(
        CreditsDebited(debit_id="d1", amount=100, slices=(part(100),)), due=(CreditsGranted(grant=part(100)),)
    )


def test_a_debt_is_bounded_by_the_credit_limit() -> None:
    scenario = given(granted(50), postpaid(30))
    scenario.when(debit(60)).then(CreditsDebited(debit_id="d1", amount=60, slices=(part(50), below_zero(10))))
    assert (scenario.account().owed, scenario.account().available) == (10, -10)
    scenario.when(debit(21, "d2")).then_refused(InsufficientCredits(required=21, available=20))
    scenario.when(debit(20, "d2")).then(CreditsDebited(debit_id="d2", amount=20, slices=(below_zero(20),)))


def test_credits_that_came_back_while_in_debt_are_still_spendable_within_the_limit() -> None:
    owing = CreditsDebited(debit_id="d0", amount=30, slices=(below_zero(30),))
    scenario = given(granted(20), postpaid(30), reserved(part(20)), owing).at(ENDS)
    scenario.when(debit(20)).then(
        CreditsDebited(debit_id="d1", amount=20, slices=(part(20),)),
        due=(ReservationExpired(reservation_id="r1", amount=20, returned=(part(20),)),),
    )
    assert scenario.account().available == -30


@pytest.mark.parametrize(("switch", "refusal"), [(FROZEN, AccountFrozen()), (CLOSED, AccountClosed())])
def test_a_frozen_or_closed_account_pays_nothing(switch: object, refusal: AccountFrozen | AccountClosed) -> None:
    given(granted(100), switch).when(debit(1)).then_refused(refusal)


def test_an_account_that_was_never_opened_has_nothing() -> None:
    Scenario().when(debit(1)).then_refused(InsufficientCredits(required=1, available=0))


def test_a_priced_debit_charges_the_price() -> None:
    command = DebitPriced(address=ALICE, debit_id="d1", ask=Ask(model="FLUX.1 [dev]"), sealed="s")
    given(granted(100)).given_prices(*CATALOGUE).when(command).then(
        CreditsDebited(
            debit_id="d1",
            amount=90,
            slices=(part(90),),
            item="FLUX.1 [dev]",
            price_version=1,
            sealed="s",
            work=Work("image", "BFL", "FLUX.1 [dev]"),
        )
    )


def test_what_has_a_price_in_money_only_is_not_charged_in_credits() -> None:
    sized = Ask(operation="image", options={"size": "1024x1024", "quality": "hd"})
    chat = PriceEntry(operation="chat", credits=2)
    image = PriceEntry(operation="image", usd_micros=40_000)
    given(granted(100)).given_prices(chat, image).when(
        DebitPriced(address=ALICE, debit_id="d1", ask=sized)
    ).then_refused(Unpriced(asked="image 1024x1024 hd in credits", priced=("chat",)))


def test_a_price_beyond_all_amounts_is_no_price() -> None:
    dear = PriceEntry(operation="chat", credits=10**12)
    given(granted(100)).given_prices(dear).when(
        DebitPriced(address=ALICE, debit_id="d1", ask=Ask(operation="chat", options={"count": 2}))
    ).then_refused(Unpriced(asked="chat in credits", priced=("up to 1000000000000 credits at a time",)))


def test_measured_use_is_charged_by_the_rates_and_rounded_up_once() -> None:
    chat = PriceEntry(model="gpt", operation="chat", rates={"input_tokens": 1, "output_tokens": 4})
    used = DebitPriced(
        address=ALICE, debit_id="d1", ask=Ask(model="gpt"), usage={"input_tokens": 374, "output_tokens": 444}
    )
    given(granted(100)).given_prices(chat).when(used).then(  # 0.374 + 1.776
        CreditsDebited(
            debit_id="d1", amount=3, slices=(part(3),), item="gpt", price_version=1, work=Work("chat", None, "gpt")
        )
    )


def test_a_unit_without_a_rate_is_not_free() -> None:
    chat = PriceEntry(model="gpt", rates={"input_tokens": 1})
    unknown = DebitPriced(address=ALICE, debit_id="d1", ask=Ask(model="gpt"), usage={"seconds": 1})
    given(granted(100)).given_prices(chat).when(unknown).then_refused(
        Unpriced(asked="gpt by seconds", priced=("input_tokens",))
    )


def test_use_that_comes_to_nothing_is_refused() -> None:
    chat = PriceEntry(model="gpt", rates={"input_tokens": 1})
    nothing = DebitPriced(address=ALICE, debit_id="d1", ask=Ask(model="gpt"), usage={"input_tokens": 0})
    given(granted(100)).given_prices(chat).when(nothing).then_refused(
        Unpriced(asked="gpt by input_tokens in credits", priced=("1 to 1000000000000 credits at a time",))
    )
