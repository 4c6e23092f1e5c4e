"""Give a debit back, whole or in part, to the grants that paid for it."""

from domain.credits.account import MAX_LIVE_GRANTS
from domain.credits.address import stream_of
from domain.credits.burn import Grants
from domain.credits.commands import Capture, Debit, Grant, Refund, Reserve
from domain.credits.events import CreditsRefunded, GrantExpired, Slice
from domain.credits.refusals import AccountClosed, ExceedsDebit, NotFound, TooMany
from domain.kernel.domain import LetTimePass
from tests.domain.credits.facts import CLOSED, FROZEN, granted, part, postpaid
from tests.domain.scenario import ALICE, BOB, Scenario, after, given


def debit(amount: int, debit_id: str = "d1") -> Debit:
    return Debit(address=ALICE, debit_id=debit_id, amount=amount)


def refund(amount: int | None = None, refund_id: str = "f1") -> Refund:
    return Refund(address=ALICE, refund_id=refund_id, debit_id="d1", amount=amount)


def refunded(*returned: Slice, refund_id: str = "f1", owed_less: int = 0) -> CreditsRefunded:
    amount = sum(item.amount for item in returned) + owed_less
    return CreditsRefunded(refund_id=refund_id, debit_id="d1", amount=amount, returned=returned, owed_less=owed_less)


def test_gives_the_whole_debit_back() -> None:
    scenario = given(granted(100)).done(debit(70))
    scenario.when(refund()).then(refunded(part(70)))
    account = scenario.account()
    assert (account.debited, account.refunded, account.available, tuple(account.grants)) == (70, 70, 100, (part(100),))


def test_keeps_the_sealed_text() -> None:
    command = Refund(address=ALICE, refund_id="f1", debit_id="d1", sealed="s")
    given(granted(1)).done(debit(1)).when(command).then(
        CreditsRefunded(refund_id="f1", debit_id="d1", amount=1, returned=(part(1),), sealed="s")
    )


def test_goes_back_to_the_grants_that_paid_last_charged_first() -> None:
    scenario = given(granted(50), granted(50, "g2")).done(debit(80))
    scenario.when(refund(40)).then(refunded(part(30, "g2"), part(10)))
    scenario.when(refund(refund_id="f2")).then(refunded(part(40), refund_id="f2"))


def test_never_more_than_the_debit_in_total() -> None:
    scenario = given(granted(100)).done(debit(70))
    scenario.when(refund(71)).then_refused(ExceedsDebit(amount=71, left=70))
    scenario.done(refund(50))
    scenario.when(refund(21, "f2")).then_refused(ExceedsDebit(amount=21, left=20))
    scenario.done(refund(20, "f2"))
    refusal = ExceedsDebit(amount=0, left=0)
    scenario.when(refund(refund_id="f3")).then_refused(refusal)
    assert str(refusal) == "The debit is refunded in full already."
    scenario.when(refund(1, "f3")).then_refused(ExceedsDebit(amount=1, left=0))


def test_a_capture_is_a_debit_too() -> None:
    scenario = given(granted(100)).done(
        Reserve(address=ALICE, reservation_id="r1", amount=70),
        Capture(address=ALICE, reservation_id="r1", debit_id="d1", amount=60),
    )
    scenario.when(refund()).then(refunded(part(60)))
    assert scenario.account().available == 100


def test_what_had_expired_is_usable_for_seven_days() -> None:
    ends = after(60)
    scenario = given(granted(100, expires_at=ends)).done(debit(70)).at(after(days=1))
    usable = part(70, expires_at=after(days=8))
    scenario.when(refund()).then(refunded(usable), due=(GrantExpired(grant=part(30, expires_at=ends)),))
    assert scenario.account().available == 70
    scenario.at(after(days=8)).when(LetTimePass(stream=stream_of(ALICE))).then(due=(GrantExpired(grant=usable),))


def test_what_has_not_expired_keeps_its_end() -> None:
    ends = after(days=2)
    given(granted(100, expires_at=ends)).done(debit(70)).at(after(days=1)).when(refund()).then(
        refunded(part(70, expires_at=ends))
    )


def test_a_debt_gets_smaller_first_of_all() -> None:
    scenario = given(granted(50), postpaid(30)).done(debit(80))
    assert scenario.account().owed == 30
    scenario.when(refund(20)).then(refunded(owed_less=20))
    scenario.when(refund(refund_id="f2")).then(refunded(part(50), refund_id="f2", owed_less=10))
    assert (scenario.account().owed, scenario.account().available) == (0, 50)


def test_a_debt_that_a_grant_has_repaid_comes_back_as_credits() -> None:
    scenario = given(postpaid(30)).done(debit(30), Grant(address=ALICE, grant_id="g1", amount=20, source="purchase"))
    assert scenario.account().owed == 10
    scenario.when(refund()).then(refunded(part(20, "f1", source="refund"), owed_less=10))
    assert (scenario.account().owed, scenario.account().available) == (0, 20)


def test_of_a_debit_that_never_was() -> None:
    given(granted(100)).when(refund()).then_refused(NotFound(what="debit", id="d1"))


def test_of_another_accounts_debit() -> None:
    scenario = given(granted(100)).done(debit(70))
    scenario.when(Refund(address=BOB, refund_id="f1", debit_id="d1")).then_refused(NotFound(what="debit", id="d1"))


def test_a_frozen_account_is_refunded_a_closed_one_is_not() -> None:
    given(granted(100)).done(debit(70)).given(FROZEN).when(refund()).then(refunded(part(70)))
    given(granted(100)).done(debit(70)).given(CLOSED).when(refund()).then_refused(AccountClosed())


def test_the_bound_on_live_grants_holds_for_refunds() -> None:
    scenario = given(granted(1)).done(debit(1))
    grants = tuple(part(1, f"h{number:05}") for number in range(MAX_LIVE_GRANTS))
    account = scenario.account()
    full = account._replace(granted=account.granted + len(grants), free=len(grants), grants=Grants.of(grants))
    scenario.given_state(full)
    scenario.when(refund()).then_refused(TooMany(what="grants", limit=10_000))


def test_an_account_without_events_has_no_debits() -> None:
    Scenario().when(refund()).then_refused(NotFound(what="debit", id="d1"))
