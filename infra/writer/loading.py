"""Bring a process's cached states up to date with the log, and load what is not cached."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from domain.registry import kind_of
from infra import event_log
from infra.chain import GENESIS, StoredEvent
from infra.codec import Codec
from infra.event_log import Connection, Cursor
from infra.snapshots import decode_state
from infra.writer.cache import Cache, Stream, StreamKey, Tagged, TagKey

log = logging.getLogger(__name__)

NO_SCHEMA = -1  # the schema of no snapshot: all events are read


class Loader:
    """The caches of all partitions of one process."""

    def __init__(self, codec: Codec, max_weight: int) -> None:
        self.codec = codec
        self._max_weight = max_weight
        self.caches: dict[int, Cache] = {}

    def cache(self, partition: int) -> Cache:
        """The cache of a partition, empty at first."""
        if partition not in self.caches:
            self.caches[partition] = Cache(self.codec, self._max_weight)
        return self.caches[partition]

    def trim(self) -> None:
        """Keep all caches together within the bound of the process; the heaviest gives."""
        excess = sum(cache.weight for cache in self.caches.values()) - self._max_weight
        if excess > 0:
            heaviest = max(self.caches.values(), key=lambda cache: cache.weight)
            heaviest.trim(max(0, heaviest.weight - excess))

    def known(self, partitions: Iterable[int]) -> list[int]:
        """Those of the partitions whose tail can be followed from where it was left."""
        return [partition for partition in partitions if self.cache(partition).known]

    def look(self, connection: Connection, partitions: Sequence[int]) -> datetime | None:
        """Follow the tails of known partitions with one statement, for readers; returns the database's time.

        None where that does not do: a partition is not known yet, or the log has run too far ahead.
        """
        caches = {partition: self.cache(partition) for partition in partitions}
        if not all(cache.known for cache in caches.values()):
            return None
        arguments = (list(caches), [cache.position for cache in caches.values()])
        with connection.cursor(binary=True) as cursor:
            rows = cursor.execute(event_log.LOOK, arguments).fetchall()
        found: Counter[int] = Counter()
        for _, partition, position, *rest in rows:
            if partition is not None:
                found[partition] += 1
                if position - caches[partition].position == 1:
                    caches[partition].follow(StoredEvent(partition, position, *rest))
        for partition, cache in caches.items():
            if found[partition] > event_log.MAX_TAIL or (cache.position and not found[partition]):
                return None
            cache.looked()
        return rows[-1][0] if rows else None

    def ask_tails(self, heads: Cursor, tails: Cursor, partitions: Sequence[int]) -> list[int]:
        """Send the queries for the last event of each partition and for what is new in those that are known."""
        known = self.known(partitions)
        heads.execute(event_log.HEADS, (list(partitions),))
        if known:
            tails.execute(event_log.TAILS, (known, [self.cache(partition).position for partition in known]))
        return known

    def take_tails(self, heads: Cursor, tails: Cursor, partitions: Sequence[int], known: list[int]) -> None:
        """Fold what the queries found. A partition that has run too far ahead is forgotten and starts at its head."""
        ends = {row[0]: event_log.Head(*row[1:]) for row in heads.fetchall()}
        if known:
            for row in tails.fetchall():
                event = StoredEvent(*row)
                cache = self.cache(event.partition)
                if event.position - cache.position == 1:
                    cache.follow(event)
        for partition in partitions:
            cache, head = self.cache(partition), ends.get(partition)
            cache.looked()
            if head is None:
                cache.moved_to(0, GENESIS, None)
            elif cache.position != head.position or not cache.known:
                cache.forget()
                cache.moved_to(*head)

    def missing(
        self, wanted: Iterable[tuple[int, StreamKey]], tags: Iterable[tuple[int, TagKey]]
    ) -> tuple[dict[StreamKey, int], dict[TagKey, int]]:
        """What of the wanted streams and tags is not cached, with its partition."""
        return (
            {key: partition for partition, key in wanted if key not in self.cache(partition).streams},
            {tag: partition for partition, tag in tags if tag not in self.cache(partition).tags},
        )

    def load(self, connection: Connection, streams: dict[StreamKey, int], tags: dict[TagKey, int]) -> None:
        """Ask for cold streams and tags, with their partitions, and wait for them."""
        with connection.cursor(binary=True) as snapshots, connection.cursor(binary=True) as events:
            if streams:
                self.ask_streams(snapshots, events, streams)
                self.take_streams(snapshots, events, streams)
            if tags:
                self.ask_tags(events, tags)
                self.take_tags(events, tags)

    def ask_streams(self, snapshots: Cursor, events: Cursor, streams: dict[StreamKey, int]) -> None:
        """Send the queries for cold streams: the newest usable snapshot and the events after it."""
        arguments = (
            [org for org, _ in streams],
            [stream for _, stream in streams],
            [kind_of(stream).schema for _, stream in streams],
        )
        snapshots.execute(event_log.SNAPSHOTS, arguments)
        events.execute(event_log.STREAMS, arguments)

    def take_streams(self, snapshots: Cursor, events: Cursor, streams: dict[StreamKey, int]) -> None:
        """Fold the cold streams and keep them; a stream without events is known to have none."""
        states = {key: Stream(0, kind_of(key[1]).initial, 0) for key in streams}
        unusable: list[StreamKey] = []
        for org, stream, version, snapshot in snapshots.fetchall():
            try:
                states[org, stream] = Stream(version, decode_state(stream, snapshot), version)
            except msgspec.DecodeError as error:  # a snapshot is a cache: what it held is still in the log
                log.warning("the snapshot of %s %s cannot be used: %s", org, stream, error)
                unusable.append((org, stream))
        rows = events.fetchall()
        if unusable:
            rows = [row for row in rows if (row[0], row[1]) not in unusable]
            arguments = ([org for org, _ in unusable], [stream for _, stream in unusable], [NO_SCHEMA] * len(unusable))
            rows += events.execute(event_log.STREAMS, arguments).fetchall()
        for org, stream, version, type_, data in rows:
            before = states[org, stream]
            state = kind_of(stream).evolve(before.state, self.codec.decode(type_, data))
            states[org, stream] = Stream(version, state, before.snapshot)
        for key, loaded in states.items():
            self.cache(streams[key]).put(key, loaded)

    def ask_tags(self, cursor: Cursor, tags: dict[TagKey, int]) -> None:
        """Send the query for all events with these tags."""
        cursor.execute(event_log.TAGGED, ([org for org, _ in tags], [tag for _, tag in tags]))

    def take_tags(self, cursor: Cursor, tags: dict[TagKey, int]) -> None:
        """Keep the events with these tags; a tag without events is known to have none."""
        found: dict[TagKey, list[tuple[int, str, Any]]] = {key: [] for key in tags}
        for org, tag, position, stream, type_, data in cursor.fetchall():
            if position <= self.cache(tags[org, tag]).position:  # not what this very transaction has sent already
                found[org, tag].append((position, stream, self.codec.decode(type_, data)))
        for key, rows in found.items():
            last = rows[-1][0] if rows else 0
            self.cache(tags[key]).tags[key] = Tagged(last, tuple((stream, event) for _, stream, event in rows))
