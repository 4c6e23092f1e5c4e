"""A worker begins; and before that, the generation can be called off."""

from dataclasses import dataclass

from domain.generations.events import GenerationCancelled, GenerationStarted
from domain.generations.rules import not_started
from domain.generations.state import stream_of
from domain.kernel.work import Work
from domain.resources.table import table


@dataclass(frozen=True, slots=True, kw_only=True)
class StartGeneration:
    """From now on only the outcome ends it."""

    generation_id: str


def start(work: Work, command: StartGeneration) -> None:
    """Raises NoSuchGeneration, GenerationEnded, AlreadyStarted."""
    not_started(work, command.generation_id)
    work.emit(stream_of(command.generation_id), GenerationStarted(generation_id=command.generation_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelGeneration:
    """Everything goes back."""

    generation_id: str
    sealed: str | None = None


def cancel(work: Work, command: CancelGeneration) -> None:
    """Raises NoSuchGeneration, GenerationEnded, AlreadyStarted."""
    generation, _ = not_started(work, command.generation_id)
    cancelled = GenerationCancelled(generation_id=command.generation_id, sealed=command.sealed)
    work.emit(stream_of(command.generation_id), cancelled)
    for held in generation.holds:
        table(work).by_name[held.resource].release(work, held, command.generation_id)
