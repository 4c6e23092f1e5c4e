"""What time alone makes happen to an account: promised grants begin, holds and grants end."""

from datetime import datetime

from domain.credits.account import Account, evolve
from domain.credits.address import generation_stream
from domain.credits.allowance import renewal
from domain.credits.burn import burn_key
from domain.credits.events import AllowanceGranted, CreditsEvent, CreditsGranted, GrantExpired, ReservationExpired
from domain.credits.rules import collected, repay, spoiled


def due(account: Account, now: datetime) -> tuple[CreditsEvent, ...]:
    """The events that are due at `now` (the database's clock), in the order in which they must be written.

    Every decision runs this first and writes what it returns, so the sweeper's punctuality never matters
    (architecture, "Time").
    """
    if account.next_due > now:
        return ()
    events: list[CreditsEvent] = []

    def happened(event: CreditsEvent) -> None:
        nonlocal account
        account = evolve(account, event)
        events.append(event)

    for _, waiting in account.scheduled.ended(now):
        repaid, _ = repay(account, (waiting.grant,))
        happened(
            CreditsGranted(
                grant=waiting.grant,
                repaid=repaid,
                external_ref=waiting.external_ref,
                paid=waiting.paid,
                sealed=waiting.sealed,
            )
        )
    for reservation_id, hold in account.holds.ended(now):
        happened(
            ReservationExpired(
                reservation_id=reservation_id,
                amount=hold.amount,
                returned=hold.slices,
                generation=hold.generation,
            )
        )
        for event in spoiled(account, hold.slices, now):
            happened(event)
    for grant in sorted(account.grants.expired(now), key=burn_key):
        happened(GrantExpired(grant=grant))
    for event in renewal(account, now):
        happened(event)
    if any(isinstance(event, CreditsGranted | AllowanceGranted) for event in events):
        for event in collected(account):
            happened(event)
    return tuple(events)


def co_expiring_streams(event: CreditsEvent, _account: Account) -> tuple[str, ...]:
    """A hold of a generation ends with the generation, whichever of its streams is looked at first."""
    if isinstance(event, ReservationExpired) and event.generation:
        return (generation_stream(event.reservation_id),)
    return ()
