"""Give held credits back when the work has failed or is not wanted any more."""

import pytest

from domain.credits.commands import Capture, Extend, Release, Reserve
from domain.credits.events import GrantExpired, ReservationExpired, ReservationReleased
from domain.credits.refusals import NotFound, ReservationEnded
from tests.domain.credits.facts import CLOSED, ENDS, FROZEN, below_zero, granted, part, postpaid, reserved
from tests.domain.scenario import ALICE, after, given

RELEASE = Release(address=ALICE, reservation_id="r1")


def test_returns_everything_to_the_grants_that_it_came_from() -> None:
    scenario = given(granted(10), granted(90, "g2"), reserved(part(10), part(60, "g2")))
    scenario.when(Release(address=ALICE, reservation_id="r1", sealed="s")).then(
        ReservationReleased(reservation_id="r1", amount=70, returned=(part(10), part(60, "g2")), sealed="s")
    )
    account = scenario.account()
    assert (account.available, account.reserved, tuple(account.grants)) == (100, 0, (part(10), part(90, "g2")))


def test_returns_what_captures_have_left() -> None:
    scenario = given(granted(10), granted(90, "g2"), reserved(part(10), part(60, "g2")))
    scenario.done(Capture(address=ALICE, reservation_id="r1", debit_id="d1", amount=15, final=False))
    scenario.when(RELEASE).then(
        ReservationReleased(reservation_id="r1", amount=55, returned=(part(55, "g2"),)),
    )
    assert (scenario.account().debited, scenario.account().available) == (15, 85)


def test_the_held_part_of_an_expired_grant_expires_when_the_hold_ends() -> None:
    ends = after(60)
    scenario = given(granted(100, expires_at=ends), reserved(part(70, expires_at=ends))).at(after(61))
    scenario.when(RELEASE).then(
        ReservationReleased(reservation_id="r1", amount=70, returned=(part(70, expires_at=ends),)),
        GrantExpired(grant=part(70, expires_at=ends)),
        due=(GrantExpired(grant=part(30, expires_at=ends)),),
    )
    assert (scenario.account().expired, scenario.account().available) == (100, 0)


def test_parts_of_one_grant_in_a_hold_that_grew_expire_in_one_event() -> None:
    ends = after(60)
    scenario = given(granted(100, expires_at=ends), granted(1, "g2", expires_at=after(50)))
    scenario.done(Reserve(address=ALICE, reservation_id="r1", amount=10))
    scenario.done(Extend(address=ALICE, reservation_id="r1", ttl_s=900, grow=90)).at(ends)
    decided = scenario.when(RELEASE).decided
    expired = [event.grant.amount for _, event in decided.events[decided.due :] if isinstance(event, GrantExpired)]
    assert sorted(expired) == [1, 99]


def test_what_was_held_below_zero_is_no_debt() -> None:
    scenario = given(postpaid(30), reserved(below_zero(30)))
    scenario.when(RELEASE).then(ReservationReleased(reservation_id="r1", amount=30, returned=(below_zero(30),)))
    account = scenario.account()
    assert (account.owed, account.overdraft_held, account.available) == (0, 0, 0)


def test_a_hold_ends_once() -> None:
    scenario = given(granted(100), reserved(part(70))).done(RELEASE)
    scenario.when(RELEASE).then_refused(ReservationEnded(reservation_id="r1", outcome="released"))
    given(granted(100), reserved(part(70))).done(Capture(address=ALICE, reservation_id="r1", debit_id="d1")).when(
        RELEASE
    ).then_refused(ReservationEnded(reservation_id="r1", outcome="captured"))


def test_an_expired_hold_has_returned_already() -> None:
    given(granted(100), reserved(part(70))).at(ENDS).when(RELEASE).then_refused(
        ReservationEnded(reservation_id="r1", outcome="expired"),
        due=(ReservationExpired(reservation_id="r1", amount=70, returned=(part(70),)),),
    )


def test_a_reservation_that_never_was_is_not_found() -> None:
    given(granted(100)).when(RELEASE).then_refused(NotFound(what="reservation", id="r1"))


@pytest.mark.parametrize("switch", [FROZEN, CLOSED])
def test_a_frozen_or_closed_account_gets_its_credits_back(switch: object) -> None:
    scenario = given(granted(100), reserved(part(70)), switch).done(RELEASE)
    assert scenario.account().available == 100
