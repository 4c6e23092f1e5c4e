"""Hold credits before work starts."""

from datetime import timedelta

import pytest

from domain.credits.account import MAX_OPEN_HOLDS, Account, Hold
from domain.credits.burn import Grants
from domain.credits.commands import Release, Reserve, ReservePriced
from domain.credits.events import CreditsReserved, GrantExpired, Work
from domain.credits.refusals import AccountClosed, AccountFrozen, AlreadyExists, InsufficientCredits, TooMany
from domain.kernel.holds import Holds
from domain.prices.catalogue import CATALOGUE
from domain.prices.quote import Ask
from domain.prices.refusals import Unpriced
from tests.domain.credits.facts import CLOSED, ENDS, FROZEN, below_zero, granted, part, postpaid, reserved
from tests.domain.scenario import ALICE, BOB, NOW, Scenario, after, given


def reserve(amount: int, reservation: str = "r1", *, own_id: bool = False, ttl_s: int = 900) -> Reserve:
    return Reserve(address=ALICE, reservation_id=reservation, amount=amount, own_id=own_id, ttl_s=ttl_s)


def test_holds_for_fifteen_minutes_unless_told_otherwise() -> None:
    given(granted(100)).when(reserve(100)).then(
        CreditsReserved(reservation_id="r1", amount=100, expires_at=after(900), slices=(part(100),))
    )


def test_holds_for_as_long_as_asked() -> None:
    given(granted(100)).when(reserve(1, ttl_s=604_800)).then(reserved(part(1), expires_at=NOW + timedelta(days=7)))


def test_keeps_what_was_priced_and_the_sealed_text() -> None:
    command = Reserve(
        address=ALICE, reservation_id="r1", amount=7, item="T2V-01-Director", price_version=3, sealed="k1.abc"
    )
    given(granted(100)).when(command).then(
        CreditsReserved(
            reservation_id="r1",
            amount=7,
            expires_at=ENDS,
            slices=(part(7),),
            item="T2V-01-Director",
            price_version=3,
            sealed="k1.abc",
        )
    )


def test_words_the_refusal_as_s4_does() -> None:
    """S4-3."""
    refusal = InsufficientCredits(required=1100, available=500)
    given(granted(500)).when(reserve(1100)).then_refused(refusal)
    assert str(refusal) == ("Insufficient credits. You need 1100 credits but only have 500. You're 600 credits short.")
    assert refusal.facts() == {"required": 1100, "available": 500, "deficit": 600}


def test_an_account_that_was_never_opened_has_nothing() -> None:
    Scenario().when(reserve(1)).then_refused(InsufficientCredits(required=1, available=0))


def test_what_is_held_cannot_be_held_again() -> None:
    given(granted(100), reserved(part(70))).when(reserve(31, "r2")).then_refused(
        InsufficientCredits(required=31, available=30)
    )


def test_what_is_held_is_no_debit() -> None:
    account = given(granted(100), reserved(part(70))).account()
    assert (account.available, account.reserved, account.debited) == (30, 70, 0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (granted(10, "z", priority=1), granted(10, "a", priority=2, expires_at=after(days=1))),
        (granted(10, "z", expires_at=after(days=1)), granted(10, "a", expires_at=after(days=2))),
        (granted(10, "z", expires_at=after(days=9)), granted(10, "a")),
        (granted(10, "z", granted_at=after(-2)), granted(10, "a", granted_at=after(-1))),
        (granted(10, "a"), granted(10, "z")),
    ],
    ids=["priority", "expiry", "no expiry last", "time of grant", "id"],
)
def test_burns_by_priority_expiry_time_and_id(first: object, second: object) -> None:
    first_paid = first.grant  # type: ignore[attr-defined]
    second_paid = second.grant  # type: ignore[attr-defined]
    for order in ((first, second), (second, first)):
        given(*order).when(reserve(15)).then(reserved(first_paid, second_paid._replace(amount=5)))


def test_an_expired_grant_pays_for_nothing_and_its_expiry_is_stored_with_the_refusal() -> None:
    ends = after(60)
    given(granted(100, expires_at=ends)).at(ends).when(reserve(1)).then_refused(
        InsufficientCredits(required=1, available=0), due=(GrantExpired(grant=part(100, expires_at=ends)),)
    )


def test_a_grant_pays_until_the_microsecond_before_it_expires() -> None:
    ends = after(60)
    last = ends - timedelta(microseconds=1)
    held = reserved(part(100, expires_at=ends), expires_at=last + timedelta(seconds=900))
    given(granted(100, expires_at=ends)).at(last).when(reserve(100)).then(held)


def test_goes_below_zero_only_within_the_credit_limit() -> None:
    scenario = given(granted(50), postpaid(30))
    scenario.when(reserve(81)).then_refused(InsufficientCredits(required=81, available=80))
    scenario.when(reserve(80)).then(reserved(part(50), below_zero(30)))
    assert scenario.account().available == -30


def test_a_limit_that_was_lowered_leaves_nothing_to_spend() -> None:
    given(postpaid(30), reserved(below_zero(30)), postpaid(10)).when(reserve(1, "r2")).then_refused(
        InsufficientCredits(required=1, available=0)
    )


@pytest.mark.parametrize(("switch", "refusal"), [(FROZEN, AccountFrozen()), (CLOSED, AccountClosed())])
def test_a_frozen_or_closed_account_starts_nothing(switch: object, refusal: AccountFrozen | AccountClosed) -> None:
    given(granted(100), switch).when(reserve(1)).then_refused(refusal)


def test_the_callers_own_id_must_be_unused() -> None:
    scenario = given(granted(100)).done(reserve(1, "job-1", own_id=True))
    scenario.when(reserve(1, "job-1", own_id=True)).then_refused(AlreadyExists(field="id", value="job-1"))


def test_an_own_id_stays_used_when_its_reservation_has_ended_and_in_every_account() -> None:
    scenario = given(granted(100)).given(granted(100, "g2"), of=BOB).done(reserve(1, "job-1", own_id=True))
    scenario.done(Release(address=ALICE, reservation_id="job-1"))
    other = Reserve(address=BOB, reservation_id="job-1", amount=1, own_id=True)
    scenario.when(other).then_refused(AlreadyExists(field="id", value="job-1"))


def test_the_number_of_open_holds_is_bounded() -> None:
    hold = Hold(1, ENDS, (part(1),))
    full = Account(
        exists=True,
        granted=2 * MAX_OPEN_HOLDS,
        reserved=MAX_OPEN_HOLDS,
        free=MAX_OPEN_HOLDS,
        grants=Grants.of([part(MAX_OPEN_HOLDS)]),
        holds=Holds.of({f"h{number}": hold for number in range(MAX_OPEN_HOLDS)}),
        next_due=ENDS,
    )
    refusal = TooMany(what="reservations", limit=100_000)
    scenario = Scenario().given_state(full)
    scenario.when(reserve(1)).then_refused(refusal)
    assert refusal.code == "too_many_reservations"
    scenario.done(Release(address=ALICE, reservation_id="h7"))
    scenario.when(reserve(1)).then(reserved(part(1)))


def test_a_priced_reservation_holds_the_price() -> None:
    """S4-1."""
    ask = Ask(model="MiniMax-Hailuo-02", options={"resolution": "1080P", "duration": 6})
    command = ReservePriced(address=ALICE, reservation_id="r1", ask=ask, ttl_s=60, sealed="s")
    given(granted(1100)).given_prices(*CATALOGUE).when(command).then(
        CreditsReserved(
            reservation_id="r1",
            amount=1100,
            expires_at=after(60),
            slices=(part(1100),),
            item="MiniMax-Hailuo-02 1080P 6s",
            price_version=1,
            sealed="s",
            work=Work("video", "MiniMax", "MiniMax-Hailuo-02"),
        )
    )


def test_a_priced_reservation_short_of_credits_says_so() -> None:
    ask = Ask(model="MiniMax-Hailuo-02", options={"resolution": "1080P", "duration": 6})
    given(granted(500)).given_prices(*CATALOGUE).when(
        ReservePriced(address=ALICE, reservation_id="r1", ask=ask)
    ).then_refused(InsufficientCredits(required=1100, available=500))


def test_a_priced_reservation_checks_the_callers_own_id() -> None:
    ask = Ask(model="S2V-01")
    command = ReservePriced(address=ALICE, reservation_id="job-1", ask=ask, own_id=True)
    given(granted(3000)).given_prices(*CATALOGUE).done(command).when(command).then_refused(
        AlreadyExists(field="id", value="job-1")
    )


def test_what_has_no_price_is_not_free() -> None:
    ask = Ask(model="MiniMax-Hailuo-02", options={"resolution": "1080P", "duration": 10})
    given(granted(9999)).given_prices(*CATALOGUE).when(
        ReservePriced(address=ALICE, reservation_id="r1", ask=ask)
    ).then_refused(
        Unpriced(
            asked="MiniMax-Hailuo-02 1080P 10s",
            priced=(
                "MiniMax-Hailuo-02 512P 6s",
                "MiniMax-Hailuo-02 512P 10s",
                "MiniMax-Hailuo-02 768P 6s",
                "MiniMax-Hailuo-02 768P 10s",
                "MiniMax-Hailuo-02 1080P 6s",
            ),
        )
    )
