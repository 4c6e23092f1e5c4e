"""What can be asked of the ledger, what that needs, and the answers from cached states, all as of one moment."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from domain.execution import ask
from domain.refusal import Refusal
from domain.registry import ANSWERERS, kind_of
from infra.partitions import PLATFORM, Placed, partition_of
from infra.writer.cache import Stream, StreamKey, Tagged, TagKey
from infra.writer.foresight import Asked
from infra.writer.loading import Loader
from infra.writer.overlay import Overlay
from infra.writer.submission import Answered, Current

log = logging.getLogger(__name__)


class Query(NamedTuple):
    """The streams and tags of one organisation that somebody wants to see as they are now."""

    org: str
    streams: tuple[str, ...]
    tags: tuple[str, ...] = ()


class Question(NamedTuple):
    """What somebody wants to know of one organisation now; its type has an entry in `ANSWERERS`."""

    org: str
    what: Any


Work = Query | Question


class NotCached(Exception):
    """A stream or tag that an answer asks for must be loaded first."""

    def __init__(self, stream: StreamKey | None = None, tag: TagKey | None = None) -> None:
        super().__init__(stream or tag)
        self.streams = [stream] if stream else []
        self.tags = [tag] if tag else []


class _OnlyCached:
    """Loads nothing: for answers from what is cached alone."""

    def stream(self, key: StreamKey) -> Stream:
        raise NotCached(stream=key)

    def tagged(self, key: TagKey) -> Tagged:
        raise NotCached(tag=key)


@dataclass(frozen=True, slots=True)
class Needs:
    """What works that are answered together need, as far as it can be told without looking at any state."""

    partitions: list[int]
    streams: list[Placed]
    tags: list[Placed]
    asked: list[Asked]


def needs_of(works: Iterable[Work], partitions: int) -> Needs:
    """Raises KeyError for a question of a type that has no answerer."""
    touched: set[int] = set()
    streams: list[Placed] = []
    tags: list[Placed] = []
    asked: list[Asked] = []
    platform: set[str] = set()
    for work in works:
        partition = partition_of(work.org, partitions)
        touched.add(partition)
        if isinstance(work, Query):
            named, named_tags = work.streams, work.tags
        else:
            answerer = ANSWERERS[type(work.what)]
            asked.append(Asked(work.org, answerer, work.what))
            platform.update(answerer.platform)
            named, named_tags = answerer.streams(work.what), answerer.tags(work.what)
        streams += [(partition, (work.org, stream)) for stream in named]
        tags += [(partition, (work.org, tag)) for tag in named_tags]
    if platform:
        home = partition_of(PLATFORM, partitions)
        touched.add(home)
        streams += [(home, (PLATFORM, stream)) for stream in platform]
    return Needs(sorted(touched), streams, tags, asked)


def answers(
    loader: Loader, partitions: int, works: Sequence[Work], time: datetime
) -> list[Current | Answered | Exception]:
    """The answers as of `time`, the database's; what is due is folded in, but not written.

    A question that is refused or fails gets its exception, the others their answers. Raises NotCached.
    """
    home = loader.cache(partition_of(PLATFORM, partitions))

    def on_platform(stream: str) -> Any:
        return home.streams[PLATFORM, stream].state

    found: list[Current | Answered | Exception] = []
    for work in works:
        partition = partition_of(work.org, partitions)
        if isinstance(work, Query):
            found.append(_current(loader, work, partition, time))
        else:
            overlay = Overlay(loader.cache(partition), on_platform, _OnlyCached())
            found.append(_answer(overlay, work, partition, time))
    return found


def _answer(overlay: Overlay, question: Question, partition: int, now: datetime) -> Answered | Exception:
    """Answer on a view of the question's own, so that what it applies is seen by nobody else."""
    cache = overlay.cache
    overlay.org = question.org
    now = max(now, cache.time or now)  # as in decisions: never back within a partition
    try:
        value = ask(overlay, ANSWERERS[type(question.what)], kind_of, question.what, now)
    except NotCached:
        raise
    except Refusal as refusal:
        return refusal
    except Exception as error:
        log.exception("a question failed")
        return error
    return Answered(value, partition, cache.position, now)


def _current(loader: Loader, query: Query, partition: int, now: datetime) -> Current:
    cache = loader.cache(partition)
    now = max(now, cache.time or now)
    states = {}
    for stream in query.streams:
        kind = kind_of(stream)
        state = cache.streams[query.org, stream].state
        for event in kind.due(state, now):
            state = kind.evolve(state, event)
        states[stream] = state
    tagged = {tag: cache.tags[query.org, tag].events for tag in query.tags}
    return Current(partition, cache.position, now, states, tagged)
