"""What can be asked of the ledger, what that needs, and the answers from cached states, all as of one moment."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from time import monotonic
from typing import Any, NamedTuple

from domain.kernel.domain import Domain
from domain.kernel.execution import MoreDue, ask
from domain.kernel.work import SLICE, Key, Stream, Tagged
from domain.refusal import Refusal
from infra.partitions import PLATFORM, Placed, partition_of
from infra.writer.foresight import Asked
from infra.writer.large import StillLoading
from infra.writer.loading import Loader
from infra.writer.submission import Answered, Current

log = logging.getLogger(__name__)


class Query(NamedTuple):
    """The streams and tags of one organisation that somebody wants to see as they are now."""

    org: str
    streams: tuple[str, ...]
    tags: tuple[str, ...] = ()


class Question(NamedTuple):
    """What somebody wants to know of one organisation now; the domain has an answerer for its type."""

    org: str
    what: Any


Wanted = Query | Question


class NotCached(Exception):
    """A stream or tag that an answer asks for must be loaded first."""

    def __init__(self, stream: Key | None = None, tag: Key | None = None) -> None:
        super().__init__(stream or tag)
        self.streams = [stream] if stream else []
        self.tags = [tag] if tag else []


class _OnlyCached:
    """Loads nothing: for answers from what is cached alone."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def stream(self, key: Key) -> Stream:
        raise StillLoading(key) if self._loader.loading(key) else NotCached(stream=key)

    def tagged(self, key: Key) -> Tagged:
        raise NotCached(tag=key)


@dataclass(frozen=True, slots=True)
class Needs:
    """What those that are answered together need, as far as it can be told without looking at any state."""

    partitions: list[int]
    streams: list[Placed]
    tags: list[Placed]
    asked: list[Asked]


def needs_of(domain: Domain, wanted: Iterable[Wanted], partitions: int) -> Needs:
    """Raises KeyError for a question of a type that has no answerer."""
    touched: set[int] = set()
    streams: list[Placed] = []
    tags: list[Placed] = []
    asked: list[Asked] = []
    platform: set[str] = set()
    for each in wanted:
        partition = partition_of(each.org, partitions)
        touched.add(partition)
        if isinstance(each, Query):
            named, named_tags = each.streams, each.tags
        else:
            answerer = domain.answerers[type(each.what)]
            asked.append(Asked(each.org, answerer, each.what))
            platform.update(answerer.platform)
            named, named_tags = answerer.streams(each.what), answerer.tags(each.what)
        streams += [(partition, (each.org, stream)) for stream in named]
        tags += [(partition, (each.org, tag)) for tag in named_tags]
    if platform:
        home = partition_of(PLATFORM, partitions)
        touched.add(home)
        streams += [(home, (PLATFORM, stream)) for stream in platform]
    return Needs(sorted(touched), streams, tags, asked)


def answers(
    loader: Loader,
    partitions: int,
    wanted: Sequence[Wanted],
    time: datetime,
    until: float = inf,
    behind: Iterable[Key] = (),
) -> list[Current | Answered | Exception]:
    """The answers as of `time`, the database's; what is due is folded in, but not written.

    At `until`, by the monotonic clock, the rest is left without answers, but never the first.
    A question that is refused or fails gets its exception, the others their answers; one that needs a stream on which
    too much is due gets MoreDue, and StillLoading where a large one is not here yet. `behind`: streams on which more is
    being folded ahead. Raises NotCached.
    """
    behind = set(behind)  # looked at once, whoever asks for them
    home = loader.cache(partition_of(PLATFORM, partitions))

    def on_platform(stream: str) -> Any:
        return home.streams[PLATFORM, stream].state

    found: list[Current | Answered | Exception] = []
    for each in wanted:
        if found and monotonic() > until:
            break
        partition = partition_of(each.org, partitions)
        if isinstance(each, Query):
            found.append(_current(loader, each, partition, time, behind))
        else:
            found.append(_answer(loader, each, partition, time, on_platform, behind))
    return found


def _answer(
    loader: Loader,
    question: Question,
    partition: int,
    now: datetime,
    platform: Callable[[str], Any],
    behind: set[Key],
) -> Answered | Exception:
    """Answer on work of the question's own, so that what is due in it is seen by nobody else."""
    domain, cache = loader.domain, loader.cache(partition)
    now = max(now, cache.time or now)  # as in decisions: never back within a partition
    work = domain.work(cache, _OnlyCached(loader), platform)
    work.behind = behind
    for key in cache.ahead:
        if key[0] == question.org and (ahead := cache.ahead_of(key)) is not None:
            work.streams[key] = ahead.stream
    work.begin(question.org, now)
    try:
        value = ask(work, domain, question.what)
    except NotCached:
        raise
    except StillLoading as large:
        return large
    except MoreDue as more:
        behind.add((question.org, more.stream))
        return more
    except Refusal as refusal:
        return refusal
    except Exception as error:
        log.exception("a question failed")
        return error
    return Answered(value, partition, cache.position, now)


def _current(
    loader: Loader, query: Query, partition: int, now: datetime, behind: set[Key]
) -> Current | MoreDue | StillLoading:
    cache = loader.cache(partition)
    now = max(now, cache.time or now)
    states = {}
    for stream in query.streams:
        kind, key = loader.domain.kind_of(stream), (query.org, stream)
        if key in behind:
            return MoreDue(stream)
        if key not in cache.streams:
            return StillLoading(key)
        ahead = cache.ahead_of(key)
        state = (ahead.stream if ahead is not None else cache.streams[key]).state
        events = kind.due(state, now, SLICE)
        for event in events:
            state = kind.evolve(state, event)
        if events and kind.next_due(state) <= now:
            behind.add(key)
            return MoreDue(stream)
        states[stream] = state
    tagged = {tag: cache.tags[query.org, tag].events for tag in query.tags}
    return Current(partition, cache.position, now, states, tagged)
