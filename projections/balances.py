"""Read model: what each account has. Every field follows from the amounts in the events."""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never, get_args

from domain.credits import events
from domain.credits.address import parse_address
from domain.periods import CYCLE, refresh_date
from projections.facts import Fact
from projections.read_model import Due, Int4, ReadModel, State


@dataclass(slots=True)
class Balance:
    """One row for each account that ever had an event. `version` and `position`: the account's last event. `shortfall`:
    work done that could not be paid for and is still owed. `allowance`: what a plan grants in every 30-day cycle (0:
    none), `allowance_granted` what it has granted in the cycle `allowance_cycle` (0 for the first), which ends at
    `refresh_at`; both are null for an account that never had one.
    """

    org: str
    address: str
    owner_type: str
    owner_id: str
    unit: str
    granted: int = 0
    debited: int = 0
    refunded: int = 0
    expired: int = 0
    voided: int = 0
    transferred_in: int = 0
    transferred_out: int = 0
    reserved: int = 0
    available: int = 0
    frozen: bool = False
    closed: bool = False
    credit_limit: int = 0
    shortfall: int = 0
    allowance: int = 0
    allowance_granted: int = 0
    allowance_cycle: Int4 | None = None
    refresh_at: datetime | None = None
    version: int = 0
    position: int = 0
    updated_at: datetime = events.EPOCH


PLAN = "tokens."  # the units of accounts that plans grant to: tokens.{type}


def opened(fact: Fact) -> Balance:
    """The row of an account before its first event. Raises ValueError for what is no address."""
    return Balance(fact.org, fact.id, *parse_address(fact.id), updated_at=fact.time)


def _move(row: Balance, event: events.CreditsEvent) -> None:  # noqa: C901, PLR0912, PLR0915 - one case for each event
    match event:
        case events.CreditsReserved(amount=amount):
            row.reserved += amount
            row.available -= amount
        case events.ReservationCaptured(amount=amount, returned=returned):
            back = sum(part.amount for part in returned)
            row.debited += amount
            row.reserved -= amount + back
            row.available += back
        case events.ReservationReleased(amount=amount) | events.ReservationExpired(amount=amount):
            row.reserved -= amount
            row.available += amount
        case events.CreditsDebited(amount=amount):
            row.debited += amount
            row.available -= amount
        case events.CreditsGranted(grant=grant):
            row.granted += grant.amount
            row.available += grant.amount
        case events.GrantExpired(grant=grant):
            row.expired += grant.amount
            row.available -= grant.amount
        case events.GrantVoided(grant=grant, effective=effective):
            if effective:
                row.voided += grant.amount
                row.available -= grant.amount
        case events.ReservationExtended(grown=grown):
            row.reserved += grown
            row.available -= grown
        case events.CreditsRefunded(amount=amount, returned=returned, owed_less=owed_less):
            row.refunded += amount
            row.available += owed_less + sum(part.amount for part in returned)
        case events.CreditsTransferredOut(amount=amount):
            row.transferred_out += amount
            row.available -= amount
        case events.CreditsTransferredIn(amount=amount, slices=slices, repaid=repaid):
            row.transferred_in += amount
            row.available += repaid + sum(part.amount for part in slices)
        case events.AccountConfigured():
            row.frozen, row.closed, row.credit_limit = event.frozen, event.closed, event.credit_limit
        case events.GrantScheduled():
            pass  # promised, not here yet
        case events.AllowanceGranted(grant=grant):
            row.granted += grant.amount
            row.available += grant.amount
            _renew(row, event)
        case events.AllowanceSet():
            _allow(row, event)
        case events.ShortfallRecorded(amount=amount):
            row.shortfall += amount
        case events.ShortfallCollected(amount=amount):
            row.shortfall -= amount
            row.debited += amount
            row.available -= amount
        case events.ShortfallWrittenOff(amount=amount):
            row.shortfall -= amount
        case _:
            assert_never(event)


def _allow(row: Balance, event: events.AllowanceSet) -> None:
    """Another allowance of the same cycles keeps what the current one has granted already."""
    refresh_at = refresh_date(event.anchor, event.cycle)
    if (row.allowance_cycle, row.refresh_at) != (event.cycle, refresh_at):
        row.allowance_granted = 0
    row.allowance, row.allowance_cycle, row.refresh_at = event.amount, event.cycle, refresh_at


def _renew(row: Balance, event: events.AllowanceGranted) -> None:
    if row.allowance_cycle is None or row.refresh_at is None:
        return
    if event.cycle != row.allowance_cycle:
        row.allowance_granted = 0
        row.refresh_at += (event.cycle - row.allowance_cycle) * CYCLE
        row.allowance_cycle = event.cycle
    row.allowance_granted += event.grant.amount


def resource_of(row: Balance) -> tuple[str, str]:
    """The column that an account's amounts are added in where use is reported, and its unit where that is `other`."""
    if row.unit in ("credits", "tokens"):
        return row.unit, ""
    if row.owner_type == "org" and row.unit.startswith(PLAN):
        return "plan_tokens", ""
    return "other", row.unit


def fold(state: State, fact: Fact) -> None:
    """Raises CannotApply where `fact` is not the account's next event, ValueError for what is no address."""
    _move(state.next_row(BALANCES, (fact.org, fact.id), fact, opened), fact.event)


BALANCES: ReadModel[Balance] = ReadModel(
    name="balances",
    row=Balance,
    key=("org", "address"),
    events={"account": get_args(events.CreditsEvent)},
    fold=fold,
    needs=lambda needed, fact: needed.row(BALANCES, (fact.org, fact.id)),
    stream="'account/' || address",
    due=(Due("refresh_at", "allowance > 0"),),
    checks=(
        "available + reserved + debited - refunded + expired + voided + transferred_out = granted + transferred_in",
    ),
    fillfactor=70,
)
