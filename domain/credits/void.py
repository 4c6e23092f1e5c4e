"""Take back what is left of a grant, for example after a chargeback.

A grant of which nothing is left is marked all the same: whatever comes back to it later (a refund, the rest of a hold,
a gift that is returned) is taken back at once, or a chargeback could be escaped by spending first.
"""

from dataclasses import dataclass
from itertools import chain

from domain.credits.account import MAX_VOIDED_GRANTS, Account, account_of
from domain.credits.address import stream_of
from domain.credits.events import GrantVoided, Slice
from domain.credits.refusals import NotFound, TooMany
from domain.kernel.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidGrant:
    """Void the grant `grant_id`; what is held of it is voided when its holds end, what is spent stays spent.

    `known`: the terms of the grant where the account has or had some of it. A state keeps live grants only, so the
    caller looks this up; once true it stays true. None for a grant that the account never had.
    """

    address: str
    grant_id: str
    sealed: str | None = None
    known: Slice | None = None


def void(work: Work, command: VoidGrant) -> None:
    """Raises NotFound for a grant that is unknown or void already; TooMany at the bound."""
    stream = stream_of(command.address)
    account = account_of(work, stream)
    if len(account.voided_grants) >= MAX_VOIDED_GRANTS:
        raise TooMany(what="voided_grants", limit=MAX_VOIDED_GRANTS)
    waiting = account.scheduled.get(command.grant_id)
    if waiting is not None:
        work.emit(stream, GrantVoided(grant=waiting.grant, effective=False, sealed=command.sealed))
        return
    live = [item for item in account.grants if item.grant == command.grant_id]
    for item in live:
        work.emit(stream, GrantVoided(grant=item, sealed=command.sealed))
    if live:
        return
    part = part_of(account, command.grant_id) or command.known
    if command.grant_id in account.voided_grants or part is None:
        raise NotFound(what="live grant", id=command.grant_id)
    work.emit(stream, GrantVoided(grant=part._replace(amount=0), sealed=command.sealed))


def part_of(account: Account, grant_id: str) -> Slice | None:
    """Some part of a grant that is free, promised or held, none where nothing of it is left."""
    waiting = (item.grant for item in account.scheduled.values())
    held = (part for hold in account.holds.values() for part in hold.slices)
    return next((part for part in chain(account.grants, waiting, held) if part.grant == grant_id), None)
