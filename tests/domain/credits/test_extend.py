"""Keep a hold alive while the work goes on, and let it grow."""

import pytest

from domain.credits.address import stream_of
from domain.credits.commands import Capture, Extend
from domain.credits.events import ReservationCaptured, ReservationExpired, ReservationExtended
from domain.credits.refusals import AccountClosed, AccountFrozen, InsufficientCredits, NotFound, ReservationEnded
from domain.kernel.domain import LetTimePass
from tests.domain.credits.facts import CLOSED, ENDS, FROZEN, below_zero, granted, part, postpaid, reserved
from tests.domain.scenario import ALICE, after, given


def extend(ttl_s: int = 900, grow: int = 0) -> Extend:
    return Extend(address=ALICE, reservation_id="r1", ttl_s=ttl_s, grow=grow)


def test_the_new_end_is_counted_from_now() -> None:
    scenario = given(granted(100), reserved(part(70))).at(after(600))
    scenario.when(extend(600)).then(
        ReservationExtended(reservation_id="r1", expires_at=after(1200), grown=0, slices=())
    )
    scenario.at(ENDS).when(LetTimePass(stream=stream_of(ALICE))).then_nothing()
    scenario.at(after(1200)).when(LetTimePass(stream=stream_of(ALICE))).then(
        due=(ReservationExpired(reservation_id="r1", amount=70, returned=(part(70),)),)
    )


def test_a_hold_never_gets_shorter() -> None:
    given(granted(100), reserved(part(70))).when(extend(1)).then(
        ReservationExtended(reservation_id="r1", expires_at=ENDS, grown=0, slices=())
    )


def test_grows_from_what_is_available() -> None:
    scenario = given(granted(100), granted(50, "g2"), reserved(part(70)))
    scenario.when(extend(grow=40)).then(
        ReservationExtended(reservation_id="r1", expires_at=ENDS, grown=40, slices=(part(30), part(10, "g2")))
    )
    assert (scenario.account().reserved, scenario.account().available) == (110, 40)
    scenario.when(Capture(address=ALICE, reservation_id="r1", debit_id="d1", amount=105)).then(
        ReservationCaptured(
            reservation_id="r1",
            debit_id="d1",
            amount=105,
            slices=(part(100), part(5, "g2")),
            final=True,
            returned=(part(5, "g2"),),
        )
    )


def test_a_hold_that_grows_a_thousand_times_stays_small() -> None:
    scenario = given(granted(2000), reserved(part(1))).done(*(extend(grow=1) for _ in range(1000)))
    assert scenario.account().holds["r1"].slices == (part(1001),)


def test_grows_below_zero_within_the_limit() -> None:
    given(postpaid(30), reserved(below_zero(20))).when(extend(grow=10)).then(
        ReservationExtended(reservation_id="r1", expires_at=ENDS, grown=10, slices=(below_zero(10),))
    )
    given(postpaid(30), reserved(below_zero(20))).when(extend(grow=11)).then_refused(
        InsufficientCredits(required=11, available=10)
    )


def test_a_refused_growth_leaves_the_end_as_it_was() -> None:
    scenario = given(granted(100), reserved(part(70))).at(after(600))
    scenario.when(extend(grow=31)).then_refused(InsufficientCredits(required=31, available=30))
    assert scenario.account().holds["r1"].expires_at == ENDS


@pytest.mark.parametrize(("switch", "refusal"), [(FROZEN, AccountFrozen()), (CLOSED, AccountClosed())])
def test_a_frozen_or_closed_account_keeps_alive_but_does_not_grow(
    switch: object, refusal: AccountFrozen | AccountClosed
) -> None:
    scenario = given(granted(100), reserved(part(70)), switch)
    scenario.when(extend(grow=1)).then_refused(refusal)
    scenario.when(extend(1000)).then(
        ReservationExtended(reservation_id="r1", expires_at=after(1000), grown=0, slices=())
    )


def test_what_has_ended_cannot_be_kept_alive() -> None:
    expired = ReservationExpired(reservation_id="r1", amount=70, returned=(part(70),))
    given(granted(100), reserved(part(70))).at(ENDS).when(extend()).then_refused(
        ReservationEnded(reservation_id="r1", outcome="expired"), due=(expired,)
    )
    given(granted(100)).when(extend()).then_refused(NotFound(what="reservation", id="r1"))
