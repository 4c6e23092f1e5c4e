"""What decisions need to know of a generation: its status, its holds and its charges."""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, assert_never

from domain.generations.events import (
    Charge,
    Content,
    GenerationCancelled,
    GenerationCompleted,
    GenerationEvent,
    GenerationExpired,
    GenerationExtended,
    GenerationFailed,
    GenerationHeld,
    GenerationPartCompleted,
    GenerationRefunded,
    GenerationRefused,
    GenerationSettledLate,
    GenerationStarted,
    Held,
    Settled,
)
from domain.kernel.work import Work
from domain.organisations.events import Outcome
from domain.periods import NEVER

PREFIX = "generation/"


MAX_PARTS = 10_000  # that one generation is settled in


class Status(StrEnum):
    """The status of a generation (contract, "Generations")."""

    UNKNOWN = "unknown"
    REFUSED = "refused"
    HELD = "held"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SETTLED_LATE = "settled_late"


OPEN = frozenset({Status.HELD, Status.RUNNING})


class Generation(NamedTuple):
    """A generation; `asked` says what was asked for and quoted. `holds` are those of an open one, or what expired."""

    status: Status = Status.UNKNOWN
    asked: GenerationHeld | None = None
    holds: tuple[Held, ...] = ()
    expires_at: datetime = NEVER
    charges: tuple[Charge, ...] = ()
    refunded: tuple[Charge, ...] = ()
    succeeded: int = 0
    contents: tuple[Content, ...] = ()
    refunded_contents: tuple[str, ...] = ()
    outcome: Outcome | None = None
    parts: int = 0  # settled while it went on

    @property
    def open(self) -> bool:
        """Whether it still holds what it may take."""
        return self.status in OPEN

    def held(self, resource: str) -> list[Held]:
        """What is held of a resource, stream by stream."""
        return [held for held in self.holds if held.resource == resource]

    @property
    def next_due(self) -> datetime:
        """When it expires."""
        return self.expires_at if self.status in OPEN else NEVER


def stream_of(generation_id: str) -> str:
    """The stream of one generation."""
    return PREFIX + generation_id


def evolve(generation: Generation, event: GenerationEvent) -> Generation:  # noqa: C901, PLR0911 - one for each event
    """Apply one event."""
    match event:
        case GenerationHeld():
            return Generation(Status.HELD, event, event.holds, event.expires_at)
        case GenerationRefused():
            return Generation(Status.REFUSED)
        case GenerationStarted():
            return generation._replace(status=Status.RUNNING)
        case GenerationExtended():
            return generation._replace(holds=event.holds, expires_at=event.expires_at)
        case GenerationPartCompleted():
            return _settled(generation, event, Status.RUNNING, holds=event.holds, parts=generation.parts + 1)
        case GenerationCompleted():
            return _settled(generation, event, Status.COMPLETED)
        case GenerationFailed():
            return _settled(generation, event, Status.FAILED, outcome=event.outcome)
        case GenerationSettledLate():
            return _settled(generation, event, Status.SETTLED_LATE)
        case GenerationCancelled():
            return generation._replace(status=Status.CANCELLED, holds=())
        case GenerationExpired():  # `holds` stay known: a late completion charges up to them
            return generation._replace(status=Status.EXPIRED)
        case GenerationRefunded():
            return generation._replace(
                refunded=generation.refunded + event.returned,
                refunded_contents=generation.refunded_contents + event.contents,
            )
        case _:
            assert_never(event)


def _settled(
    generation: Generation, event: Settled, status: Status, *, holds: tuple[Held, ...] = (), **others: Any
) -> Generation:
    return generation._replace(
        status=status,
        holds=holds,
        charges=generation.charges + event.charges,
        succeeded=generation.succeeded + (event.succeeded or 0),
        contents=generation.contents + event.contents,
        **others,
    )


def due(
    generation: Generation, now: datetime, _most: int = 1, _only: Collection[str] | None = None
) -> tuple[GenerationEvent, ...]:
    """An open generation expires at `expires_at`."""
    if generation.next_due > now or generation.asked is None:
        return ()
    return (GenerationExpired(generation_id=generation.asked.generation_id),)


def co_expiring_streams(event: GenerationEvent, generation: Generation) -> tuple[str, ...]:
    """Where holds of an expired generation end with it."""
    return tuple(held.stream for held in generation.holds) if isinstance(event, GenerationExpired) else ()


def generation_of(work: Work, generation_id: str) -> Generation:
    """A generation, as a decision sees it."""
    generation: Generation = work.state(stream_of(generation_id))
    return generation
