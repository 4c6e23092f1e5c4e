"""Rules that several commands on a generation share."""

from domain.generations.events import GenerationHeld
from domain.generations.refusals import AlreadyStarted, GenerationEnded, NoSuchGeneration
from domain.generations.state import Generation, Status, generation_of
from domain.kernel.work import Work
from domain.resources.table import table


def known(work: Work, generation_id: str) -> tuple[Generation, GenerationHeld]:
    """The generation and what was asked for. Raises NoSuchGeneration."""
    generation = generation_of(work, generation_id)
    if generation.asked is None:
        raise NoSuchGeneration(generation_id=generation_id)
    return generation, generation.asked


def open_one(work: Work, generation_id: str) -> tuple[Generation, GenerationHeld]:
    """A generation that still holds what it may take. Raises NoSuchGeneration, GenerationEnded."""
    generation, asked = known(work, generation_id)
    if not generation.open:
        raise GenerationEnded(generation_id=generation_id, status=generation.status.value)
    return generation, asked


def not_started(work: Work, generation_id: str) -> tuple[Generation, GenerationHeld]:
    """One that no worker has started. Raises NoSuchGeneration, GenerationEnded, AlreadyStarted."""
    generation, asked = open_one(work, generation_id)
    if generation.status is not Status.HELD:
        raise AlreadyStarted(generation_id=generation_id)
    return generation, asked


def streams_of(work: Work, generation_id: str, *, growing: bool = False) -> tuple[str, ...]:
    """Every stream that settling or `growing` the generation may touch: its holds and charges, and who pays more."""
    generation = generation_of(work, generation_id)
    if generation.asked is None:
        return ()
    streams = [held.stream for held in generation.holds]
    streams += [charge.stream for charge in generation.charges]
    for each in table(work).main:
        streams += each.settling_streams(work, generation.asked.user, growing=growing)
    return tuple(dict.fromkeys(streams))
