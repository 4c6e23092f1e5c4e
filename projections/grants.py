"""Read model: every grant on every account, and where its credits went."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from domain.credits import events
from projections.facts import Fact
from projections.read_model import Due, Int4, Needed, ReadModel, State


@dataclass(slots=True)
class Grant:
    """One row for each grant on each account that has or had some of it (a transfer takes slices along under their id).
    amount = remaining + reserved + spent + expired + voided + transferred_out, except for a grant that never took
    effect, which has nothing but its amount. `status`: scheduled, live, spent, expired or voided. `expires_at` is that
    of the slice that came in last: what is refunded after its end is usable for longer.
    """

    org: str
    address: str
    id: str
    source: str
    priority: Int4
    status: str
    amount: int
    remaining: int
    reserved: int
    spent: int
    expired: int
    voided: int
    transferred_out: int
    granted_at: datetime
    effective_at: datetime
    expires_at: datetime | None
    external_ref: str | None = None
    paid_amount: int | None = None
    paid_currency: str | None = None
    sealed: str | None = None
    position: int = 0


def touched(event: events.CreditsEvent) -> Iterator[str]:
    """The ids of the grants whose rows an event changes."""
    for part in (*getattr(event, "slices", ()), *getattr(event, "returned", ())):
        if part.grant != events.OVERDRAFT:
            yield part.grant
    grant = getattr(event, "grant", None)
    if grant is not None:
        yield grant.grant


def needs(needed: Needed, fact: Fact) -> None:
    """The rows of the grants that an event changes."""
    for grant_id in touched(fact.event):
        needed.row(GRANTS, (fact.org, fact.id, grant_id))


def fold(state: State, fact: Fact) -> None:  # noqa: C901 - one case for each event
    """Fold one event into the grants of its account that it touches."""
    rows, org, address, event = state.rows(GRANTS), fact.org, fact.id, fact.event

    def row_of(part: events.Slice) -> Grant:
        key = (org, address, part.grant)
        row = rows.get(key)
        if row is None:
            row = _new(org, address, part)
        row.position = fact.position
        rows.put(key, row)
        return row

    match event:
        case events.CreditsReserved() | events.ReservationExtended():
            for part in _paid(event.slices):
                _move(row_of(part), -part.amount, reserved=part.amount)
        case events.ReservationCaptured():
            for part in _paid(event.slices):
                _move(row_of(part), 0, reserved=-part.amount, spent=part.amount)
            _come_back(event.returned, row_of)
        case events.ReservationReleased() | events.ReservationExpired():
            _come_back(event.returned, row_of)
        case events.CreditsDebited() | events.ShortfallCollected():
            for part in _paid(event.slices):
                _move(row_of(part), -part.amount, spent=part.amount)
        case events.CreditsTransferredOut():
            for part in _paid(event.slices):
                row = row_of(part)
                row.transferred_out += part.amount
                _move(row, -part.amount)
        case _:
            _rare(event, row_of)


def _rare(event: events.CreditsEvent, row_of: Callable[[events.Slice], Grant]) -> None:  # noqa: C901, PLR0912 - one case for each event
    """What happens to a grant itself."""
    match event:
        case events.CreditsGranted(grant=grant):
            row = row_of(grant)
            _describe(row, event)
            if row.status == "scheduled":
                row.status, row.amount = "live", 0
            row.amount += grant.amount
            _move(row, grant.amount - event.repaid, spent=event.repaid)
        case events.AllowanceGranted(grant=grant):
            row = row_of(grant)
            row.amount += grant.amount
            _move(row, grant.amount - event.repaid, spent=event.repaid)
        case events.GrantScheduled(grant=grant):
            row = row_of(grant)
            _describe(row, event)
            row.status, row.amount, row.effective_at = "scheduled", grant.amount, event.effective_at
        case events.GrantExpired(grant=grant):
            row = row_of(grant)
            row.expired += grant.amount
            _move(row, -grant.amount)
        case events.GrantVoided(grant=grant):
            row = row_of(grant)
            row.status = "voided"
            if event.effective:
                row.voided += grant.amount
                _move(row, -grant.amount)
        case events.CreditsRefunded(returned=returned):
            for part in returned:
                row = row_of(part)
                row.expires_at = part.expires_at
                if part.grant == event.refund_id:  # debt that was repaid before comes back as a grant of its own
                    row.amount += part.amount
                    _move(row, part.amount)
                else:
                    _move(row, part.amount, spent=-part.amount)
        case events.CreditsTransferredIn(slices=slices):
            for part in slices:
                row = row_of(part)
                row.amount += part.amount
                row.expires_at = part.expires_at
                _move(row, part.amount)


def _new(org: str, address: str, part: events.Slice) -> Grant:
    since = part.granted_at
    return Grant(
        org, address, part.grant, part.source, part.priority, "live", 0, 0, 0, 0, 0, 0, 0, since, since, part.expires_at
    )


def _describe(row: Grant, event: events.CreditsGranted | events.GrantScheduled) -> None:
    row.external_ref = event.external_ref
    if event.paid is not None:
        row.paid_amount, row.paid_currency = event.paid
    row.sealed = event.sealed


def _paid(slices: Iterable[events.Slice]) -> Iterator[events.Slice]:
    """The slices that are of a grant: what lies below zero has none."""
    return (part for part in slices if part.grant != events.OVERDRAFT)


def _come_back(slices: Iterable[events.Slice], row_of: Callable[[events.Slice], Grant]) -> None:
    for part in _paid(slices):
        _move(row_of(part), part.amount, reserved=-part.amount)


def _move(row: Grant, remaining: int, reserved: int = 0, spent: int = 0) -> None:
    """Change what is free, held and spent, and with it the grant's status."""
    row.remaining += remaining
    row.reserved += reserved
    row.spent += spent
    if row.status != "voided":
        if row.remaining or row.reserved:
            row.status = "live"
        else:
            row.status = "expired" if row.expired else "spent"


GRANTS = ReadModel(
    name="grants",
    row=Grant,
    key=("org", "address", "id"),
    events={"account": get_args(events.CreditsEvent)},
    fold=fold,
    needs=needs,
    stream="'account/' || address",
    due=(Due("expires_at", "status = 'live'", only="remaining > 0"), Due("effective_at", "status = 'scheduled'")),
    fillfactor=70,
)
