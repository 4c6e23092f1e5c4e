"""States that one process keeps of one partition, all as of one position of the log."""

from collections import OrderedDict
from datetime import datetime
from time import monotonic
from typing import Any, NamedTuple

from domain.registry import kind_of
from infra.chain import GENESIS, StoredEvent
from infra.codec import Codec

StreamKey = tuple[str, str]  # organisation, stream
TagKey = tuple[str, str]  # organisation, tag

make: Any = tuple.__new__  # `make(Stream, (…))` takes half the time of `Stream(…)`: for what every event passes


class Stream(NamedTuple):
    """A stream's state at a version; `snapshot` is the version of its last snapshot, 0 for none."""

    version: int
    state: Any
    snapshot: int


class Tagged(NamedTuple):
    """All events with one tag, each with its stream, up to a position of the partition."""

    position: int
    events: tuple[tuple[str, Any], ...]


class Cache:
    """The states and tags of one partition, least recently used first.

    Bounded by weight: an entry weighs one, and one more for each live hold and grant of its state.
    """

    def __init__(self, codec: Codec, max_weight: int) -> None:
        self._codec = codec
        self._max_weight = max_weight
        self._looked = float("-inf")
        self.known = False  # whether `position` and `hash` are those of the log
        self.position = 0
        self.hash = GENESIS
        self.time: datetime | None = None
        self.streams: OrderedDict[StreamKey, Stream] = OrderedDict()
        self.tags: OrderedDict[TagKey, Tagged] = OrderedDict()
        self._weights: dict[StreamKey, int] = {}
        self._weight = 0

    def forget(self) -> None:
        """Drop everything: after a failed commit, or when the log has run too far ahead to be followed."""
        self.known = False
        self.position, self.hash, self.time = 0, GENESIS, None
        self.streams.clear()
        self.tags.clear()
        self._weights.clear()
        self._weight = 0

    @property
    def age_s(self) -> float:
        """Seconds since the log was last looked at; infinite before the first time."""
        return monotonic() - self._looked

    def looked(self) -> None:
        """The log has just been looked at."""
        self._looked = monotonic()

    def moved_to(self, position: int, hash_: bytes, time: datetime | None) -> None:
        """The log's last event as of now."""
        self.known = True
        self.position, self.hash, self.time = position, hash_, time

    def follow(self, event: StoredEvent) -> None:
        """Fold in an event that another process has committed, where it concerns something cached."""
        stream = self.streams.get((event.org, event.stream))
        tag = (event.org, event.tag) if event.tag else None
        tagged = self.tags.get(tag) if tag else None
        if stream is not None or tagged is not None:
            decoded = self._codec.decode(event.type, event.data)
            if stream is not None and event.version > stream.version:
                state = kind_of(event.stream).evolve(stream.state, decoded)
                self.put((event.org, event.stream), Stream(event.version, state, stream.snapshot))
            if tag and tagged is not None and event.position > tagged.position:
                self.tags[tag] = Tagged(event.position, (*tagged.events, (event.stream, decoded)))
        self.moved_to(event.position, event.hash, event.time)

    def put(self, key: StreamKey, stream: Stream) -> None:
        """Keep a stream's state as the most recently used."""
        weight = 1 + kind_of(key[1]).entries(stream.state)
        self._weight += weight - self._weights.get(key, 0)
        self._weights[key] = weight
        self.streams[key] = stream
        self.streams.move_to_end(key)

    @property
    def weight(self) -> int:
        """What the cache holds: streams, tags, live holds and grants."""
        return self._weight + len(self.tags)

    def trim(self, max_weight: int | None = None) -> None:
        """Drop what was not used for longest until the cache's own bound, or `max_weight`, holds."""
        bound = self._max_weight if max_weight is None else max_weight
        while self.weight > bound and (self.tags or len(self.streams) > 1):
            if len(self.tags) * 2 > bound or len(self.streams) <= 1:
                self.tags.popitem(last=False)
            else:
                key, _ = self.streams.popitem(last=False)
                self._weight -= self._weights.pop(key)
