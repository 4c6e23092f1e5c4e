"""The fold of an account's events into the read models about accounts. Pure."""

from domain.credits.events import (
    CreditsDebited,
    CreditsRefunded,
    CreditsReserved,
    ReservationCaptured,
    ReservationExpired,
    ReservationExtended,
    ReservationReleased,
    ShortfallCollected,
)
from projections import balances, debits, grants, reservations, token_usage, transactions
from projections.facts import Fact
from projections.models import Needed, ReadModels

_LATER = (ReservationCaptured, ReservationReleased, ReservationExpired, ReservationExtended)
_CHARGES = (CreditsDebited, ReservationCaptured, ShortfallCollected, CreditsRefunded)


def need(needed: Needed, fact: Fact) -> None:
    """Name the stored rows that an event needs."""
    models, org, address, event = needed.models, fact.org, fact.id, fact.event
    needed.row(models.balances, (org, address))
    for grant_id in grants.touched(event):
        needed.row(models.grants, (org, address, grant_id))
    if isinstance(event, CreditsReserved) and event.generation:
        needed.row(models.reservations, (org, event.reservation_id, address))
    elif isinstance(event, _LATER):
        needed.row(models.reservations, (org, event.reservation_id, address))
        if isinstance(event, ReservationCaptured) and token_usage.is_plan_account(address):
            needed.row(models.generations, (org, event.reservation_id))


def fold(models: ReadModels, fact: Fact) -> None:
    """Fold one event. Raises CannotApply where it does not fit, ValueError for what is no address."""
    key, event = (fact.org, fact.id), fact.event
    balance = models.balances.get(key)
    if balance is None:
        balance = balances.opened(*key)
    before = balance.available
    balances.apply(balance, fact)
    models.balances.put(key, balance)
    grants.apply(models.grants, models.grants.changed, fact)
    hold = _hold(models, fact)
    models.transactions.extend(transactions.movements(fact, before, hold))
    if isinstance(event, _CHARGES):
        _charge(models, fact, event, hold)
        if token_usage.is_plan_account(fact.id):
            generation = models.generations.get((fact.org, hold.id)) if hold is not None and hold.generation else None
            models.token_usage.append(token_usage.used(fact, balance, models.transactions[-1], generation))


def _charge(models: ReadModels, fact: Fact, event: token_usage.Charge, hold: reservations.Reservation | None) -> None:
    key = (fact.org, event.debit_id)
    match event:
        case CreditsDebited():
            models.debits[key] = debits.debited(fact, event)
        case ShortfallCollected():
            models.debits[key] = debits.collected(fact, event)
        case ReservationCaptured():
            if hold is not None:
                models.debits[key] = debits.captured(fact, event, hold)
        case CreditsRefunded():
            debit = models.debits.get(key)
            if debit is not None:
                debit.refunded += event.amount
            else:
                models.refunds[key] = models.refunds.get(key, 0) + event.amount


def _hold(models: ReadModels, fact: Fact) -> reservations.Reservation | None:
    event = fact.event
    if isinstance(event, CreditsReserved):
        key = (fact.org, event.reservation_id, fact.id)
        known = models.reservations.get(key)
        if known is not None:
            hold = reservations.resumed(known, fact, event)
            models.reservations.put(key, hold)
        else:
            hold = reservations.held(fact, event)
            models.reservations.begin(key, hold)
    elif isinstance(event, _LATER):
        key = (fact.org, event.reservation_id, fact.id)
        hold = reservations.apply(models.reservations.get(key), fact, event)
        models.reservations.put(key, hold)
    else:
        return None
    return hold
