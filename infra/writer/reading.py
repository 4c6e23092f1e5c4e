"""Read current states without a lock: one repeatable-read snapshot serves all who wait."""

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import NamedTuple

from domain.registry import kind_of
from infra.event_log import Connection
from infra.partitions import partition_of
from infra.writer.loading import Loader
from infra.writer.submission import Current


class Query(NamedTuple):
    """The streams and tags of one organisation that somebody wants to see as they are now."""

    org: str
    streams: tuple[str, ...]
    tags: tuple[str, ...] = ()


def read(connection: Connection, loader: Loader, partitions: int, queries: Sequence[Query]) -> list[Current]:
    """Answer all queries as of one moment. What is due is folded in but not written."""
    touched = sorted({partition_of(query.org, partitions) for query in queries})
    wanted = [
        (partition_of(query.org, partitions), (query.org, stream)) for query in queries for stream in query.streams
    ]
    tags = [(partition_of(query.org, partitions), (query.org, tag)) for query in queries for tag in query.tags]
    now = catch_up(connection, loader, touched, wanted, tags)
    answers = [_answer(loader, query, partition_of(query.org, partitions), now) for query in queries]
    for partition in touched:
        loader.cache(partition).trim()
    return answers


def catch_up(
    connection: Connection,
    loader: Loader,
    partitions: Sequence[int],
    wanted: Sequence[tuple[int, tuple[str, str]]] = (),
    tags: Sequence[tuple[int, tuple[str, str]]] = (),
) -> datetime:
    """Follow the tails of the partitions and load what of `wanted` and `tags` is cold; returns the database's time."""
    with ExitStack() as stack:
        clock, heads, tails, snapshots, events, tagged = (
            stack.enter_context(connection.cursor(binary=True)) for _ in range(6)
        )
        connection.execute("begin isolation level repeatable read read only")
        try:
            with connection.pipeline() as pipeline:
                clock.execute("select scrip_now()")
                known = loader.ask_tails(heads, tails, partitions)
                pipeline.sync()
                loader.take_tails(heads, tails, partitions, known)
                cold_streams, cold_tags = loader.missing(wanted, tags)
                if cold_streams:
                    loader.ask_streams(snapshots, events, cold_streams)
                if cold_tags:
                    loader.ask_tags(tagged, cold_tags)
            if cold_streams:
                loader.take_streams(snapshots, events, cold_streams)
            if cold_tags:
                loader.take_tags(tagged, cold_tags)
            row = clock.fetchone()
        finally:
            if not connection.closed:
                connection.execute("rollback")
    if row is None:
        raise AssertionError("scrip_now() always returns a row")
    time: datetime = row[0]
    return time


def _answer(loader: Loader, query: Query, partition: int, now: datetime) -> Current:
    cache = loader.cache(partition)
    now = max(now, cache.time or now)  # as in decisions: never back within a partition
    states = {}
    for stream in query.streams:
        kind = kind_of(stream)
        found = cache.streams.get((query.org, stream))
        state = found.state if found else kind.initial
        for event in kind.due(state, now):
            state = kind.evolve(state, event)
        states[stream] = state
    tagged = {tag: cache.tags[query.org, tag].events for tag in query.tags}
    return Current(partition, cache.position, now, states, tagged)
