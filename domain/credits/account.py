"""What decisions need to know of an account, and how each event changes it."""

from collections.abc import Iterable
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple, Self, assert_never

from domain.credits.burn import Grants, joined, overdraft_in
from domain.credits.events import (
    AccountConfigured,
    AllowanceGranted,
    AllowanceSet,
    CreditsDebited,
    CreditsEvent,
    CreditsGranted,
    CreditsRefunded,
    CreditsReserved,
    CreditsTransferredIn,
    CreditsTransferredOut,
    GrantEvent,
    GrantExpired,
    GrantScheduled,
    GrantVoided,
    MovementEvent,
    ReservationCaptured,
    ReservationExpired,
    ReservationExtended,
    ReservationReleased,
    ShortfallCollected,
    ShortfallEvent,
    ShortfallRecorded,
    ShortfallWrittenOff,
    Slice,
)
from domain.kernel.holds import Holds
from domain.kernel.work import Work, make
from domain.periods import NEVER, refresh_date

MAX_LIVE_GRANTS = 10_000
MAX_OPEN_HOLDS = 100_000
MAX_VOIDED_GRANTS = 10_000


class Hold(NamedTuple):
    """Credits held for one reservation: what is left of it, when it ends, and which grants it came from."""

    amount: int
    expires_at: datetime
    slices: tuple[Slice, ...]
    generation: bool = False  # it ends only with the generation of the same id


class Promised(Holds[GrantScheduled]):
    """Grants for a later time, by id. A snapshot has them as a list."""

    __slots__ = ()
    moment = attrgetter("effective_at")

    PLAIN = tuple[GrantScheduled, ...]

    @classmethod
    def of_plain(cls, plain: Iterable[GrantScheduled]) -> Self:
        """These."""
        return cls.of({promise.grant.grant: promise for promise in plain})

    def plain(self) -> tuple[GrantScheduled, ...]:
        """All of them, by the time when they begin."""
        return tuple(promise for _, promise in self.ended(NEVER))


class Allowance(NamedTuple):
    """What a plan grants at the start of every 30-day cycle; `granted` is what it has granted in the current one."""

    id: str
    plan: str
    amount: int
    anchor: datetime
    cycle: int
    granted: int = 0
    until: datetime | None = None

    @property
    def refresh_at(self) -> datetime:
        """When the current cycle ends and the next begins."""
        return refresh_date(self.anchor, self.cycle)


class Account(NamedTuple):
    """Totals, live grants and open holds. History is in the log, not here.

    `available + reserved + debited - refunded + expired + voided + transferred_out = granted + transferred_in`
    holds after every event.
    """

    exists: bool = False
    granted: int = 0
    debited: int = 0
    refunded: int = 0
    expired: int = 0
    voided: int = 0
    transferred_in: int = 0
    transferred_out: int = 0
    reserved: int = 0
    free: int = 0  # the sum over `grants`
    owed: int = 0  # debited below zero and not yet repaid
    overdraft_held: int = 0  # held below zero
    grants: Grants = Grants()  # live ones with something free
    scheduled: Promised = Promised()
    holds: Holds[Hold] = Holds()
    voided_grants: frozenset[str] = frozenset()
    frozen: bool = False
    closed: bool = False
    credit_limit: int = 0
    shortfall: int = 0  # work done that could not be paid for; the next grant pays it
    allowance: Allowance | None = None
    next_due: datetime = NEVER  # as of any event; in a snapshot of an earlier version it may be too early

    @property
    def available(self) -> int:
        """What may be spent without going below zero; negative for a postpaid account in debt."""
        return self.free - self.owed - self.overdraft_held

    @property
    def spendable(self) -> int:
        """What may be spent, the credit limit included."""
        return self.free - self.owed - self.overdraft_held + self.credit_limit


def evolve(account: Account, event: CreditsEvent) -> Account:
    """Apply one event. Runs no rule and never fails for an event that a decider made."""
    match event:
        case CreditsReserved():
            below_zero, grants = overdraft_in(event.slices), account.grants.subtract(event.slices)
            hold = make(Hold, (event.amount, event.expires_at, event.slices, event.generation))
            holds = account.holds.set(event.reservation_id, hold)
            return _moved(account, grants, holds, event.amount, below_zero - event.amount, below_zero)
        case ReservationCaptured():
            return _captured(account, event)
        case ReservationReleased() | ReservationExpired():
            below_zero, grants = overdraft_in(event.returned), account.grants.put_back(event.returned)
            holds = account.holds.delete(event.reservation_id)
            return _moved(account, grants, holds, -event.amount, event.amount - below_zero, -below_zero)
        case ReservationExtended():
            hold = account.holds[event.reservation_id]
            slices, below_zero = joined(hold.slices, event.slices), overdraft_in(event.slices)
            longer = Hold(hold.amount + event.grown, event.expires_at, slices, hold.generation)
            after = account._replace(
                free=account.free - event.grown + below_zero,
                overdraft_held=account.overdraft_held + below_zero,
                grants=account.grants.subtract(event.slices),
                reserved=account.reserved + event.grown,
                holds=account.holds.set(event.reservation_id, longer),
            )
        case AccountConfigured():
            after = account._replace(
                exists=True, frozen=event.frozen, closed=event.closed, credit_limit=event.credit_limit
            )
        case CreditsDebited() | CreditsRefunded() | CreditsTransferredOut() | CreditsTransferredIn():
            after = _charged_or_returned(account, event)
        case ShortfallRecorded() | ShortfallCollected() | ShortfallWrittenOff():
            after = _short(account, event)
        case _:
            after = _granted(account, event)
    due = _next_due(after, after.holds, after.grants)
    return after if due == after.next_due else after._replace(next_due=due)


def _granted(account: Account, event: GrantEvent) -> Account:
    match event:
        case CreditsGranted(grant=grant):
            return account._replace(
                exists=True,
                granted=account.granted + grant.amount,
                owed=account.owed - event.repaid,
                scheduled=_kept(account, grant),
                **_arrived(account, (grant._replace(amount=grant.amount - event.repaid),)),
            )
        case GrantScheduled():
            return account._replace(
                exists=True,
                scheduled=account.scheduled.set(event.grant.grant, event),
            )
        case GrantExpired(grant=grant):
            return account._replace(
                expired=account.expired + grant.amount,
                free=account.free - grant.amount,
                grants=account.grants.subtract((grant,)),
            )
        case GrantVoided():
            return _voided(account, event)
        case AllowanceGranted(grant=grant):
            return _renewed(account, event)._replace(
                exists=True,
                granted=account.granted + grant.amount,
                owed=account.owed - event.repaid,
                **_arrived(account, (grant._replace(amount=grant.amount - event.repaid),)),
            )
        case AllowanceSet():
            return _allowed(account, event)
        case _:
            assert_never(event)


def _charged_or_returned(account: Account, event: MovementEvent) -> Account:
    match event:
        case CreditsDebited():
            below_zero = overdraft_in(event.slices)
            return account._replace(
                free=account.free - event.amount + below_zero,
                owed=account.owed + below_zero,
                grants=account.grants.subtract(event.slices),
                debited=account.debited + event.amount,
            )
        case CreditsRefunded():
            return account._replace(
                refunded=account.refunded + event.amount,
                owed=account.owed - event.owed_less,
                **_arrived(account, event.returned),
            )
        case CreditsTransferredOut():
            return account._replace(  # only what is free can be moved, so nothing goes below zero here
                free=account.free - event.amount,
                grants=account.grants.subtract(event.slices),
                transferred_out=account.transferred_out + event.amount,
            )
        case CreditsTransferredIn():
            return account._replace(
                exists=True,
                transferred_in=account.transferred_in + event.amount,
                owed=account.owed - event.repaid,
                **_arrived(account, event.slices),
            )
        case _:
            assert_never(event)


def _short(account: Account, event: ShortfallEvent) -> Account:
    match event:
        case ShortfallRecorded():
            return account._replace(exists=True, shortfall=account.shortfall + event.amount)
        case ShortfallCollected():
            return account._replace(
                free=account.free - event.amount,
                grants=account.grants.subtract(event.slices),
                debited=account.debited + event.amount,
                shortfall=account.shortfall - event.amount,
            )
        case ShortfallWrittenOff():
            return account._replace(shortfall=account.shortfall - event.amount)
        case _:
            assert_never(event)


def _moved(
    account: Account, grants: Grants, holds: Holds[Hold], held: int, freed: int, below_zero: int,
    charged: int = 0, charged_below: int = 0,
) -> Account:  # fmt: skip
    """With these grants and holds, and more (or less) held, free, held below zero, charged, charged below zero.

    Nearly all events pass here, and `_replace` takes three times as long.
    """
    (
        exists, granted, debited, refunded, expired, voided, came_in, went_out, reserved, free, owed, overdraft_held,
        _, scheduled, _, voided_grants, frozen, closed, credit_limit, shortfall, allowance, _,
    ) = account  # fmt: skip
    after: Account = make(Account, (
        exists, granted, debited + charged, refunded, expired, voided, came_in, went_out, reserved + held, free + freed,
        owed + charged_below, overdraft_held + below_zero, grants, scheduled, holds, voided_grants, frozen, closed,
        credit_limit, shortfall, allowance, _next_due(account, holds, grants),
    ))  # fmt: skip
    return after


def _next_due(account: Account, holds: Holds[Hold], grants: Grants) -> datetime:
    """When something will next become due with these holds and grants."""
    due, expires, begins, allowance = holds.next_end, grants.next_end, account.scheduled.next_end, account.allowance
    if expires < due:  # noqa: PLR1730 - `min` takes three times as long
        due = expires
    if begins < due:  # noqa: PLR1730
        due = begins
    if allowance is not None and allowance.amount and allowance.refresh_at < due:
        due = allowance.refresh_at
    return due


def _kept(account: Account, grant: Slice) -> Promised:
    """What is still promised when a grant has begun or was voided."""
    return account.scheduled.delete(grant.grant) if grant.grant in account.scheduled else account.scheduled


def _allowed(account: Account, event: AllowanceSet) -> Account:
    """Another allowance of the same cycles keeps what the current one has granted already."""
    before = account.allowance
    same = before is not None and (before.anchor, before.cycle) == (event.anchor, event.cycle)
    granted = before.granted if before is not None and same else 0
    allowance = Allowance(event.id, event.plan, event.amount, event.anchor, event.cycle, granted, event.until)
    return account._replace(exists=True, allowance=allowance)


def _renewed(account: Account, event: AllowanceGranted) -> Account:
    allowance = account.allowance
    if allowance is None:
        return account
    granted = allowance.granted + event.grant.amount if event.cycle == allowance.cycle else event.grant.amount
    return account._replace(allowance=allowance._replace(cycle=event.cycle, granted=granted))


def _arrived(account: Account, slices: tuple[Slice, ...]) -> dict[str, Any]:
    """The fields that change when new slices come in."""
    return {
        "free": account.free + sum(part.amount for part in slices),
        "grants": account.grants.put_back(slices),
    }


def _captured(account: Account, event: ReservationCaptured) -> Account:
    hold = account.holds[event.reservation_id]
    below_zero = below_charged = overdraft_in(event.slices)
    if event.final:
        holds, ended = account.holds.delete(event.reservation_id), hold.amount
    else:
        left = hold._replace(amount=hold.amount - event.amount, slices=_rest(hold.slices, event.slices))
        holds, ended = account.holds.set(event.reservation_id, left), event.amount
    grants, freed = account.grants, 0
    if event.returned:
        returned_below = overdraft_in(event.returned)
        grants, freed = grants.put_back(event.returned), ended - event.amount - returned_below
        below_zero += returned_below
    return _moved(account, grants, holds, -ended, freed, -below_zero, event.amount, below_charged)


def _rest(slices: tuple[Slice, ...], charged: tuple[Slice, ...]) -> tuple[Slice, ...]:
    """What is left of a hold's slices after the first ones were charged, in their order."""
    whole = len(charged) - 1
    last = slices[whole]
    rest = last.amount - charged[-1].amount
    return (*((last._replace(amount=rest),) if rest else ()), *slices[whole + 1 :])


def _voided(account: Account, event: GrantVoided) -> Account:
    grant = event.grant
    voided = account.voided_grants | {grant.grant}
    if not event.effective:
        return account._replace(scheduled=_kept(account, grant), voided_grants=voided)
    return account._replace(
        voided=account.voided + grant.amount,
        free=account.free - grant.amount,
        grants=account.grants.subtract((grant,)) if grant.amount else account.grants,
        voided_grants=voided,
    )


def account_of(work: Work, stream: str) -> Account:
    """The account of a stream, as a decision sees it."""
    account: Account = work.state(stream)
    return account
