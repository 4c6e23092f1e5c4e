"""Read model: all use, by quarter of an hour and everything that reports group by. Amounts are added up.

Use is what accounts were debited less what they were refunded, whatever way it came (`debited`, `paid`), and the
money that users' budgets count. Each counts at the time of its own event. Beside it stand the attempts that were made,
with what they cost the platform.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from domain.budgets.events import CostRecorded
from domain.credits.events import CreditsDebited, Work
from domain.generations.events import GenerationPartCompleted, Settled
from projections.balances import Balance
from projections.costs import option
from projections.debits import Charged, Debit
from projections.facts import Fact
from projections.generations import GenerationRow
from projections.read_model import ReadModel, Unbounded, View
from projections.reservations import Reservation

PLAN = "tokens."  # the units of accounts that plans grant to: tokens.{type}
# Every time zone of today is whole quarters of an hour from UTC: its hours and days are sums of quarters.
QUARTER = timedelta(minutes=15)
# What uses that were no generation are called where nothing was priced.
DEBIT, METERED, IMPORT, RESERVATION, DEDUCTION, SHORTFALL, RECORDED = (
    "debit", "metered", "import", "reservation", "deduction", "shortfall", "recorded",
)  # fmt: skip
CHARGED = "charged"  # their outcome
_FROM_KAFKA, _FROM_FILES = "usage:", "usage:scrip-import:"  # how actors of usage events begin


class Usage(NamedTuple):
    """All use, by quarter of an hour (`at`; in `usage_daily` by `day`; both UTC): the base of analytics and reports.
    What accounts were charged stands in `credits`, `tokens`, `plan_tokens` and, of accounts in any other `unit`,
    `other`, whatever way it came: their sum is what accounts were debited less what was refunded. `usd` is what budgets
    count. Each amount stands at the time of its charge; refunds lower the sums at their own. A generation counts when
    it ends (`outcome` completed, failed, cancelled, expired or settled_late) or is refused (refused); what its parts
    were charged until then has the outcome completed. `reason` is why it was refused or how it failed. One that expired
    and is completed late is taken off the expired ones then. Charges that were no generation have the outcome charged,
    and as operation what the price book priced, else debit, metered, import, reservation, deduction (of plan tokens) or
    shortfall; an attempt that was made elsewhere is recorded, completed or failed. What a row does not have is an empty
    text; `key` is a digest of all that tells rows of a quarter apart. Credits and tokens are whole, `usd` and
    `provider_cost` micro-units (the latter in `currency`), `time_ms` milliseconds.
    """

    org: str
    at: datetime
    key: str
    user_id: str
    operation: str
    provider: str
    model: str
    size: str
    quality: str
    feature: str
    outcome: str
    reason: str
    currency: str
    unit: str
    generations: Unbounded
    succeeded: Unbounded
    credits: Unbounded
    tokens: Unbounded
    plan_tokens: Unbounded
    other: Unbounded
    usd: Unbounded
    provider_cost: Unbounded
    time_ms: Unbounded


AMOUNTS = Usage._fields[Usage._fields.index("generations") :]
_NOTHING = (0,) * len(AMOUNTS)
_PLACES = {name: place for place, name in enumerate(AMOUNTS)}
_COMBINED = ", ".join(Usage._fields[Usage._fields.index("key") : -len(AMOUNTS)])
_DAILY = f"""
    select org, (at at time zone 'UTC')::date as day, {_COMBINED},
        {", ".join(f"sum({name}) as {name}" for name in AMOUNTS)}
    from {{table}} group by org, day, {_COMBINED}"""
USAGE = ReadModel(
    name="usage", row=Usage, key=("org", "at", "key"), views=(View("usage_daily", _DAILY),), fillfactor=70
)


def quarter(time: datetime) -> datetime:
    """The start of the quarter of an hour (UTC) that a time lies in."""
    if time.tzinfo is not UTC:
        time = time.astimezone(UTC)
    return time.replace(minute=time.minute - time.minute % 15, second=0, microsecond=0)


def debited(fact: Fact, balance: Balance, debit: Debit, amount: int) -> Usage:
    """What a debit that was for no generation adds, or what a refund of it takes off (`amount` below zero)."""
    resource, unit = _resource(balance)
    return _usage(
        fact, user_id=debit.user_id or "", operation=debit.operation or DEBIT, provider=debit.provider or "",
        model=debit.model or "", feature=debit.item or "" if debit.operation == DEDUCTION else "", outcome=CHARGED,
        unit=unit, amounts={resource: amount},
    )  # fmt: skip


def paid(fact: Fact, balance: Balance, generation: GenerationRow, amount: int) -> Usage:
    """What a debit for a generation adds, or what a refund of it takes off (`amount` below zero)."""
    resource, unit = _resource(balance)
    return _of_generation(fact, generation, _paid_as(generation), unit=unit, amounts={resource: amount})


def _resource(balance: Balance) -> tuple[str, str]:
    """The column that an account's amounts are added in, and its unit where that is `other`."""
    if balance.unit in ("credits", "tokens"):
        return balance.unit, ""
    if balance.owner_type == "org" and balance.unit.startswith(PLAN):
        return "plan_tokens", ""
    return "other", balance.unit


def work_of(fact: Fact, balance: Balance, event: Charged, hold: Reservation | None) -> Work:
    """What a debit was for that was for no generation: what was priced, else how it came."""
    if hold is not None:
        return Work(hold.operation or RESERVATION, hold.provider, hold.model)
    if not isinstance(event, CreditsDebited):
        return Work(SHORTFALL)
    work = event.work or Work()
    return work if work.operation is not None else work._replace(operation=_way(fact, balance))


def _way(fact: Fact, balance: Balance) -> str:
    if _resource(balance)[0] == "plan_tokens":
        return DEDUCTION
    if fact.actor.startswith(_FROM_FILES):
        return IMPORT
    return METERED if fact.actor.startswith(_FROM_KAFKA) else DEBIT


def settled(fact: Fact, row: GenerationRow, event: Settled) -> Usage:
    """What the end of a generation, or of a part, adds beside the debits of its accounts."""
    ends = not isinstance(event, GenerationPartCompleted)
    cost, currency = event.provider_cost or (0, "")
    return _of_generation(
        fact, row, _paid_as(row), currency=currency,
        amounts={
            "generations": int(ends), "succeeded": event.succeeded or 0, "usd": event.usd, "provider_cost": cost,
            "time_ms": event.generation_time_ms or 0,
        },
    )  # fmt: skip


def ended(fact: Fact, row: GenerationRow) -> Usage:
    """A generation that was refused or cancelled or has expired: one attempt, and no more."""
    return _of_generation(fact, row, row.status, amounts={"generations": 1})


def taken_back(fact: Fact, row: GenerationRow) -> Usage:
    """What a generation that had expired takes off its row when it is about to be completed late."""
    return _of_generation(fact, row, row.status, amounts={"generations": -1})


def money_back(fact: Fact, row: GenerationRow, usd: int) -> Usage:
    """What a refund gives back to a budget; accounts say themselves what they got, and the attempt was one."""
    return _of_generation(fact, row, _paid_as(row), amounts={"usd": -usd})


def recorded(fact: Fact, event: CostRecorded) -> Usage:
    """An attempt that was made elsewhere; what it cost counts only if it succeeded."""
    return _usage(
        fact, user_id=fact.id, operation=RECORDED, size=event.size or "", quality=event.quality or "",
        outcome="completed" if event.success else "failed",
        amounts={
            "generations": 1, "succeeded": int(event.success), "usd": event.usd if event.success else 0,
            "time_ms": event.generation_time_ms or 0,
        },
    )  # fmt: skip


def _paid_as(row: GenerationRow) -> str:
    """The outcome that a generation was charged for: until it is settled, only parts that succeeded were."""
    return "completed" if row.status in {"held", "running", "expired"} else row.status


def _of_generation(
    fact: Fact, row: GenerationRow, outcome: str, *, currency: str = "", unit: str = "", amounts: dict[str, int]
) -> Usage:
    return _usage(
        fact, user_id=row.user_id, operation=row.operation, provider=row.provider or "", model=row.model or "",
        size=option(row, "size") or "", quality=option(row, "quality") or "", feature=row.feature or "",
        outcome=outcome, reason=row.reason or row.outcome or "", currency=currency, unit=unit, amounts=amounts,
    )  # fmt: skip


def _usage(
    fact: Fact, *, user_id: str, operation: str, provider: str = "", model: str = "", size: str = "",
    quality: str = "", feature: str = "", outcome: str, reason: str = "", currency: str = "", unit: str = "",
    amounts: dict[str, int],
) -> Usage:  # fmt: skip
    what = (user_id, operation, provider, model, size, quality, feature, outcome, reason, currency, unit)
    sums = list(_NOTHING)
    for name, amount in amounts.items():
        sums[_PLACES[name]] = amount
    return Usage._make((fact.org, quarter(fact.time), _key(what), *what, *sums))


@lru_cache(maxsize=20_000)
def _key(what: tuple[str, ...]) -> str:
    """Combinations may be longer than what an index holds, so a digest of them is the key."""
    return sha256("\0".join(f"{len(text)}:{text}" for text in what).encode()).hexdigest()[:32]
