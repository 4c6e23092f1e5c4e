"""Take back what is left of a grant, for example after a chargeback."""

from dataclasses import replace

from domain.credits.account import MAX_VOIDED_GRANTS, Account
from domain.credits.address import stream_of
from domain.credits.burn import Grants
from domain.credits.commands import Capture, Debit, Refund, Release, Transfer, VoidGrant
from domain.credits.events import (
    CreditsRefunded,
    CreditsTransferredIn,
    CreditsTransferredOut,
    GrantScheduled,
    GrantVoided,
    ReservationCaptured,
    ReservationExpired,
    ReservationReleased,
)
from domain.credits.refusals import NotFound, TooMany
from domain.kernel.domain import LetTimePass
from tests.domain.credits.facts import ENDS, granted, part, reserved
from tests.domain.scenario import ALICE, BOB, Scenario, after, given

VOID = VoidGrant(address=ALICE, grant_id="g1")
GONE = NotFound(what="live grant", id="g1")


def test_takes_back_what_is_free() -> None:
    scenario = given(granted(100), granted(5, "g2"))
    scenario.when(VoidGrant(address=ALICE, grant_id="g1", sealed="s")).then(GrantVoided(grant=part(100), sealed="s"))
    assert (scenario.account().voided, scenario.account().available) == (100, 5)


def test_what_is_spent_stays_spent() -> None:
    scenario = given(granted(100)).done(Debit(address=ALICE, debit_id="d1", amount=60))
    scenario.when(VOID).then(GrantVoided(grant=part(40)))
    assert (scenario.account().debited, scenario.account().available) == (60, 0)


def test_what_was_never_there_or_is_void_already_is_not_voided() -> None:
    Scenario().when(VOID).then_refused(GONE)
    given(granted(100)).done(VOID).when(VOID).then_refused(GONE)


SPENT = VoidGrant(address=ALICE, grant_id="g1", sealed="s", known=part(0))


def test_a_grant_that_is_spent_is_marked_and_its_refund_is_voided() -> None:
    """A chargeback of what is gone leaves a mark, or a refund of what it paid for could be spent."""
    scenario = given(granted(100)).done(Debit(address=ALICE, debit_id="d1", amount=100))
    scenario.when(SPENT).then(GrantVoided(grant=part(0), sealed="s"))
    assert (scenario.account().voided, scenario.account().debited) == (0, 100)
    scenario.when(SPENT).then_refused(GONE)
    scenario.when(Refund(address=ALICE, refund_id="f1", debit_id="d1", amount=70)).then(
        CreditsRefunded(refund_id="f1", debit_id="d1", amount=70, returned=(part(70),)), GrantVoided(grant=part(70))
    )
    assert (scenario.account().voided, scenario.account().available) == (70, 0)


def test_a_grant_that_expired_or_was_given_away_whole_is_marked() -> None:
    ends = after(60)
    expired = given(granted(100, expires_at=ends)).done(Debit(address=ALICE, debit_id="d1", amount=40)).at(after(90))
    expired.done(replace(SPENT, known=part(0, expires_at=ends)))
    expired.done(Refund(address=ALICE, refund_id="f1", debit_id="d1"))
    assert (expired.account().available, expired.account().voided, expired.account().expired) == (0, 40, 60)
    given_away = given(granted(100)).done(Transfer(address=ALICE, to=BOB, transfer_id="t1", amount=100), SPENT)
    given_away.done(Transfer(address=BOB, to=ALICE, transfer_id="t2", amount=30))
    assert (given_away.account().available, given_away.account().voided) == (0, 30)


def test_a_live_grant_is_voided_whatever_the_caller_knew_of_it() -> None:
    given(granted(100)).when(SPENT).then(GrantVoided(grant=part(100), sealed="s"))


def test_a_scheduled_grant_is_voided_without_moving_anything() -> None:
    terms = part(100)
    scenario = given(GrantScheduled(grant=terms, effective_at=after(60)))
    scenario.when(VOID).then(GrantVoided(grant=terms, effective=False))
    scenario.at(after(60)).when(LetTimePass(stream=stream_of(ALICE))).then_nothing()
    assert (scenario.account().granted, scenario.account().voided) == (0, 0)


def test_the_held_part_is_voided_when_its_hold_is_released() -> None:
    scenario = given(granted(100), reserved(part(70))).done(VOID)
    scenario.when(Release(address=ALICE, reservation_id="r1")).then(
        ReservationReleased(reservation_id="r1", amount=70, returned=(part(70),)), GrantVoided(grant=part(70))
    )
    assert (scenario.account().voided, scenario.account().available) == (100, 0)


def test_the_held_part_is_voided_when_its_hold_expires() -> None:
    scenario = given(granted(100), reserved(part(70))).done(VOID).at(ENDS)
    scenario.when(LetTimePass(stream=stream_of(ALICE))).then(
        due=(
            ReservationExpired(reservation_id="r1", amount=70, returned=(part(70),)),
            GrantVoided(grant=part(70)),
        )
    )


def test_the_rest_of_a_captured_hold_is_voided() -> None:
    scenario = given(granted(100), reserved(part(70))).done(VOID)
    scenario.when(Capture(address=ALICE, reservation_id="r1", debit_id="d1", amount=30)).then(
        ReservationCaptured(
            reservation_id="r1", debit_id="d1", amount=30, slices=(part(30),), final=True, returned=(part(40),)
        ),
        GrantVoided(grant=part(40)),
    )


def test_a_grant_that_is_held_whole_is_marked_and_nothing_moves_yet() -> None:
    scenario = given(granted(100), reserved(part(100)))
    scenario.when(VOID).then(GrantVoided(grant=part(0)))
    assert (scenario.account().voided, scenario.account().reserved) == (0, 100)
    scenario.when(VOID).then_refused(GONE)
    scenario.done(Release(address=ALICE, reservation_id="r1"))
    assert (scenario.account().voided, scenario.account().available) == (100, 0)


def test_a_refund_of_a_voided_grant_is_voided_at_once() -> None:
    scenario = given(granted(100)).done(Debit(address=ALICE, debit_id="d1", amount=60), VOID)
    scenario.when(Refund(address=ALICE, refund_id="f1", debit_id="d1", amount=50)).then(
        CreditsRefunded(refund_id="f1", debit_id="d1", amount=50, returned=(part(50),)), GrantVoided(grant=part(50))
    )
    assert (scenario.account().refunded, scenario.account().voided, scenario.account().available) == (50, 90, 0)


def test_both_parts_of_a_grant_that_came_back_with_a_later_end_are_voided() -> None:
    ends, again = after(60), after(90, days=7)
    scenario = given(granted(100, expires_at=ends)).done(Debit(address=ALICE, debit_id="d1", amount=60))
    scenario.at(after(90)).done(
        Refund(address=ALICE, refund_id="f1", debit_id="d1", amount=20),
    )
    scenario.at(after(95)).done(Refund(address=ALICE, refund_id="f2", debit_id="d1", amount=10))
    scenario.when(VOID).then(
        GrantVoided(grant=part(20, expires_at=again)), GrantVoided(grant=part(10, expires_at=after(95, days=7)))
    )
    assert scenario.account().available == 0


def test_a_part_that_was_given_away_is_voided_when_it_comes_back() -> None:
    scenario = given(granted(100)).done(Transfer(address=ALICE, to=BOB, transfer_id="t1", amount=60), VOID)
    back = Transfer(address=BOB, to=ALICE, transfer_id="t2", amount=25)
    scenario.when(back).then(
        (BOB, CreditsTransferredOut(transfer_id="t2", to=ALICE, amount=25, slices=(part(25),))),
        (ALICE, CreditsTransferredIn(transfer_id="t2", sender=BOB, amount=25, slices=(part(25),))),
        (ALICE, GrantVoided(grant=part(25))),
    )
    assert (scenario.account().available, scenario.account(BOB).available) == (0, 35)


def test_the_number_of_voided_grants_is_bounded() -> None:
    full = Account(
        exists=True,
        granted=1,
        free=1,
        grants=Grants.of([part(1)]),
        voided_grants=frozenset(f"v{number}" for number in range(MAX_VOIDED_GRANTS)),
    )
    refusal = TooMany(what="voided_grants", limit=10_000)
    Scenario().given_state(full).when(VOID).then_refused(refusal)
    assert refusal.code == "too_many_voided_grants"
