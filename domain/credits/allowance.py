"""What a plan grants to an account at the start of every 30-day cycle (S3)."""

from dataclasses import dataclass
from datetime import datetime

from domain.credits.account import Account, Allowance, account_of
from domain.credits.events import AllowanceGranted, AllowanceSet, CreditsEvent, Slice
from domain.credits.rules import collect, repay
from domain.kernel.work import Work
from domain.periods import CYCLE, cycle_at

SOURCE = "plan"
PRIORITY = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAllowance:
    """`amount` per cycle, 0 to 10^12. Cycles are counted from `anchor`; nothing is granted from `until` on."""

    id: str
    plan: str
    amount: int
    anchor: datetime
    until: datetime | None = None


def set_allowance(work: Work, stream: str, command: SetAllowance) -> None:
    """The new allowance, with the current cycle's difference granted at once.

    A smaller allowance takes nothing away from the cycle that runs: it begins with the next one. What the cycle has
    granted already counts, so that going up, down and up again grants nothing twice.
    """
    account, now = account_of(work, stream), work.now
    cycle = cycle_at(command.anchor, now)
    chosen = AllowanceSet(
        id=command.id, plan=command.plan, amount=command.amount, anchor=command.anchor, cycle=cycle, until=command.until
    )
    work.emit(stream, chosen)
    before = account.allowance
    same = before is not None and (before.anchor, before.cycle) == (command.anchor, cycle)
    granted = before.granted if before is not None and same else 0
    missing = command.amount - granted
    if missing <= 0:
        return
    allowance = Allowance(command.id, command.plan, command.amount, command.anchor, cycle, granted, command.until)
    work.emit(stream, _granted(account, allowance, missing, 0, now))
    collect(work, stream)


def renewal(account: Account, now: datetime) -> tuple[CreditsEvent, ...]:
    """The current cycle's grant where a cycle has begun; skipped ones are counted (architecture, "Time")."""
    allowance = account.allowance
    if allowance is None or not allowance.amount or allowance.refresh_at > now:
        return ()
    cycle = cycle_at(allowance.anchor, now)
    if allowance.until is not None and allowance.anchor + cycle * CYCLE >= allowance.until:
        return (
            AllowanceSet(
                id=allowance.id, plan=allowance.plan, amount=0, anchor=allowance.anchor, cycle=cycle,
                until=allowance.until,
            ),
        )  # fmt: skip
    begun = allowance._replace(cycle=cycle, granted=0)
    return (_granted(account, begun, allowance.amount, cycle - allowance.cycle - 1, now),)


def _granted(account: Account, allowance: Allowance, amount: int, skipped: int, now: datetime) -> AllowanceGranted:
    """What an allowance grants in its cycle, beside what it has `granted` there: both name the grant, once."""
    grant_id = f"{allowance.id}.{allowance.cycle}.{allowance.granted}"
    terms = Slice(grant_id, amount, SOURCE, PRIORITY, allowance.refresh_at, now)
    repaid, _ = repay(account, (terms,))
    return AllowanceGranted(grant=terms, cycle=allowance.cycle, skipped=skipped, repaid=repaid)
