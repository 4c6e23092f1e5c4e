"""States that one process keeps of one partition, all as of one position of the log."""

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from time import monotonic

from domain.kernel.work import Key, Stream, StreamKind, Tagged, Work
from infra.log.chain import GENESIS
from infra.log.events import LedgerEvent
from infra.log.mapper import LedgerMapper
from infra.writer.ahead import Ahead
from infra.writer.large import LARGE


class Cache:
    """The states and tags of one partition, least recently used first.

    Bounded by weight: an entry weighs one, and one more for each live hold and grant of its state. Large states have a
    bound of their own (`Loader.trim`): they would drive out all others, and take long to come back.
    """

    def __init__(self, kind_of: Callable[[str], StreamKind], codec: LedgerMapper, max_weight: int) -> None:
        self._kind_of = kind_of
        self._codec = codec
        self._max_weight = max_weight
        self._looked = float("-inf")
        self.known = False  # whether `position` and `hash` are those of the log
        self.position = 0
        self.hash = GENESIS
        self.time: datetime | None = None
        self.streams: OrderedDict[Key, Stream] = OrderedDict()
        self.tags: OrderedDict[Key, Tagged] = OrderedDict()
        self.large: OrderedDict[Key, tuple[int, float]] = OrderedDict()  # their entries, and since when; also in order
        self.ahead: dict[Key, Ahead] = {}  # oldest first; see `ahead_of`
        self._weights: dict[Key, int] = {}
        self._weight = 0

    def forget(self) -> None:
        """Drop everything: after a failed commit, or when the log has run too far ahead to be followed."""
        self.known = False
        self.position, self.hash, self.time = 0, GENESIS, None
        self.streams.clear()
        self.tags.clear()
        self.large.clear()
        self.ahead.clear()
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

    def follow(self, event: LedgerEvent) -> None:
        """Fold in an event that another process has committed, where it concerns something cached."""
        stream = self.streams.get((event.org, event.stream))
        tag = (event.org, event.tag) if event.tag else None
        tagged = self.tags.get(tag) if tag else None
        if stream is not None or tagged is not None:
            decoded = self._codec.decode(event.type, event.data)
            if stream is not None and event.version > stream.version:
                state = self._kind_of(event.stream).evolve(stream.state, decoded)
                key = (event.org, event.stream)
                self.put(key, Stream(event.version, state, stream.snapshot))
                if key in self.ahead and not self.ahead[key].follow(event.version, decoded):
                    del self.ahead[key]
            if tag and tagged is not None and event.position > tagged.position:
                self.tags[tag] = Tagged(event.position, (*tagged.events, (event.stream, decoded)))
        self.moved_to(event.position, event.hash, event.time)

    def put(self, key: Key, stream: Stream) -> None:
        """Keep a stream's state as the most recently used."""
        weight = 1 + self._kind_of(key[1]).entries(stream.state)
        if weight > LARGE:
            self.large[key] = weight, monotonic()
            self.large.move_to_end(key)
            weight = 1
        elif key in self.large:
            del self.large[key]
        self._weight += weight - self._weights.get(key, 0)
        self._weights[key] = weight
        self.streams[key] = stream
        self.streams.move_to_end(key)

    def ahead_of(self, key: Key) -> Ahead | None:
        """What was folded ahead of a stream that is cached, if that is of the same version."""
        ahead = self.ahead.get(key)
        if ahead is None or key not in self.streams or self.streams[key].version != ahead.stream.version:
            return None
        return ahead

    @property
    def weight(self) -> int:
        """What the cache holds: streams, tags, live holds and grants."""
        return self._weight + len(self.tags)

    def trim(self, max_weight: int | None = None) -> None:
        """Drop what was not used for longest until the cache's own bound, or `max_weight`, holds."""
        bound = self._max_weight if max_weight is None else max_weight
        least = max(1, len(self.large))
        while self.weight > bound and (self.tags or len(self.streams) > least):
            if len(self.tags) * 2 > bound or len(self.streams) <= least:
                self.tags.popitem(last=False)
            elif (key := next(iter(self.streams))) in self.large:
                self.streams.move_to_end(key)
            else:
                del self.streams[key]
                self._weight -= self._weights.pop(key)

    @property
    def large_entries(self) -> int:
        """Entries of all large states."""
        return sum(entries for entries, _ in self.large.values())

    @property
    def large_since(self) -> float:
        """When the large state that was not used for longest was used, by the monotonic clock."""
        return next(iter(self.large.values()))[1]

    def drop_large(self) -> None:
        """Drop it."""
        key, _ = self.large.popitem(last=False)
        del self.streams[key]
        self._weight -= self._weights.pop(key)

    def merge(self, work: Work, position: int) -> None:
        """After the commit: what was decided is what is known, at the partition's new last position."""
        for key, stream in work.streams.items():
            self.put(key, stream)
        # Only what is known in full may grow: an entry that began here would lack what the log has from before.
        for tag, events in work.tags.items():
            if tag in self.tags:
                self.tags[tag] = Tagged(position, (*self.tags[tag].events, *events))
                self.tags.move_to_end(tag)
        self.trim()
