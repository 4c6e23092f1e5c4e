"""Bring a process's cached states up to date with the log, and load what is not cached."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import msgspec

from domain.kernel.domain import Domain
from domain.kernel.work import Key, Stream, Tagged
from infra.log import statements
from infra.log.chain import GENESIS
from infra.log.events import LedgerEvent
from infra.log.mapper import LedgerMapper
from infra.log.snapshots import decode_state
from infra.partitions import PLATFORM
from infra.wire import Pipeline, Sent
from infra.writer.cache import Cache
from infra.writer.large import LARGE, LargeStreams

log = logging.getLogger(__name__)

MAX_LOOKS = 20  # until all that is wanted is of one moment; it takes more than two only while the log runs away
NO_SCHEMA = -1  # the schema of no snapshot: all events are read
LARGE_BYTES = 262_144  # of a snapshot, which takes as long as so many events of a large stream
LARGE_KEPT = 250_000  # entries of large states that one process keeps, or a single one with more: some 150 MB
ANY = 2**31 - 1  # events or bytes: as many as there are


class Looked(NamedTuple):
    """The database's time at a look, the seconds that its transaction had waited, and partitions that have to begin at
    their head again: the log had run too far ahead.
    """

    time: datetime
    waited_s: float
    lost: list[int]


class Loading(NamedTuple):
    """Cold streams and tags, with their partitions, and the queries for them that are under way."""

    streams: dict[Key, int]
    of_streams: Sent | None
    tags: dict[Key, int]
    of_tags: Sent | None


class Loader:
    """The caches of all partitions of one process. `domain`: that of the events in the log.

    `large`: who loads what is too large to be loaded at once. It is not there before; None: all is loaded at once.
    """

    def __init__(self, domain: Domain, max_weight: int, large: LargeStreams | None = None) -> None:
        self.domain = domain
        self.large = large
        self.codec = LedgerMapper.of(domain)
        self._max_weight = max_weight
        self.caches: defaultdict[int, Cache] = defaultdict(partial(Cache, domain.kind_of, self.codec, max_weight))

    def cache(self, partition: int) -> Cache:
        """The cache of a partition, empty at first."""
        return self.caches[partition]

    def trim(self) -> None:
        """Keep all caches together within the bound of the process; the heaviest gives."""
        excess = sum(cache.weight for cache in self.caches.values()) - self._max_weight
        if excess > 0:
            heaviest = max(self.caches.values(), key=lambda cache: cache.weight)
            heaviest.trim(max(0, heaviest.weight - excess))
        while sum(cache.large_entries for cache in self.caches.values()) > LARGE_KEPT:
            having = [cache for cache in self.caches.values() if cache.large]
            if sum(len(cache.large) for cache in having) == 1:
                break
            min(having, key=lambda cache: cache.large_since).drop_large()

    def forget(self) -> None:
        """Drop everything: after a failed commit, or where the log may be another one by now."""
        for cache in self.caches.values():
            cache.forget()

    def known(self, partitions: Iterable[int]) -> list[int]:
        """Those of the partitions whose tail can be followed from where it was left."""
        return [partition for partition in partitions if self.cache(partition).known]

    def seen(self, partitions: Sequence[int]) -> tuple[list[int], list[int]]:
        """The arguments of `statements.LOOK` for known partitions: each with its last position."""
        return list(partitions), [self.cache(partition).position for partition in partitions]

    def follow(self, partitions: Sequence[int], rows: Sequence[Any]) -> Looked:
        """Fold what `statements.LOOK` has found in these partitions."""
        caches = {partition: self.cache(partition) for partition in partitions}
        found: Counter[int] = Counter()
        for _, _, partition, position, *rest in rows:
            if partition is not None:
                found[partition] += 1
                if position - caches[partition].position == 1:
                    caches[partition].follow(LedgerEvent(partition, position, *rest))
        lost = []
        for partition, cache in caches.items():
            cache.looked()
            if found[partition] > statements.MAX_TAIL or (cache.position and not found[partition]):
                cache.forget()
                lost.append(partition)
        return Looked(rows[0][0], rows[0][1], lost)

    def start_at(self, partitions: Iterable[int], rows: Sequence[Any]) -> None:
        """Take over the last event of each partition, of which `statements.HEADS` has found `rows`."""
        ends = {row[0]: statements.Head(*row[1:]) for row in rows}
        for partition in partitions:
            cache, head = self.cache(partition), ends.get(partition)
            cache.looked()
            if head is None:
                cache.moved_to(0, GENESIS, None)
            elif cache.position != head.position or not cache.known:
                cache.forget()
                cache.moved_to(*head)

    def missing(
        self, wanted: Iterable[tuple[int, Key]], tags: Iterable[tuple[int, Key]]
    ) -> tuple[dict[Key, int], dict[Key, int]]:
        """What of the wanted streams and tags is not cached, with its partition; but what is being loaded apart."""
        loading = self.loading
        return (
            {
                key: partition
                for partition, key in wanted
                if key not in self.caches[partition].streams and not loading(key)
            },
            {tag: partition for partition, tag in tags if tag not in self.caches[partition].tags},
        )

    def loading(self, key: Key) -> bool:
        """Whether a stream is too large to be loaded at once, and so is not here yet."""
        return self.large is not None and self.large.loading(key)

    def load(self, pipeline: Pipeline, streams: dict[Key, int], tags: dict[Key, int]) -> None:
        """Ask for cold streams and tags, with their partitions, and wait for them."""
        self.take(pipeline, self.ask(pipeline, streams, tags))

    def ask(self, pipeline: Pipeline, streams: dict[Key, int], tags: dict[Key, int]) -> "Loading":
        """Send the queries for cold streams and tags."""
        return Loading(
            streams,
            pipeline.execute(statements.STREAMS, self.stream_arguments(streams)) if streams else None,
            tags,
            pipeline.execute(statements.TAGGED, tag_arguments(tags)) if tags else None,
        )

    def take(self, pipeline: Pipeline, asked: "Loading") -> None:
        """Fold what the queries found, and keep it."""
        if asked.of_streams:
            unusable = self.keep_streams(asked.streams, asked.of_streams.fetchall())
            if unusable:
                rows = pipeline.execute(statements.STREAMS, self.stream_arguments(unusable, NO_SCHEMA)).fetchall()
                self.keep_streams(unusable, rows)
        if asked.of_tags:
            self.keep_tags(asked.tags, asked.of_tags.fetchall())

    def keep_streams(self, streams: dict[Key, int], rows: Sequence[Any]) -> dict[Key, int]:
        """Fold and keep what `statements.STREAMS` has found; a stream without events is known to have none.

        What is too large begins to be loaded apart. Returns the streams whose snapshots cannot be used: of those, all
        events are needed.
        """
        states = {key: self._begun(key) or Stream(0, self.domain.kind_of(key[1]).initial, 0) for key in streams}
        unusable: dict[Key, int] = {}
        for key in self._too_large(rows):
            del states[key]
        for org, stream, version, type_, data in rows:
            key = (org, stream)
            if key not in states:
                continue
            if type_ is None:
                try:
                    states[key] = Stream(version, decode_state(self.domain.kind_of(stream), data), version)
                except msgspec.DecodeError as error:  # a snapshot is a cache: what it held is still in the log
                    log.warning("the snapshot of %s %s cannot be used: %s", org, stream, error)
                    unusable[key] = streams[key]
                    del states[key]
            else:
                before = states[key]
                state = self.domain.kind_of(stream).evolve(before.state, self.codec.decode(type_, data))
                states[key] = Stream(version, state, before.snapshot)
        for key, loaded in states.items():
            self.cache(streams[key]).put(key, loaded)
        return unusable

    def keep_tags(self, tags: dict[Key, int], rows: Sequence[Any]) -> None:
        """Keep the events that `statements.TAGGED` has found; a tag without events is known to have none."""
        found: dict[Key, list[tuple[int, str, Any]]] = {key: [] for key in tags}
        for org, tag, position, stream, type_, data in rows:
            # Not what this very transaction has sent, nor what the partition's cache has yet to follow.
            if position <= self.cache(tags[org, tag]).position:
                found[org, tag].append((position, stream, self.codec.decode(type_, data)))
        for key, events in found.items():
            last = events[-1][0] if events else 0
            self.cache(tags[key]).tags[key] = Tagged(last, tuple((stream, event) for _, stream, event in events))

    def stream_arguments(self, streams: Iterable[Key], schema: int | None = None) -> tuple[list[Any], ...]:
        """The arguments of `statements.STREAMS`. `schema`: of which snapshots are used; none for the current ones."""
        keys = list(streams)
        orgs, names = [org for org, _ in keys], [stream for _, stream in keys]
        schemas = [self.domain.kind_of(stream).schema if schema is None else schema for stream in names]
        if self.large is None:
            return orgs, names, schemas, [0] * len(keys), [ANY] * len(keys), [ANY] * len(keys)
        begun = [self._begun(key) for key in keys]
        schemas = [each if found is None else NO_SCHEMA for found, each in zip(begun, schemas, strict=True)]
        after = [0 if found is None else found.version for found in begun]
        # Nobody waits for the platform's streams: they are of few events, and needed at once.
        most = [(ANY, ANY) if org == PLATFORM else (LARGE_BYTES, LARGE + 1) for org in orgs]
        return orgs, names, schemas, after, [each for each, _ in most], [each for _, each in most]

    def _begun(self, key: Key) -> Stream | None:
        """A large stream that was loaded apart: the rest of it is loaded here."""
        return self.large.find(key) if self.large is not None else None

    def _too_large(self, rows: Sequence[Any]) -> list[Key]:
        """The streams of which not all has come."""
        if self.large is None:
            return []
        found: list[Key] = [(row[0], row[1]) for row in rows if row[3] is None and row[4] is None]
        if len(rows) > LARGE:
            events = Counter((row[0], row[1]) for row in rows if row[3] is not None and row[0] != PLATFORM)
            found += [key for key, count in events.items() if count > LARGE]
        for key in found:
            self.large.load(key)
        return found


def tag_arguments(tags: Iterable[Key]) -> tuple[list[str], list[str]]:
    """The arguments of `statements.TAGGED`."""
    keys = list(tags)
    return [org for org, _ in keys], [tag for _, tag in keys]
