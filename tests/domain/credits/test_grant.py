"""Grant credits to an account, now or for a later time."""

import pytest

from domain.credits.account import MAX_LIVE_GRANTS, Account, Promised
from domain.credits.address import stream_of
from domain.credits.burn import Grants
from domain.credits.commands import Grant
from domain.credits.events import CreditsDebited, CreditsGranted, GrantExpired, GrantScheduled, Paid
from domain.credits.refusals import AccountClosed, AlreadyExists, InvalidTime, TooMany
from domain.kernel.domain import LetTimePass
from tests.domain.credits.facts import CLOSED, FROZEN, below_zero, granted, part, postpaid
from tests.domain.scenario import ALICE, BOB, NOW, Scenario, after, given

GRANT = Grant(address=ALICE, grant_id="g1", amount=100, source="purchase")


def test_opens_the_account() -> None:
    scenario = Scenario()
    assert not scenario.account().exists
    scenario.when(GRANT).then(CreditsGranted(grant=part(100)))
    account = scenario.account()
    assert (account.exists, account.granted, account.available) == (True, 100, 100)


def test_keeps_the_terms_and_what_was_paid() -> None:
    command = Grant(
        address=ALICE,
        grant_id="g1",
        amount=100,
        source="promotion",
        priority=0,
        expires_at=after(days=30),
        external_ref="pi_1",
        paid=Paid(9_990_000, "EUR"),
        sealed="s",
    )
    Scenario().when(command).then(
        CreditsGranted(
            grant=part(100, priority=0, expires_at=after(days=30), source="promotion"),
            external_ref="pi_1",
            paid=Paid(9_990_000, "EUR"),
            sealed="s",
        )
    )


def test_a_grant_for_later_counts_from_then_on() -> None:
    begins = after(days=1)
    command = Grant(address=ALICE, grant_id="g1", amount=100, source="plan", effective_at=begins, external_ref="p")
    terms = part(100, source="plan")
    scenario = Scenario()
    scenario.when(command).then(GrantScheduled(grant=terms, effective_at=begins, external_ref="p"))
    assert (scenario.account().exists, scenario.account().available) == (True, 0)
    scenario.at(after(86_399.999999)).when(LetTimePass(stream=stream_of(ALICE))).then_nothing()
    scenario.at(begins).when(LetTimePass(stream=stream_of(ALICE))).then(
        due=(CreditsGranted(grant=terms, external_ref="p"),)
    )
    assert (scenario.account().granted, scenario.account().available) == (100, 100)
    assert scenario.account().scheduled == Promised()


def test_a_time_that_has_passed_means_now() -> None:
    command = Grant(address=ALICE, grant_id="g1", amount=100, source="purchase", effective_at=after(-60))
    Scenario().when(command).then(CreditsGranted(grant=part(100)))


@pytest.mark.parametrize(
    ("effective_at", "expires_at"), [(None, NOW), (None, after(-1)), (after(60), after(60)), (after(60), after(30))]
)
def test_must_not_end_before_it_begins(effective_at: object, expires_at: object) -> None:
    command = Grant(
        address=ALICE,
        grant_id="g1",
        amount=1,
        source="trial",
        effective_at=effective_at,  # type: ignore[arg-type]
        expires_at=expires_at,  # type: ignore[arg-type]
    )
    Scenario().when(command).then_refused(
        InvalidTime(field="expires_at", reason="must be later than now and than effective_at")
    )


def test_pays_a_debt_first() -> None:
    owing = CreditsDebited(debit_id="d1", amount=30, slices=(below_zero(30),))
    scenario = given(postpaid(30), owing)
    scenario.when(GRANT).then(CreditsGranted(grant=part(100), repaid=30))
    account = scenario.account()
    assert (account.owed, account.free, account.available, account.granted) == (0, 70, 70, 100)


def test_a_grant_smaller_than_the_debt_leaves_nothing_free() -> None:
    owing = CreditsDebited(debit_id="d1", amount=130, slices=(below_zero(130),))
    scenario = given(postpaid(200), owing)
    scenario.when(GRANT).then(CreditsGranted(grant=part(100), repaid=100))
    account = scenario.account()
    assert (account.owed, account.free, account.available, tuple(account.grants)) == (30, 0, -30, ())


def test_a_scheduled_grant_repays_when_it_begins() -> None:
    terms, owing = part(100), CreditsDebited(debit_id="d1", amount=30, slices=(below_zero(30),))
    scheduled = GrantScheduled(grant=terms, effective_at=after(60))
    given(scheduled, postpaid(30), owing).at(after(60)).when(LetTimePass(stream=stream_of(ALICE))).then(
        due=(CreditsGranted(grant=terms, repaid=30),)
    )


def test_a_payment_counts_once_in_the_organisation() -> None:
    paid = Grant(address=ALICE, grant_id="g1", amount=100, source="purchase", external_ref="pi_1")
    again = Grant(address=BOB, grant_id="g2", amount=100, source="purchase", external_ref="pi_1")
    Scenario().done(paid).when(again).then_refused(AlreadyExists(field="external_ref", value="pi_1"))


def test_a_payment_for_a_later_grant_counts_once_too() -> None:
    paid = Grant(
        address=ALICE, grant_id="g1", amount=9, source="purchase", external_ref="pi_1", effective_at=after(days=1)
    )
    Scenario().done(paid).when(paid).then_refused(AlreadyExists(field="external_ref", value="pi_1"))


def test_a_frozen_account_receives_a_closed_one_does_not() -> None:
    given(FROZEN).when(GRANT).then(CreditsGranted(grant=part(100)))
    given(CLOSED).when(GRANT).then_refused(AccountClosed())


def test_the_number_of_live_grants_is_bounded() -> None:
    grants = tuple(part(1, f"g{number:05}") for number in range(MAX_LIVE_GRANTS - 1))
    nearly = Account(exists=True, granted=len(grants), free=len(grants), grants=Grants.of(grants))
    scenario = Scenario().given_state(nearly)
    later = Grant(address=ALICE, grant_id="x1", amount=1, source="plan", effective_at=after(60))
    scenario.done(later)
    refusal = TooMany(what="grants", limit=10_000)
    scenario.when(GRANT).then_refused(refusal)
    assert refusal.code == "too_many_grants"


def test_an_expired_grant_makes_room() -> None:
    ends = after(60)
    gone = part(1, "a", expires_at=ends)
    kept = tuple(part(1, f"g{number:05}") for number in range(MAX_LIVE_GRANTS - 1))
    full = Account(
        exists=True, granted=MAX_LIVE_GRANTS, free=MAX_LIVE_GRANTS, grants=Grants.of((gone, *kept)), next_due=ends
    )
    command = Grant(address=ALICE, grant_id="x", amount=1, source="trial")
    Scenario().given_state(full).when(command).then_refused(TooMany(what="grants", limit=10_000))
    Scenario().given_state(full).at(ends).when(command).then(
        CreditsGranted(grant=part(1, "x", source="trial", granted_at=ends)), due=(GrantExpired(grant=gone),)
    )


def test_the_same_amount_twice_is_two_grants() -> None:
    scenario = given(granted(100)).done(Grant(address=ALICE, grant_id="g2", amount=100, source="purchase"))
    assert scenario.account().available == 200
