"""Read models `generations`: each request, its quote and what it took; `refusals`: who was blocked and why (S0)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, assert_never, get_args

from domain.generations import events
from domain.quotas.quota import minus, plus
from domain.resources.budget import BUDGET
from domain.resources.credits import CREDITS
from domain.resources.plan_tokens import PLAN_TOKENS
from domain.resources.tokens import TOKENS
from projections.facts import CannotApply, Fact, follows
from projections.read_model import Due, Index, Int4, Keep, Needed, ReadModel, State

OPEN = frozenset({"held", "running"})
ENDED = frozenset({"completed", "failed", "cancelled", "settled_late"})  # an expired one may still be completed, late


@dataclass(slots=True)
class GenerationRow:
    """One row for each generation that was asked for. `status`: refused, held, running, completed, failed, cancelled,
    expired, settled_late; `reason` of a refusal, `outcome` of a failure. `quoted_…` is what it was expected to take,
    `charged_…` what it took, `refunded_…` what of that came back; tokens and plan tokens (of `token_type`) are whole,
    USD is integer micro-USD (`charged_usd`: actually spent), bytes are bytes. `uncharged` and `shortfall` are objects
    by unit: cost above the hold that nobody paid, and what is owed. `holds`: what is held on each stream, or was when
    it expired. `sealed` is the encrypted text of the request, `sealed_end` of its end. `position`: its last event.
    """

    org: str
    id: str
    user_id: str
    operation: str
    provider: str | None
    model: str | None
    options: dict[str, Any]
    count: int
    feature: str | None
    token_type: str | None
    parent_id: str | None
    status: str
    reason: str | None
    outcome: str | None
    quoted_credits: int
    quoted_tokens: int
    quoted_usd: int
    quoted_bytes: int
    quoted_plan_tokens: int
    item: str | None
    price_version: Int4 | None
    charged_credits: int
    charged_tokens: int
    charged_usd: int
    charged_plan_tokens: int
    refunded_credits: int
    refunded_tokens: int
    refunded_usd: int
    refunded_plan_tokens: int
    uncharged: dict[str, int]
    shortfall: dict[str, int]
    holds: list[dict[str, Any]]
    succeeded: int
    contents: int
    content_bytes: int
    provider_cost: int | None
    provider_currency: str | None
    generation_time_ms: int | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    expires_at: datetime | None
    actor: str
    sealed: str | None
    sealed_end: str | None
    created_position: int
    version: int
    position: int


def asked(
    fact: Fact, event: events.GenerationHeld | events.GenerationRefused, before: GenerationRow | None
) -> GenerationRow:
    """The row of a new generation; `before` is that of a refused one of the same id, which it replaces.

    Raises CannotApply where something else is known under the id.
    """
    if before is not None and before.status != "refused":
        raise CannotApply(fact.partition, fact.position, f"the generation {fact.id} is {before.status}")
    row = _new(fact, event)
    row.version = 0 if before is None else before.version
    follows(fact, row.version)
    match event:
        case events.GenerationHeld():
            row.expires_at, row.sealed, row.holds = event.expires_at, event.sealed, _holds(event.holds)
        case events.GenerationRefused():
            row.status, row.reason, row.ended_at = "refused", event.reason, fact.time
        case _:
            assert_never(event)
    row.version = fact.version
    return row


def _new(fact: Fact, event: events.Described) -> GenerationRow:
    quote = event.quote
    return GenerationRow(
        fact.org, event.generation_id, event.user, event.operation, event.provider, event.model, event.options,
        event.count, event.feature, quote.token_type, event.parent_id, "held", None, None,
        quote.credits, quote.tokens, quote.usd, quote.bytes, quote.plan_tokens, quote.item, quote.price_version,
        0, 0, 0, 0, 0, 0, 0, 0, {}, {}, [], 0, 0, 0, None, None, None,
        fact.time, None, None, None, fact.actor, None, None, fact.position, 0, fact.position,
    )  # fmt: skip


def apply(row: GenerationRow, fact: Fact, event: events.GenerationEvent) -> None:  # noqa: C901 - one case for each event
    """Fold a later event into the generation's row. Raises CannotApply where it is not the next one."""
    follows(fact, row.version)
    row.version, row.position = fact.version, fact.position
    match event:
        case events.GenerationStarted():
            row.status, row.started_at = "running", fact.time
        case events.GenerationExtended():
            row.expires_at, row.holds = event.expires_at, _holds(event.holds)
        case events.GenerationPartCompleted():
            row.status, row.holds = "running", _holds(event.holds)
            row.started_at = row.started_at or fact.time
            _settle(row, event)
        case events.GenerationCompleted():
            _end(row, "completed", fact)
            _settle(row, event)
        case events.GenerationSettledLate():
            _end(row, "settled_late", fact)
            _settle(row, event)
        case events.GenerationFailed():
            _end(row, "failed", fact)
            _settle(row, event)
            row.outcome = str(event.outcome)
        case events.GenerationCancelled():
            _end(row, "cancelled", fact)
            row.sealed_end = event.sealed
        case events.GenerationExpired():  # its holds stay known: a late completion charges up to them
            row.status, row.ended_at = "expired", fact.time
        case events.GenerationRefunded():
            back = by_resource(event.returned)
            row.refunded_credits += back.get(CREDITS.name, 0)
            row.refunded_tokens += back.get(TOKENS.name, 0)
            row.refunded_usd += back.get(BUDGET.name, 0)
            row.refunded_plan_tokens += back.get(PLAN_TOKENS.name, 0)
            for ended in event.written_off:
                row.shortfall = minus(row.shortfall, ended.amounts)
        case events.GenerationHeld() | events.GenerationRefused():
            raise CannotApply(fact.partition, fact.position, f"the generation {fact.id} exists")
        case _:
            assert_never(event)


def by_resource(charges: Iterable[events.Charge]) -> dict[str, int]:
    """What was charged of each resource, over all streams. Callers ignore the sum of what groups count."""
    total: dict[str, int] = {}
    for charge in charges:
        total[charge.resource] = total.get(charge.resource, 0) + sum(charge.amounts.values())
    return total


def _settle(row: GenerationRow, event: events.Settled) -> None:
    charged = by_resource(event.charges)
    row.charged_credits += charged.get(CREDITS.name, 0)
    row.charged_tokens += charged.get(TOKENS.name, 0)
    row.charged_plan_tokens += charged.get(PLAN_TOKENS.name, 0)
    row.charged_usd += event.usd
    row.uncharged = plus(row.uncharged, event.uncharged)
    row.shortfall = plus(row.shortfall, event.shortfall)
    row.succeeded += event.succeeded or 0
    row.contents += len(event.contents)
    row.content_bytes += sum(content.bytes for content in event.contents)
    if event.provider_cost is not None:
        cost, row.provider_currency = event.provider_cost
        row.provider_cost = (row.provider_cost or 0) + cost
    if event.generation_time_ms is not None:
        row.generation_time_ms = (row.generation_time_ms or 0) + event.generation_time_ms
    row.sealed_end = event.sealed or row.sealed_end


def _end(row: GenerationRow, status: str, fact: Fact) -> None:
    row.status, row.ended_at, row.holds = status, fact.time, []


def _holds(holds: Iterable[events.Held]) -> list[dict[str, Any]]:
    return [{"resource": str(held.resource), "stream": held.stream, "amounts": held.amounts} for held in holds]


def needs(needed: Needed, fact: Fact) -> None:
    """The generation's row, unless this is its first event."""
    if fact.version > 1:
        needed.row(GENERATIONS, (fact.org, fact.id))


def fold_generation(state: State, fact: Fact) -> None:
    """Raises CannotApply where the event is not the generation's next one."""
    rows, key, event = state.rows(GENERATIONS), (fact.org, fact.id), fact.event
    begins = isinstance(event, events.GenerationHeld | events.GenerationRefused)
    if begins and fact.version == 1 and key not in rows:
        rows.begin(key, asked(fact, event, None))
        return
    row = state.known(GENERATIONS, key, fact, "generation")
    if begins:
        rows.put(key, asked(fact, event, row))
    else:
        apply(row, fact, event)
        rows.put(key, row)


def has_ended(_state: State, row: GenerationRow) -> bool:
    """Whether nothing but a refund can still come."""
    return row.status in ENDED


GENERATIONS = ReadModel(
    name="generations",
    row=GenerationRow,
    key=("org", "id"),
    events={"generation": get_args(events.GenerationEvent)},
    fold=fold_generation,
    needs=needs,
    ended=has_ended,
    stream="'generation/' || id",
    due=(Due("expires_at", "status in ('held', 'running')"),),
    indexes=(
        Index("org, user_id, created_position desc"),
        Index("org, created_at"),
        Index("org, created_position desc"),
        Index("org, status, created_position desc"),
        Index("org, parent_id", "parent_id is not null"),
    ),
    fillfactor=70,
)


class RefusalRow(NamedTuple):
    """One row for each generation that was refused (blocked attempts). `checks`: every resource that was looked at, as
    objects with resource, ok, reason, needed, available, limit and subject; `deficit` is that of the first that failed.
    """

    org: str
    position: int
    at: datetime
    generation_id: str
    user_id: str
    operation: str
    provider: str | None
    model: str | None
    feature: str | None
    reason: str
    deficit: int
    checks: list[dict[str, Any]]


def refused(fact: Fact, event: events.GenerationRefused) -> RefusalRow:
    """The row of a refusal."""
    deficit = next((max(0, check.needed - (check.available or 0)) for check in event.checks if not check.ok), 0)
    return RefusalRow(
        fact.org, fact.position, fact.time, event.generation_id, event.user, event.operation, event.provider,
        event.model, event.feature, event.reason, deficit, [check._asdict() for check in event.checks],
    )  # fmt: skip


def fold_refusal(state: State, fact: Fact) -> None:
    """Add the row of a refusal."""
    state.log(REFUSALS).append(refused(fact, fact.event))


REFUSALS = ReadModel(
    name="refusals",
    row=RefusalRow,
    key=("org", "position"),
    events={"generation": (events.GenerationRefused,)},
    fold=fold_refusal,
    keep=Keep.LOG,
    indexes=(Index("org, at"), Index("org, user_id, position desc")),
)
