"""Freeze, close or open an account, and set how far below zero it may go."""

from domain.credits.commands import ConfigureAccount, Debit
from domain.credits.events import AccountConfigured, ReservationExpired
from domain.credits.refusals import AccountInUse
from domain.refusal import StaleVersion
from tests.domain.credits.facts import ENDS, granted, part, reserved
from tests.domain.scenario import ALICE, Scenario, given


def configured(*, frozen: bool = False, closed: bool = False, credit_limit: int = 0) -> AccountConfigured:
    return AccountConfigured(frozen=frozen, closed=closed, credit_limit=credit_limit)


def test_what_is_not_named_stays_as_it_is() -> None:
    scenario = Scenario()
    scenario.when(ConfigureAccount(address=ALICE, credit_limit=30)).then(configured(credit_limit=30))
    scenario.when(ConfigureAccount(address=ALICE, frozen=True)).then(configured(frozen=True, credit_limit=30))
    scenario.when(ConfigureAccount(address=ALICE, frozen=False, credit_limit=0)).then(configured())


def test_overwrites_only_what_the_caller_has_read() -> None:
    scenario = Scenario()
    scenario.when(ConfigureAccount(address=ALICE, frozen=True, expected=(False, False, 0))).then(
        configured(frozen=True)
    )
    late = ConfigureAccount(address=ALICE, frozen=False, expected=(False, False, 0))
    scenario.when(late).then_refused(StaleVersion(what="account", current="frozen True, closed False, credit limit 0"))


def test_opens_the_account() -> None:
    assert Scenario().done(ConfigureAccount(address=ALICE, frozen=True)).account().exists


def test_a_closed_account_can_be_opened_again() -> None:
    scenario = given(granted(10)).done(ConfigureAccount(address=ALICE, closed=True))
    scenario.when(ConfigureAccount(address=ALICE, closed=False)).then(configured())
    scenario.done(Debit(address=ALICE, debit_id="d1", amount=10))


def test_is_not_closed_while_reservations_are_open() -> None:
    scenario = given(granted(10), reserved(part(4)), reserved(part(2), reservation="r2"))
    scenario.when(ConfigureAccount(address=ALICE, closed=True)).then_refused(AccountInUse(open_reservations=2))
    scenario.when(ConfigureAccount(address=ALICE, frozen=True)).then(configured(frozen=True))


def test_a_reservation_that_has_expired_does_not_keep_it_open() -> None:
    given(granted(10), reserved(part(4))).at(ENDS).when(ConfigureAccount(address=ALICE, closed=True)).then(
        configured(closed=True), due=(ReservationExpired(reservation_id="r1", amount=4, returned=(part(4),)),)
    )
