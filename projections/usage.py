"""Read models `usage`: all use, summed by quarter of an hour and everything that reports group by; and
`token_usage`: the log of what was used of organisations' plan tokens (S3).

Use is what accounts were debited minus what they were refunded, and the money that users' budgets count. Each amount
counts at the time of its own event. `usage` also counts the attempts, with what they cost the platform.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple, get_args

from domain.budgets.events import CostRecorded
from domain.credits.events import CreditsDebited, CreditsRefunded, ReservationCaptured, ShortfallCollected
from domain.generations import events
from domain.resources.budget import BUDGET
from projections.balances import BALANCES, PLAN, resource_of
from projections.budgets import option
from projections.debits import DEBIT, DEBITS, DEDUCTION
from projections.facts import Fact
from projections.generations import GENERATIONS, GenerationRow, by_resource
from projections.read_model import Index, Keep, Needed, ReadModel, State, Unbounded, View
from projections.reservations import RESERVATIONS, hold_of
from projections.transactions import TRANSACTIONS, generation_of

# Every time zone of today is whole quarters of an hour from UTC: its hours and days are sums of quarters.
QUARTER = timedelta(minutes=15)
_Charge = CreditsDebited | ReservationCaptured | ShortfallCollected | CreditsRefunded
_COUNTED = (
    *(
        events.GenerationRefused,
        events.GenerationPartCompleted,
        events.GenerationCompleted,
        events.GenerationSettledLate,
        events.GenerationFailed,
    ),
    *(events.GenerationCancelled, events.GenerationExpired, events.GenerationRefunded),
)
CHARGED = "charged"  # the outcome of uses that were no generation
RECORDED = "recorded"  # the operation of an attempt that was made elsewhere


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


def quarter(time: datetime) -> datetime:
    """The start of the quarter of an hour (UTC) that a time lies in."""
    if time.tzinfo is not UTC:
        time = time.astimezone(UTC)
    return time.replace(minute=time.minute - time.minute % 15, second=0, microsecond=0)


def settled(fact: Fact, row: GenerationRow, event: events.Settled) -> Usage:
    """What the end of a generation, or of a part, adds beside the debits of its accounts."""
    ends = not isinstance(event, events.GenerationPartCompleted)
    cost, currency = event.provider_cost or (0, "")
    return _of_generation(
        fact, row, _paid_as(row), currency=currency,
        amounts={
            "generations": int(ends), "succeeded": event.succeeded or 0, "usd": event.usd, "provider_cost": cost,
            "time_ms": event.generation_time_ms or 0,
        },
    )  # fmt: skip


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


def needs(needed: Needed, fact: Fact) -> None:
    """The generation that a charge or refund belongs to."""
    event = fact.event
    if isinstance(event, CreditsDebited | CreditsRefunded):
        generation = generation_of(event, None)
    elif isinstance(event, ReservationCaptured):
        hold = needed.state.rows(RESERVATIONS).get((fact.org, event.reservation_id, fact.id))
        generation = event.reservation_id if hold is None or hold.generation else None
    else:
        return
    if generation is not None:
        needed.row(GENERATIONS, (fact.org, generation))


def fold_usage(state: State, fact: Fact) -> None:
    """Raises CannotApply where the account, debit or generation of a charge is unknown."""
    sums = state.sums(USAGE)
    for use in _uses(state, fact):
        sums.add(use)


def _uses(state: State, fact: Fact) -> tuple[Usage, ...]:
    event = fact.event
    if fact.kind == "account":
        return (_charged(state, fact, event),)
    if isinstance(event, CostRecorded):
        return (recorded(fact, event),)
    row = state.known(GENERATIONS, (fact.org, fact.id), fact, "generation")
    if isinstance(event, events.GenerationRefunded):
        # What a budget gets back. Accounts have events of their own, and the attempt was counted.
        usd = by_resource(event.returned).get(BUDGET.name, 0)
        return (_of_generation(fact, row, _paid_as(row), amounts={"usd": -usd}),) if usd else ()
    if isinstance(event, events.GenerationSettledLate):  # it was counted as expired
        return _of_generation(fact, row, "expired", amounts={"generations": -1}), settled(fact, row, event)
    if isinstance(event, events.Settled):
        return (settled(fact, row, event),)
    return (_of_generation(fact, row, row.status, amounts={"generations": 1}),)


def _charged(state: State, fact: Fact, event: _Charge) -> Usage:
    """What a debit adds, or what a refund of one takes off."""
    balance = state.known(BALANCES, (fact.org, fact.id), fact, "account")
    resource, unit = resource_of(balance)
    amounts = {resource: -event.amount if isinstance(event, CreditsRefunded) else event.amount}
    generation_id = generation_of(event, hold_of(state, fact))
    if generation_id is not None:
        generation = state.known(GENERATIONS, (fact.org, generation_id), fact, f"generation {generation_id}")
        return _of_generation(fact, generation, _paid_as(generation), unit=unit, amounts=amounts)
    debit = state.known(DEBITS, (fact.org, event.debit_id), fact, "debit")
    return _usage(
        fact, user_id=debit.user_id or "", operation=debit.operation or DEBIT, provider=debit.provider or "",
        model=debit.model or "", feature=debit.item or "" if debit.operation == DEDUCTION else "", outcome=CHARGED,
        unit=unit, amounts=amounts,
    )  # fmt: skip


USAGE = ReadModel(
    name="usage",
    row=Usage,
    key=("org", "at", "key"),
    events={"account": get_args(_Charge), "generation": _COUNTED, "budget": (CostRecorded,)},
    fold=fold_usage,
    needs=needs,
    keep=Keep.SUMS,
    views=(View("usage_daily", _DAILY, "the same by `day` in place of `at`."),),
    fillfactor=70,
)


class TokenUse(NamedTuple):
    """The usage log of an organisation's plan tokens, append only: one row for each charge on an account
    `org:{org}:tokens.{type}`, and for each refund of one (`tokens` is then negative). `remaining` is the account's
    balance after it. `feature` is that of the deduction or generation; `sealed` is its encrypted metadata. `total` is
    all that was used of the account until then, refunds taken off, so that what was used in a time is the difference of
    two rows.
    """

    org: str
    position: int
    at: datetime
    address: str
    token_type: str
    user_id: str | None
    feature: str | None
    tokens: int
    remaining: int
    total: int
    debit_id: str
    generation_id: str | None
    actor: str
    sealed: str | None


def fold_tokens(state: State, fact: Fact) -> None:
    """Add the row of a charge or refund of plan tokens. What a hold was for is said by its generation."""
    balance = state.rows(BALANCES)[fact.org, fact.id]
    if resource_of(balance)[0] != "plan_tokens":
        return
    event, hold, last = fact.event, hold_of(state, fact), state.log(TRANSACTIONS)[-1]
    generation = state.rows(GENERATIONS).get((fact.org, hold.id)) if hold is not None and hold.generation else None
    user = generation.user_id if generation is not None else getattr(event, "user", None)
    feature = generation.feature if generation is not None else getattr(event, "item", None)
    use = TokenUse(
        fact.org, fact.position, fact.time, fact.id, balance.unit.removeprefix(PLAN), user, feature, -last.amount,
        balance.available, balance.debited - balance.refunded, event.debit_id, last.generation_id, fact.actor,
        last.sealed,
    )  # fmt: skip
    state.log(TOKEN_USAGE).append(use)


TOKEN_USAGE = ReadModel(
    name="token_usage",
    row=TokenUse,
    key=("org", "position"),
    events={"account": (CreditsDebited, ReservationCaptured, ShortfallCollected, CreditsRefunded)},
    fold=fold_tokens,
    keep=Keep.LOG,
    indexes=(
        Index("org, token_type, position desc"),
        Index("org, user_id, position desc"),
        Index("org, at"),
        Index("org, token_type, at desc, position desc"),
    ),
)
