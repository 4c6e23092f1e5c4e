"""What decisions and answers will ask for, told without any of it being there: so that it is loaded for all at once."""

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from domain.execution import Answerer, Handler, let_time_pass
from domain.registry import kind_of
from infra.partitions import partition_of
from infra.writer.cache import Stream, StreamKey, Tagged, TagKey
from infra.writer.loading import Loader
from infra.writer.overlay import Overlay

log = logging.getLogger(__name__)

LOOKS_AHEAD = 3  # what `further` names; what ends together with what is due there; and once more


class Asked(NamedTuple):
    """A command or a question that waits, and how it is handled."""

    org: str
    handler: Handler | Answerer
    what: Any


class Foresight:
    """Goes the way of each decision until it is made. `time`: the database's, to tell what is due."""

    def __init__(self, loader: Loader, partitions: int, platform: Callable[[str], Any], time: datetime) -> None:
        self._loader = loader
        self._partitions = partitions
        self._platform = platform
        self._time = time

    def rounds(self, asked: Iterable[Asked]) -> Iterator[tuple[set[StreamKey], set[TagKey]]]:
        """What they look for and do not find, round by round: what is there after one tells what the next needs."""
        for _ in range(LOOKS_AHEAD):
            scout = _Scout()
            asked = [one for one in asked if self._misses(one, scout)]
            if not asked:
                return
            yield scout.streams, scout.tags

    def _misses(self, one: Asked, scout: "_Scout") -> bool:
        org, handler, what = one
        overlay = Overlay(self._loader.cache(partition_of(org, self._partitions)), self._platform, scout)
        overlay.org = org
        scout.missed = False
        try:
            let_time_pass(overlay, kind_of, handler.streams(what), self._time)
            let_time_pass(overlay, kind_of, handler.further(overlay, what), self._time)
        except Exception:  # as when it takes something for empty that only was not there yet
            log.debug("what %s needs cannot be foreseen", type(what).__name__, exc_info=True)
        return scout.missed


class _Scout:
    """Stands in for the log: notes what is asked for and gives it out as empty."""

    def __init__(self) -> None:
        self.streams: set[StreamKey] = set()
        self.tags: set[TagKey] = set()
        self.missed = False

    def stream(self, key: StreamKey) -> Stream:
        self.missed = True
        self.streams.add(key)
        return Stream(0, kind_of(key[1]).initial, 0)

    def tagged(self, key: TagKey) -> Tagged:
        self.missed = True
        self.tags.add(key)
        return Tagged(0, ())
