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
    Work,
)
from projections import balances, debits, grants, reservations, token_usage, transactions, usage
from projections.facts import CannotApply, Fact
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
        key = (org, event.reservation_id, address)
        needed.row(models.reservations, key)
        hold = models.reservations.get(key)
        if isinstance(event, ReservationCaptured) and (hold is None or hold.generation):
            needed.row(models.generations, (org, event.reservation_id))
    elif isinstance(event, CreditsDebited | CreditsRefunded):
        generation = transactions.generation_of(event, None)
        if generation is not None:
            needed.row(models.generations, (org, generation))
        if isinstance(event, CreditsRefunded):
            needed.row(models.debits, (org, event.debit_id))


def fold(models: ReadModels, fact: Fact) -> None:
    """Fold one event. Raises CannotApply where it does not fit, ValueError for what is no address."""
    key, event = (fact.org, fact.id), fact.event
    balance = models.balances.get(key)
    if balance is None:
        balance = balances.opened(fact)
    before = balance.available
    balances.apply(balance, fact)
    models.balances.put(key, balance)
    grants.apply(models.grants, models.grants.changed, fact)
    hold = _hold(models, fact)
    models.transactions.extend(transactions.movements(fact, before, hold))
    if isinstance(event, _CHARGES):
        _charge(models, fact, event, balance, hold)
        if token_usage.is_plan_account(fact.id):
            generation = models.generations.get((fact.org, hold.id)) if hold is not None and hold.generation else None
            models.token_usage.append(token_usage.used(fact, balance, models.transactions[-1], generation))


def fold_refund(models: ReadModels, fact: Fact) -> None:
    """Fold a refund, kept for later by a rebuild, into its debit and into what was used.

    Raises CannotApply for an unknown debit.
    """
    balance = models.balances.get((fact.org, fact.id))
    if balance is None:
        models.missing(fact, "account")
    else:
        _give_back(models, fact, fact.event, balance)


def _charge(
    models: ReadModels,
    fact: Fact,
    event: token_usage.Charge,
    balance: balances.Balance,
    hold: reservations.Reservation | None,
) -> None:
    if isinstance(event, CreditsRefunded):
        _give_back(models, fact, event, balance)
        return
    user = getattr(event, "user", None) or (balance.owner_id if balance.owner_type == "user" else None)
    generation_id = transactions.generation_of(event, hold)
    if generation_id is None:
        debit = debits.debited(fact, event, hold, user, usage.work_of(fact, balance, event, hold))
        used = usage.debited(fact, balance, debit, debit.amount)
    else:
        generation = models.generations.get((fact.org, generation_id))
        if generation is None:
            raise CannotApply(fact.partition, fact.position, f"the generation {generation_id} is unknown")
        debit = debits.debited(fact, event, hold, user, Work())
        used = usage.paid(fact, balance, generation, debit.amount)
    models.debits.begin((fact.org, event.debit_id), debit)
    models.usage.add(used)


def _give_back(models: ReadModels, fact: Fact, event: CreditsRefunded, balance: balances.Balance) -> None:
    """A refund lowers its debit, and the use that the debit was."""
    key, generation_id = (fact.org, event.debit_id), transactions.generation_of(event, None)
    debit = models.debits.get(key)
    generation = models.generations.get((fact.org, generation_id)) if generation_id is not None else None
    if debit is None or (generation is None and generation_id is not None):
        models.missing(fact, "debit" if debit is None else "generation")
        return
    used = (
        usage.paid(fact, balance, generation, -event.amount)
        if generation
        else usage.debited(fact, balance, debit, -event.amount)
    )
    models.usage.add(used)
    debit.refunded += event.amount
    models.debits.put(key, debit)


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
