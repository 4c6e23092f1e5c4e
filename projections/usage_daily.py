"""Read model: what became of generations, by day and everything that analytics group by. Amounts are added up."""

from datetime import UTC, date
from hashlib import sha256
from typing import NamedTuple

from domain.generations.events import GenerationRefunded
from domain.organisations.events import Resource
from projections.costs import option
from projections.facts import Fact
from projections.generation_rows import GenerationRow, by_resource
from projections.table import Table


class Usage(NamedTuple):
    """One day's row for one combination (usage_daily.sql)."""

    org: str
    day: date
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
    generations: int
    succeeded: int
    credits: int
    tokens: int
    plan_tokens: int
    usd: int
    provider_cost: int
    time_ms: int


TABLE = Table(
    "usage_daily",
    Usage,
    {"org": "text", "day": "date", "key": "text", "user_id": "text", "operation": "text", "provider": "text"}
    | dict.fromkeys(("model", "size", "quality", "feature", "outcome", "reason", "currency"), "text")
    | dict.fromkeys(("generations", "succeeded", "credits", "tokens", "plan_tokens", "usd"), "int8")
    | {"provider_cost": "int8", "time_ms": "int8"},
    key=3,
)


def ended(fact: Fact, row: GenerationRow) -> Usage:
    """What a generation that has just ended, or was refused, adds to its day."""
    return _usage(fact, row, *_counted(row))


def taken_back(fact: Fact, row: GenerationRow) -> Usage:
    """What a generation that had expired takes off its row when it is about to be completed late."""
    return _usage(fact, row, *(-amount for amount in _counted(row)))


def refunded(fact: Fact, row: GenerationRow, event: GenerationRefunded) -> Usage:
    """What a refund takes off its day; the attempt was one all the same."""
    back = by_resource(event.returned)
    return _usage(
        fact, row, 0, 0, -back.get(Resource.CREDITS, 0), -back.get(Resource.TOKENS, 0),
        -back.get(Resource.PLAN, 0), -back.get(Resource.BUDGET, 0),
    )  # fmt: skip


def _counted(row: GenerationRow) -> tuple[int, ...]:
    return (
        1, row.succeeded, row.charged_credits, row.charged_tokens, row.charged_plan_tokens, row.charged_usd,
        row.provider_cost or 0, row.generation_time_ms or 0,
    )  # fmt: skip


def _usage(fact: Fact, row: GenerationRow, *amounts: int) -> Usage:
    what = (
        row.user_id, row.operation, row.provider or "", row.model or "", option(row, "size") or "",
        option(row, "quality") or "", row.feature or "", row.status, row.reason or row.outcome or "",
        row.provider_currency or "",
    )  # fmt: skip
    # Combinations may be longer than what an index holds, so a digest of them is the key.
    key = sha256("\0".join(f"{len(text)}:{text}" for text in what).encode()).hexdigest()[:32]
    rest = (0,) * (8 - len(amounts))
    return Usage(fact.org, fact.time.astimezone(UTC).date(), key, *what, *amounts, *rest)
