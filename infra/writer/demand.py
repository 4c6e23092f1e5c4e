"""What no command names beforehand is loaded when a decision first asks for it, for all who wait at once."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg

from domain.kernel.domain import Answerer, Decider
from domain.kernel.work import Key, Stream, Tagged, Work
from infra.partitions import partition_of, placed
from infra.wire import Pipeline
from infra.writer.foresight import Asked, Foresight
from infra.writer.large import StillLoading
from infra.writer.loading import Loader

log = logging.getLogger(__name__)


class Demand:
    """Loads into the caches what a `Work` does not find there.

    The first miss loads whatever can be foreseen for everybody in `asked`, so that a thousand misses cost a query
    or two. `time`: the database's; it only serves to foresee.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        loader: Loader,
        partitions: int,
        asked: Callable[[], Sequence[Asked]],
        platform: Callable[[str], Any],
        time: datetime,
    ) -> None:
        self._pipeline = pipeline
        self._loader = loader
        self._partitions = partitions
        self._asked = asked
        self._platform = platform
        self._time = time
        self.drafted: Mapping[int, Work] = {}  # the batch's own, by partition: what they hold is never loaded
        self._looked_ahead = False
        self._has_rare_tags = False

    def stream(self, key: Key) -> Stream:
        """The committed state of a stream that is neither cached nor drafted. Raises StillLoading for a large one."""
        streams = self._loader.cache(partition_of(key[0], self._partitions)).streams
        if not self._looked_ahead:
            self._looked_ahead = True
            self._look_ahead()
        if key not in streams:
            self._load((key,), ())
            if key not in streams:
                raise StillLoading(key)
        return streams[key]

    def tagged(self, key: Key) -> Tagged:
        """All committed events with a tag that is not cached."""
        tags = self._loader.cache(partition_of(key[0], self._partitions)).tags
        if not self._has_rare_tags:
            self._has_rare_tags = True
            self._load((), {(org, tag) for org, handler, what in self._asked() for tag in _tags(handler, what)})
        if key not in tags:
            self._load((), (key,))
        return tags[key]

    def _look_ahead(self) -> None:
        foresight = Foresight(self._loader, self._partitions, self._platform, self._time)
        for streams, tags in foresight.rounds(self._asked()):
            try:
                self._load(streams, tags)
            except psycopg.Error:
                raise
            except Exception:  # whoever really needs what cannot be read is told when it is loaded for him alone
                log.debug("looking ahead failed", exc_info=True)
                return

    def _load(self, streams: Iterable[Key], tags: Iterable[Key]) -> None:
        """Load what is not cached, but no drafted stream: this transaction may have sent events of it already."""
        cold, cold_tags = self._loader.missing(
            [placed(key, self._partitions) for key in streams], [placed(key, self._partitions) for key in tags]
        )
        cold = {
            key: partition
            for key, partition in cold.items()
            if partition not in self.drafted or key not in self.drafted[partition].streams
        }
        self._loader.load(self._pipeline, cold, cold_tags)


def _tags(handler: Decider | Answerer, what: Any) -> tuple[str, ...]:
    return (*handler.tags(what), *(handler.rare_tags(what) if isinstance(handler, Decider) else ()))
