"""What time alone makes happen to an account: promised grants begin, holds and grants end."""

from datetime import datetime

from domain.credits.account import Account, evolve
from domain.credits.burn import NEVER
from domain.credits.events import CreditsEvent, CreditsGranted, GrantExpired, ReservationExpired
from domain.credits.rules import repay, spoiled


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

    for waiting in sorted(account.scheduled, key=lambda grant: (grant.effective_at, grant.grant.grant)):
        if waiting.effective_at <= now:
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
    ended = [(hold.expires_at, key, hold) for key, hold in account.holds.items() if hold.expires_at <= now]
    for _, reservation_id, hold in sorted(ended, key=lambda item: item[:2]):
        happened(ReservationExpired(reservation_id=reservation_id, amount=hold.amount, returned=hold.slices))
        for event in spoiled(account, hold.slices, now):
            happened(event)
    for grant in account.grants:
        if grant.expires_at and grant.expires_at <= now:
            happened(GrantExpired(grant=grant))
    return tuple(events)


def refresh(account: Account) -> Account:
    """The same account with `next_due` exact again. It is only a hint for speed: nothing is decided from it."""
    return account._replace(next_due=next_due(account))


def next_due(account: Account) -> datetime:
    """When something will next become due; NEVER where nothing will."""
    return min(
        min((hold.expires_at for hold in account.holds.values()), default=NEVER),
        min((grant.expires_at for grant in account.grants if grant.expires_at), default=NEVER),
        min((waiting.effective_at for waiting in account.scheduled), default=NEVER),
    )
