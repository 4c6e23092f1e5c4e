"""Folds rows of a log in memory, as the runner does, and reads tables back for comparison."""

from collections.abc import Iterable
from typing import Any

import psycopg

from domain.registry import SCRIP
from infra.log.events import LedgerEvent
from infra.log.mapper import LedgerMapper
from projections import READ_MODELS
from projections.facts import fact_of
from projections.fold import fold
from projections.read_model import State
from projections.runner import Applied, Batches, Incoming, Runner
from projections.versions import tables as all_tables


def folded(events: Iterable[LedgerEvent]) -> State:
    """Everything that a list of events comes to."""
    state = State(READ_MODELS)
    fold(state, [fact_of(event, LedgerMapper.of(SCRIP).decode) for event in events])
    return state


def by_partition(events: Iterable[LedgerEvent]) -> dict[int, list[Incoming]]:
    """Events as batches, with made-up offsets in which every tenth is a marker."""
    batches: dict[int, list[Incoming]] = {}
    for event in events:
        batches.setdefault(event.partition, []).append((event, event.position + event.position // 10))
    return batches


def apply(runner: Runner, events: Iterable[LedgerEvent]) -> Applied:
    """Apply events in one call."""
    batches: Batches = by_partition(events)
    return runner.apply(batches)


def tables(uri: str, *, offsets: bool = False) -> dict[str, list[tuple[Any, ...]]]:
    """All rows that readers see, in order of their keys. Kafka's offsets are left out unless asked for."""
    with psycopg.connect(uri) as connection:
        found = {}
        for model in all_tables():
            columns = "partition, position, time" if model.name == "checkpoints" and not offsets else "*"
            query = f"select {columns} from read.{model.name} order by {', '.join(model.key)}"
            found[model.name] = connection.execute(query).fetchall()  # type: ignore[arg-type, unused-ignore]
        return found
