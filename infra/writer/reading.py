"""Read current states and answer questions without a lock: one repeatable-read snapshot serves all who wait."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from domain.execution import ask
from domain.refusal import Refusal
from domain.registry import ANSWERERS, kind_of
from infra.event_log import Connection
from infra.partitions import PLATFORM, partition_of
from infra.writer.cache import Stream, StreamKey, Tagged, TagKey
from infra.writer.demand import Asked, Demand
from infra.writer.loading import Loader
from infra.writer.overlay import Cold, Overlay
from infra.writer.submission import Answered, Current

log = logging.getLogger(__name__)

Placed = tuple[int, tuple[str, str]]  # a partition, and an organisation's stream or tag in it


class Query(NamedTuple):
    """The streams and tags of one organisation that somebody wants to see as they are now."""

    org: str
    streams: tuple[str, ...]
    tags: tuple[str, ...] = ()


class Question(NamedTuple):
    """What somebody wants to know of one organisation now; its type has an entry in `ANSWERERS`."""

    org: str
    what: Any


class _NotCached(Exception):
    """What is asked for must be loaded first."""


class _Nothing:
    """Loads nothing: for answers from what is cached alone."""

    def stream(self, _key: StreamKey) -> Stream:
        raise _NotCached

    def tagged(self, _key: TagKey) -> Tagged:
        raise _NotCached


def read(
    connection: Connection, loader: Loader, partitions: int, works: Sequence[Query | Question]
) -> list[Current | Answered | Exception]:
    """Answer all as of one moment. What is due is folded in but not written.

    A question that is refused or cannot be answered gets its exception, the others their answers. Raises psycopg.Error
    and whatever comes of streams that cannot be read, in place of all answers.
    """
    home = partition_of(PLATFORM, partitions)
    asked = [Asked(work.org, ANSWERERS[type(work.what)], work.what) for work in works if isinstance(work, Question)]
    platform = {stream for one in asked for stream in one.handler.platform}
    wanted: list[Placed] = [(home, (PLATFORM, stream)) for stream in platform]
    tags: list[Placed] = []
    for work in works:
        partition = partition_of(work.org, partitions)
        streams, names = _named(work)
        wanted += [(partition, (work.org, stream)) for stream in streams]
        tags += [(partition, (work.org, tag)) for tag in names]
    touched = sorted({partition_of(work.org, partitions) for work in works} | ({home} if platform else set()))

    def on_platform(stream: str) -> Any:
        return loader.cache(home).streams[PLATFORM, stream].state

    def answers(cold: Cold, time: datetime) -> list[Current | Answered | Exception]:
        found: list[Current | Answered | Exception] = []
        for work in works:
            partition = partition_of(work.org, partitions)
            if isinstance(work, Query):
                found.append(_current(loader, work, partition, time))
            else:
                overlay = Overlay(loader.cache(partition), on_platform, cold)
                found.append(_answer(overlay, work, partition, time))
        return found

    looked = loader.look(connection, touched)
    if looked is not None and not any(loader.missing(wanted, tags)):
        try:
            return answers(_Nothing(), looked)
        except _NotCached:  # what is loaded now would be of a later moment: begin again
            pass
    with snapshot(connection, loader, touched, wanted, tags) as time:
        found = answers(Demand(connection, loader, partitions, lambda: asked, on_platform, time), time)
    for partition in touched:
        loader.cache(partition).trim()
    return found


def catch_up(
    connection: Connection,
    loader: Loader,
    partitions: Sequence[int],
    wanted: Sequence[Placed] = (),
    tags: Sequence[Placed] = (),
) -> datetime:
    """Follow the tails of the partitions and load what of `wanted` and `tags` is cold; returns the database's time."""
    looked = loader.look(connection, partitions)
    if looked is not None and not any(loader.missing(wanted, tags)):
        return looked
    with snapshot(connection, loader, partitions, wanted, tags) as time:
        return time


@contextmanager
def snapshot(
    connection: Connection,
    loader: Loader,
    partitions: Sequence[int],
    wanted: Sequence[Placed] = (),
    tags: Sequence[Placed] = (),
) -> Iterator[datetime]:
    """The same, and what is loaded inside is of the same moment."""
    connection.execute("begin isolation level repeatable read read only")
    try:
        with connection.pipeline() as pipeline, ExitStack() as stack:
            clock, heads, tails, snapshots, events, tagged = (
                stack.enter_context(connection.cursor(binary=True)) for _ in range(6)
            )
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
            if row is None:
                raise AssertionError("scrip_now() always returns a row")
            yield row[0]
    finally:
        if not connection.closed:
            connection.execute("rollback")


def _named(work: Query | Question) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The streams and tags that can be told without looking at any."""
    if isinstance(work, Query):
        return work.streams, work.tags
    answerer = ANSWERERS[type(work.what)]
    return answerer.streams(work.what), answerer.tags(work.what)


def _answer(overlay: Overlay, question: Question, partition: int, now: datetime) -> Answered | Exception:
    """Answer on a view of the question's own, so that what it applies is seen by nobody else."""
    cache = overlay.cache
    overlay.org = question.org
    now = max(now, cache.time or now)  # as in decisions: never back within a partition
    try:
        value = ask(overlay, ANSWERERS[type(question.what)], kind_of, question.what, now)
    except (psycopg.Error, _NotCached):  # the snapshot is of no use any more, to nobody
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
