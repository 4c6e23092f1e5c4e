"""Read model: generations that were refused, for who wants to know how often people are blocked and why (S0)."""

from datetime import datetime
from typing import Any, NamedTuple

from domain.generations.events import GenerationRefused
from projections.facts import Fact
from projections.read_model import Index, Keep, ReadModel, State


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


def refused(fact: Fact, event: GenerationRefused) -> RefusalRow:
    """The row of a refusal."""
    deficit = next((max(0, check.needed - (check.available or 0)) for check in event.checks if not check.ok), 0)
    return RefusalRow(
        fact.org, fact.position, fact.time, event.generation_id, event.user, event.operation, event.provider,
        event.model, event.feature, event.reason, deficit, [check._asdict() for check in event.checks],
    )  # fmt: skip


def fold(state: State, fact: Fact) -> None:
    """Add the row of a refusal."""
    state.log(REFUSALS).append(refused(fact, fact.event))


REFUSALS = ReadModel(
    name="refusals",
    row=RefusalRow,
    key=("org", "position"),
    events={"generation": (GenerationRefused,)},
    fold=fold,
    keep=Keep.LOG,
    indexes=(Index("org, at"), Index("org, user_id, position desc")),
)
