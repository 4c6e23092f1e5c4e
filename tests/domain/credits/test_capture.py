"""Charge held credits when the work has succeeded."""

import pytest

from domain.credits.commands import Capture, Release, Reserve
from domain.credits.events import GrantExpired, ReservationCaptured, ReservationExpired, Slice
from domain.credits.refusals import ExceedsHold, NotFound, ReservationEnded
from tests.domain.credits.facts import CLOSED, ENDS, FROZEN, below_zero, granted, part, postpaid, reserved
from tests.domain.scenario import ALICE, BOB, Scenario, after, given


def capture(amount: int | None = None, *, debit: str = "d1", final: bool = True) -> Capture:
    return Capture(address=ALICE, reservation_id="r1", debit_id=debit, amount=amount, final=final)


def captured(
    *slices: Slice, debit: str = "d1", final: bool = True, returned: tuple[Slice, ...] = ()
) -> ReservationCaptured:
    amount = sum(item.amount for item in slices)
    return ReservationCaptured(
        reservation_id="r1", debit_id=debit, amount=amount, slices=slices, final=final, returned=returned
    )


def test_charges_the_whole_hold() -> None:
    scenario = given(granted(100), reserved(part(70)))
    scenario.when(capture()).then(captured(part(70)))
    account = scenario.account()
    assert (account.available, account.reserved, account.debited, len(account.holds)) == (30, 0, 70, 0)


def test_keeps_the_sealed_text() -> None:
    command = Capture(address=ALICE, reservation_id="r1", debit_id="d1", sealed="s")
    given(granted(1), reserved(part(1))).when(command).then(
        ReservationCaptured(reservation_id="r1", debit_id="d1", amount=1, slices=(part(1),), final=True, sealed="s")
    )


def test_returns_the_rest_of_a_final_capture_in_the_same_event() -> None:
    scenario = given(granted(100), reserved(part(70)))
    scenario.when(capture(50)).then(captured(part(50), returned=(part(20),)))
    assert (scenario.account().available, scenario.account().reserved, scenario.account().debited) == (50, 0, 50)


def test_several_captures_charge_the_hold_bit_by_bit() -> None:
    scenario = given(granted(10), granted(90, "g2"), reserved(part(10), part(60, "g2")))
    scenario.when(capture(5, final=False)).then(captured(part(5), final=False))
    scenario.when(capture(25, debit="d2", final=False)).then(captured(part(5), part(20, "g2"), debit="d2", final=False))
    assert scenario.account().reserved == 40
    scenario.when(capture(30, debit="d3")).then(captured(part(30, "g2"), debit="d3", returned=(part(10, "g2"),)))
    assert (scenario.account().available, scenario.account().reserved, scenario.account().debited) == (40, 0, 60)


def test_a_capture_of_all_that_is_left_ends_the_hold_even_when_not_final() -> None:
    scenario = given(granted(100), reserved(part(70))).done(capture(30, final=False))
    scenario.when(capture(40, debit="d2", final=False)).then(captured(part(40), debit="d2"))
    scenario.when(capture(debit="d3")).then_refused(ReservationEnded(reservation_id="r1", outcome="captured"))


def test_charges_the_parts_that_burn_first() -> None:
    soon = part(10, expires_at=after(days=1))
    given(granted(10, expires_at=after(days=1)), granted(50, "g2"), reserved(soon, part(50, "g2"))).when(
        capture(20)
    ).then(captured(soon, part(10, "g2"), returned=(part(40, "g2"),)))


@pytest.mark.parametrize("final", [True, False])
def test_never_charges_more_than_is_left(final: bool) -> None:
    scenario = given(granted(100), reserved(part(70)))
    scenario.when(capture(71, final=final)).then_refused(ExceedsHold(amount=71, left=70))
    scenario.done(capture(50, final=False))
    scenario.when(capture(21, debit="d2", final=final)).then_refused(ExceedsHold(amount=21, left=20))


def test_a_hold_ends_once() -> None:
    scenario = given(granted(100)).done(Reserve(address=ALICE, reservation_id="r1", amount=9), capture())
    scenario.when(capture(debit="d2")).then_refused(ReservationEnded(reservation_id="r1", outcome="captured"))


def test_a_released_hold_is_not_charged() -> None:
    scenario = given(granted(100)).done(Reserve(address=ALICE, reservation_id="r1", amount=9))
    scenario.done(capture(3, final=False), Release(address=ALICE, reservation_id="r1"))
    scenario.when(capture(debit="d2")).then_refused(ReservationEnded(reservation_id="r1", outcome="released"))


def test_a_hold_is_charged_until_the_moment_it_expires() -> None:
    given(granted(100), reserved(part(70))).at(after(899.999999)).when(capture()).then(captured(part(70)))


def test_an_expired_hold_is_not_charged_even_when_no_sweeper_has_run() -> None:
    expired = ReservationExpired(reservation_id="r1", amount=70, returned=(part(70),))
    scenario = given(granted(100), reserved(part(70))).at(ENDS)
    scenario.when(capture()).then_refused(ReservationEnded(reservation_id="r1", outcome="expired"), due=(expired,))
    scenario.when(capture()).then_refused(ReservationEnded(reservation_id="r1", outcome="expired"))
    assert scenario.account().available == 100


def test_a_reservation_that_never_was_is_not_found() -> None:
    given(granted(100)).when(capture()).then_refused(NotFound(what="reservation", id="r1"))


def test_another_accounts_hold_is_not_charged() -> None:
    scenario = given(granted(100)).given(granted(100, "g2"), reserved(part(9, "g2")), of=BOB)
    refused = scenario.when(capture()).decided
    assert refused.refusal is not None
    assert refused.events == ()
    assert scenario.account(BOB).reserved == 9


def test_a_held_part_of_an_expired_grant_can_still_be_charged_and_its_rest_expires() -> None:
    ends = after(60)
    scenario = given(granted(100, expires_at=ends), reserved(part(70, expires_at=ends))).at(ends)
    scenario.when(capture(50)).then(
        captured(part(50, expires_at=ends), returned=(part(20, expires_at=ends),)),
        GrantExpired(grant=part(20, expires_at=ends)),
        due=(GrantExpired(grant=part(30, expires_at=ends)),),
    )
    account = scenario.account()
    assert (account.debited, account.expired, account.available, account.reserved) == (50, 50, 0, 0)


def test_charging_below_zero_is_a_debt() -> None:
    scenario = given(granted(50), postpaid(30), reserved(part(50), below_zero(30)))
    scenario.when(capture(60)).then(captured(part(50), below_zero(10), returned=(below_zero(20),)))
    account = scenario.account()
    assert (account.owed, account.overdraft_held, account.free, account.available) == (10, 0, 0, -10)


def test_charging_a_part_below_zero_keeps_the_rest_held() -> None:
    scenario = given(postpaid(30), reserved(below_zero(30))).done(capture(10, final=False))
    account = scenario.account()
    assert (account.owed, account.overdraft_held, account.reserved, account.available) == (10, 20, 20, -30)


@pytest.mark.parametrize("switch", [FROZEN, CLOSED])
def test_a_frozen_or_closed_account_settles_what_is_held(switch: object) -> None:
    given(granted(100), reserved(part(70)), switch).when(capture()).then(captured(part(70)))


def test_an_account_without_events_has_no_holds() -> None:
    Scenario().when(capture()).then_refused(NotFound(what="reservation", id="r1"))
