"""What decisions and answers will ask for, told without any of it being there: so that it is loaded for all at once."""

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from domain.kernel.domain import Answerer, Decider
from domain.kernel.execution import let_time_pass
from domain.kernel.work import Key, Stream, StreamKind, Tagged
from infra.partitions import partition_of
from infra.writer.loading import Loader

log = logging.getLogger(__name__)

LOOKS_AHEAD = 3  # what `streams_from_state` names; what ends together with what is due there; and once more


class Asked(NamedTuple):
    """A command or a question that waits, and how it is handled."""

    org: str
    handler: Decider | Answerer
    what: Any


class Foresight:
    """Goes the way of each decision until it is made. `time`: the database's, to tell what is due."""

    def __init__(self, loader: Loader, partitions: int, platform: Callable[[str], Any], time: datetime) -> None:
        self._loader = loader
        self._partitions = partitions
        self._platform = platform
        self._time = time
        self._behind: set[Key] = set()

    def rounds(self, asked: Iterable[Asked]) -> Iterator[tuple[set[Key], set[Key]]]:
        """What they look for and do not find, round by round: what is there after one tells what the next needs."""
        for _ in range(LOOKS_AHEAD):
            scout = _Scout(self._loader.domain.kind_of)
            self._behind = set()
            asked = [one for one in asked if self._misses(one, scout)]
            if not asked:
                return
            yield scout.streams, scout.tags

    def _misses(self, one: Asked, scout: "_Scout") -> bool:
        org, handler, what = one
        cache = self._loader.cache(partition_of(org, self._partitions))
        work = self._loader.domain.work(cache, scout, self._platform)
        work.behind = self._behind  # of one stream with much that is due, one slice is looked at, whoever waits for it
        work.begin(org, self._time)
        scout.missed = False
        try:
            if let_time_pass(work, handler.streams(what)) is None:
                let_time_pass(work, handler.streams_from_state(work, what))
        except Exception:  # as when it takes something for empty that only was not there yet
            log.debug("what %s needs cannot be foreseen", type(what).__name__, exc_info=True)
        return scout.missed


class _Scout:
    """Stands in for the log: notes what is asked for and gives it out as empty."""

    def __init__(self, kind_of: Callable[[str], StreamKind]) -> None:
        self._kind_of = kind_of
        self.streams: set[Key] = set()
        self.tags: set[Key] = set()
        self.missed = False

    def stream(self, key: Key) -> Stream:
        self.missed = True
        self.streams.add(key)
        return Stream(0, self._kind_of(key[1]).initial, 0)

    def tagged(self, key: Key) -> Tagged:
        self.missed = True
        self.tags.add(key)
        return Tagged(0, ())
