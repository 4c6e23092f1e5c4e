"""What time alone makes happen to an account (the sweeper's command `LetTimePass`)."""

from domain.credits.address import stream_of
from domain.credits.commands import Capture, Extend, Grant, Release
from domain.credits.due import due
from domain.credits.events import CreditsGranted, GrantExpired, GrantScheduled, ReservationExpired
from domain.kernel.domain import LetTimePass
from domain.periods import NEVER
from tests.domain.credits.facts import ENDS, below_zero, granted, part, postpaid, reserved
from tests.domain.scenario import ALICE, Scenario, after, given

SWEEP = LetTimePass(stream=stream_of(ALICE))


def test_nothing_happens_before_its_time() -> None:
    given(granted(9, expires_at=after(60)), reserved(part(1, expires_at=after(60)))).at(after(59.999999)).when(
        SWEEP
    ).then_nothing()
    Scenario().when(SWEEP).then_nothing()


def test_holds_end_in_the_order_of_their_ends_and_then_of_their_ids() -> None:
    scenario = given(
        granted(9),
        reserved(part(1), reservation="b"),
        reserved(part(2), reservation="a"),
        reserved(part(3), reservation="c", expires_at=after(5)),
    )
    scenario.at(ENDS).when(SWEEP).then(
        due=tuple(
            ReservationExpired(reservation_id=name, amount=amount, returned=(part(amount),))
            for name, amount in (("c", 3), ("a", 2), ("b", 1))
        )
    )
    assert scenario.account().available == 9


def test_happens_once() -> None:
    scenario = given(granted(9), reserved(part(1))).at(ENDS).done(SWEEP)
    scenario.when(SWEEP).then_nothing()


def test_a_hold_and_its_grant_may_end_together() -> None:
    terms = part(9, expires_at=ENDS)
    scenario = given(granted(9, expires_at=ENDS), reserved(terms._replace(amount=4))).at(ENDS)
    scenario.when(SWEEP).then(
        due=(
            ReservationExpired(reservation_id="r1", amount=4, returned=(terms._replace(amount=4),)),
            GrantExpired(grant=terms._replace(amount=4)),
            GrantExpired(grant=terms._replace(amount=5)),
        )
    )
    assert (scenario.account().expired, scenario.account().available) == (9, 0)


def test_after_a_long_silence_a_promised_grant_begins_and_ends() -> None:
    terms = part(9, expires_at=after(days=2))
    scenario = given(GrantScheduled(grant=terms, effective_at=after(days=1))).at(after(days=90))
    scenario.when(SWEEP).then(due=(CreditsGranted(grant=terms), GrantExpired(grant=terms)))
    assert (scenario.account().granted, scenario.account().expired) == (9, 9)


def test_promised_grants_begin_in_the_order_of_their_times() -> None:
    later, sooner = part(1, "a"), part(2, "b")
    given(GrantScheduled(grant=later, effective_at=after(20)), GrantScheduled(grant=sooner, effective_at=after(10))).at(
        after(30)
    ).when(SWEEP).then(due=(CreditsGranted(grant=sooner), CreditsGranted(grant=later)))


def test_what_is_held_below_zero_only_ends() -> None:
    scenario = given(postpaid(9), reserved(below_zero(9))).at(ENDS)
    scenario.when(SWEEP).then(due=(ReservationExpired(reservation_id="r1", amount=9, returned=(below_zero(9),)),))
    assert scenario.account().available == 0


def test_what_is_over_is_due_no_more() -> None:
    scenario = given(granted(9), reserved(part(1)))
    assert scenario.account().next_due == ENDS
    scenario.done(Capture(address=ALICE, reservation_id="r1", debit_id="d1"))
    assert scenario.account().next_due == NEVER
    scenario.at(ENDS).when(SWEEP).then_nothing()


def test_a_part_that_comes_back_brings_its_end_with_it() -> None:
    terms = part(9, expires_at=after(2000))
    scenario = given(granted(9, expires_at=after(2000)), reserved(terms)).at(after(899))
    scenario.done(Extend(address=ALICE, reservation_id="r1", ttl_s=5000)).at(ENDS).done(SWEEP)
    assert scenario.account().next_due == after(5899)
    scenario.done(Release(address=ALICE, reservation_id="r1"))
    scenario.at(after(2000)).when(SWEEP).then(due=(GrantExpired(grant=terms),))


def test_an_early_hint_of_an_old_snapshot_makes_nothing_happen() -> None:
    scenario = given(granted(9, expires_at=after(days=3)), reserved(part(1, expires_at=after(days=3))))
    scenario.given(GrantScheduled(grant=part(3, "g3"), effective_at=after(days=1)))
    account = scenario.account()
    assert account.next_due == ENDS
    assert due(account._replace(next_due=after(-1)), after(899)) == ()
    scenario.given_state(account._replace(next_due=after(-1))).at(after(1)).when(SWEEP).then_nothing()
    scenario.done(Grant(address=ALICE, grant_id="g4", amount=1, source="gift"))
    assert scenario.account().next_due == ENDS
