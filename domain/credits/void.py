"""Take back what is left of a grant, for example after a chargeback."""

from dataclasses import dataclass
from datetime import datetime

from domain.credits.account import MAX_VOIDED_GRANTS, Account
from domain.credits.events import CreditsEvent, GrantVoided
from domain.credits.refusals import NotFound, TooMany


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidGrant:
    """Void the grant `grant_id`; what is held of it is voided when its holds end, what is spent stays spent."""

    address: str
    grant_id: str
    sealed: str | None = None


def void(account: Account, command: VoidGrant, _now: datetime) -> tuple[CreditsEvent, ...]:
    """Raises NotFound where nothing of the grant is free, held or scheduled; TooMany at the bound."""
    if len(account.voided_grants) >= MAX_VOIDED_GRANTS:
        raise TooMany(what="voided_grants", limit=MAX_VOIDED_GRANTS)
    waiting = [item.grant for item in account.scheduled if item.grant.grant == command.grant_id]
    if waiting:
        return (GrantVoided(grant=waiting[0], effective=False, sealed=command.sealed),)
    live = [item for item in account.grants if item.grant == command.grant_id]
    if live:
        return tuple(GrantVoided(grant=item, sealed=command.sealed) for item in live)
    if command.grant_id in account.voided_grants:
        raise NotFound(what="live grant", id=command.grant_id)
    held = (part for hold in account.holds.values() for part in hold.slices if part.grant == command.grant_id)
    for part in held:
        return (GrantVoided(grant=part._replace(amount=0), sealed=command.sealed),)
    raise NotFound(what="live grant", id=command.grant_id)
