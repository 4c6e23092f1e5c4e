"""Count generations that were open before a counted resource got its first limit.

A limit may be set once all of them are counted (`domain/settings/change.py`). The caller lists them from the read model
once that has reached `StartCounting`; whatever is created after it counts itself. Each step can be repeated: a caller
that is killed leaves counts without a limit, and the next one goes on.
"""

from dataclasses import dataclass

from domain.generations.commands import streams_of
from domain.generations.events import GenerationExtended
from domain.generations.state import generation_of, stream_of
from domain.groups.now import group_streams
from domain.groups.state import memberships_of
from domain.kernel.work import Work
from domain.organisations.state import STREAM as ORGANISATION
from domain.quotas import counted as counts
from domain.quotas.counted import CountingCompleted, CountingStarted, counted_of
from domain.resources.counted import CountedResource
from domain.resources.resource import HoldTerms
from domain.resources.table import table

MOST_AT_ONCE = 25  # generations that one command counts: some 200 events, as in a slice of what is due


@dataclass(frozen=True, slots=True, kw_only=True)
class StartCounting:
    """From now on every generation that is created is counted. Nothing happens where that is so already.

    Its result state: whether those from before are counted too.
    """

    resource: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CountEarlier:
    """Count those of at most 25 generations that are open and not counted. With `last` they were all that there are.

    They must have been listed after counting had started.
    """

    resource: str
    generation_ids: tuple[str, ...]
    last: bool


def start_counting(work: Work, command: StartCounting) -> None:
    """Raises KeyError for a resource that there is not."""
    if not counted_of(work, _resource(work, command.resource).name).started:
        work.emit(counts.stream_of(command.resource), CountingStarted())


def count_earlier(work: Work, command: CountEarlier) -> None:
    """Each gets one hold more, with the end of its others. Raises TooMany; KeyError as above."""
    resource = _resource(work, command.resource)
    for generation_id in command.generation_ids:
        _count(work, resource, generation_id)
    if command.last and not counted_of(work, resource.name).complete:
        work.emit(counts.stream_of(resource.name), CountingCompleted())


def _count(work: Work, resource: CountedResource, generation_id: str) -> None:
    place, generation = work.mark(), generation_of(work, generation_id)
    asked = generation.asked
    if asked is None or not generation.open or generation.held(resource.name):
        return
    terms = HoldTerms(generation_id, generation.expires_at, asked.quote.item, asked.quote.price_version)
    by_name = table(work).by_name
    holds = [by_name[held.resource].extend(work, held, terms, 0) for held in generation.holds]
    held = resource.held(resource.limits(work, asked.user, asked.model))
    resource.hold(work, held, terms)
    extended = GenerationExtended(generation_id=generation_id, expires_at=generation.expires_at, holds=(*holds, held))
    work.emit(stream_of(generation_id), extended, at=place)


def _resource(work: Work, name: str) -> CountedResource:
    found = table(work).by_name[name]
    if not isinstance(found, CountedResource):
        raise KeyError(name)
    return found


def first_streams(command: StartCounting | CountEarlier) -> tuple[str, ...]:
    """What is known from the command alone."""
    ids = command.generation_ids if isinstance(command, CountEarlier) else ()
    return (counts.stream_of(command.resource), ORGANISATION, *(stream_of(id_) for id_ in ids))


def further_streams(work: Work, command: CountEarlier) -> tuple[str, ...]:
    """What the generations hold, and what says as which units they count."""
    resource = _resource(work, command.resource)
    streams: dict[str, None] = {}
    for id_ in command.generation_ids:
        streams.update(dict.fromkeys(streams_of(work, id_)))
        asked = generation_of(work, id_).asked
        if asked is not None:
            groups = (memberships_of(asked.user), *group_streams(work, asked.user))
            streams.update(dict.fromkeys((*groups, *resource.limit_streams(asked.user, asked.model))))
    return tuple(streams)
