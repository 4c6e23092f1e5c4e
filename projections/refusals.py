"""Read model: generations that were refused, for who wants to know how often people are blocked and why (S0)."""

from datetime import datetime
from typing import Any, NamedTuple

from domain.generations.events import GenerationRefused
from projections.facts import Fact
from projections.table import Table


class RefusalRow(NamedTuple):
    """One refusal's row (refusals.sql)."""

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


TABLE = Table(
    "refusals",
    RefusalRow,
    {"org": "text", "position": "int8", "at": "timestamptz"}
    | dict.fromkeys(("generation_id", "user_id", "operation", "provider", "model", "feature", "reason"), "text")
    | {"deficit": "int8", "checks": "jsonb"},
    key=2,
)


def refused(fact: Fact, event: GenerationRefused) -> RefusalRow:
    """The row of a refusal."""
    deficit = next((max(0, check.needed - (check.available or 0)) for check in event.checks if not check.ok), 0)
    return RefusalRow(
        fact.org, fact.position, fact.time, event.generation_id, event.user, event.operation, event.provider,
        event.model, event.feature, event.reason, deficit, [check._asdict() for check in event.checks],
    )  # fmt: skip
