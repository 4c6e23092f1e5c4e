"""The fold of a partition's events into all read models: which rows they need, and what becomes of them. Pure."""

from collections.abc import Iterable

from domain.credits.events import (
    CreditsDebited,
    CreditsRefunded,
    CreditsReserved,
    ReservationCaptured,
    ReservationExpired,
    ReservationExtended,
    ReservationReleased,
)
from domain.prices.events import PricesPublished
from projections import balances, debits, grants, prices, reservations, transactions
from projections.facts import CannotApply, Fact

AccountKey = tuple[str, str]  # organisation, address
HoldKey = tuple[str, str]  # organisation, reservation id

_LATER = (ReservationCaptured, ReservationReleased, ReservationExpired, ReservationExtended)

FOLD = 1  # raised whenever the same events would give other rows: tells older generations from those of this code


class ReadModels:
    """Rows of one partition in memory, and which of them changed since `written` was last called."""

    def __init__(self) -> None:
        self.balances: dict[AccountKey, balances.Balance] = {}
        self.grants: dict[grants.GrantKey, grants.Grant] = {}
        self.reservations: dict[HoldKey, reservations.Reservation] = {}
        self.written()

    def written(self) -> None:
        """Everything that changed is stored now: holds that have ended are let go, they never change again."""
        for key, hold in getattr(self, "changed_reservations", {}).items():
            if hold.status != reservations.HELD:
                self.reservations.pop(key, None)
        self.changed_balances: dict[AccountKey, balances.Balance] = {}
        self.changed_grants: dict[grants.GrantKey, grants.Grant] = {}
        self.changed_reservations: dict[HoldKey, reservations.Reservation] = {}
        self.new_reservations: set[HoldKey] = set()
        self.transactions: list[transactions.Transaction] = []
        self.debits: dict[debits.DebitKey, debits.Debit] = {}
        self.refunds: dict[debits.DebitKey, int] = {}  # to be added to debits that were stored before
        self.prices: list[prices.Prices] = []

    def __len__(self) -> int:
        """How many rows are held in memory."""
        return len(self.balances) + len(self.grants) + len(self.reservations)


class Needed:
    """The keys of stored rows that facts need and `models` does not have in memory."""

    def __init__(self, models: ReadModels, facts: Iterable[Fact]) -> None:
        self.balances: set[AccountKey] = set()
        self.grants: set[grants.GrantKey] = set()
        self.reservations: set[HoldKey] = set()
        for fact in facts:
            if not fact.address:
                continue
            org, address, event = fact.org, fact.address, fact.event
            if (org, address) not in models.balances:
                self.balances.add((org, address))
            for grant_id in grants.touched(event):
                if (org, address, grant_id) not in models.grants:
                    self.grants.add((org, address, grant_id))
            if isinstance(event, _LATER) and (org, event.reservation_id) not in models.reservations:
                self.reservations.add((org, event.reservation_id))


def fold(models: ReadModels, facts: Iterable[Fact]) -> None:
    """Fold events, in the order of their positions, into rows.

    Raises CannotApply at the first one that cannot be; `models` is then half done and must be thrown away.
    """
    for fact in facts:
        if fact.address:
            try:
                _account(models, fact)
            except (ValueError, TypeError, AttributeError) as error:  # no address, or no event of an account
                raise CannotApply(fact.partition, fact.position, str(error)) from error
        elif isinstance(fact.event, PricesPublished) and fact.org == prices.PLATFORM:
            models.prices.append(prices.published(fact, fact.event))


def _account(models: ReadModels, fact: Fact) -> None:
    account, event = (fact.org, fact.address), fact.event
    balance = models.balances.get(account)
    if balance is None:
        balance = models.balances[account] = balances.opened(*account)
    before = balance.available
    balances.apply(balance, fact)
    models.changed_balances[account] = balance
    grants.apply(models.grants, models.changed_grants, fact)
    hold = _hold(models, fact)
    models.transactions.extend(transactions.movements(fact, before, hold))
    if isinstance(event, ReservationCaptured) and hold is not None:
        models.debits[fact.org, event.debit_id] = debits.captured(fact, event, hold)
    elif isinstance(event, CreditsDebited):
        models.debits[fact.org, event.debit_id] = debits.debited(fact, event)
    elif isinstance(event, CreditsRefunded):
        key = (fact.org, event.debit_id)
        debit = models.debits.get(key)
        if debit is not None:
            debit.refunded += event.amount
        else:
            models.refunds[key] = models.refunds.get(key, 0) + event.amount


def _hold(models: ReadModels, fact: Fact) -> reservations.Reservation | None:
    event = fact.event
    if isinstance(event, CreditsReserved):
        key = (fact.org, event.reservation_id)
        hold = reservations.held(fact, event)
        models.new_reservations.add(key)
    elif isinstance(event, _LATER):
        key = (fact.org, event.reservation_id)
        hold = reservations.apply(models.reservations.get(key), fact, event)
    else:
        return None
    models.reservations[key] = models.changed_reservations[key] = hold
    return hold
