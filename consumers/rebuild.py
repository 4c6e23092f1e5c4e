"""Rebuild the read models of a deployment from its log, at once or as requested over HTTP.

A projector serves the requests, because its login has the rights.
"""

import asyncio
import logging
from collections.abc import Sequence
from time import monotonic
from typing import Any

import psycopg

from domain.registry import SCRIP
from infra.log.mapper import LedgerMapper
from infra.log.postgres import PostgresLog
from infra.settings import Settings
from infra.waits import set_within
from projections import READ_MODELS, versions
from projections import rebuild as of_log
from projections.read_model import ReadModel
from projections.rebuild import Progress, RebuildReport

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
SAY_EVERY_S = 0.25
SAY_AGAIN_S = 5.0  # also where there is nothing new
RUNNER = 2  # the lock of the projector that serves requests; beside those in projections/versions.py
HANGS = "30s"  # without a report of progress: then the server ends the session and with it the lock

Connection = psycopg.AsyncConnection[Any]

_REQUESTED = "select from rebuilds where state in ('requested', 'running')"
_LOCK = "select pg_try_advisory_lock(%s, %s)"
_UNLOCK = "select pg_advisory_unlock(%s, %s)"
# A request that is `running` while no session holds the lock was left by a dead process: it begins again.
_TAKE = """
    update rebuilds set state = 'running', started_at = coalesce(started_at, clock_timestamp()),
        seen_at = clock_timestamp(), done = 0, total = 0
    where state in ('requested', 'running') returning id"""
_PROGRESS = "update rebuilds set done = %s, total = %s, seen_at = clock_timestamp() where id = %s"
_DONE = """
    update rebuilds set state = 'done', done = %s, total = %s, generation = %s, ended_at = clock_timestamp()
    where id = %s"""
_FAILED = "update rebuilds set state = 'failed', error = %s, ended_at = clock_timestamp() where id = %s"


def rebuild(settings: Settings, progress: Progress | None = None) -> RebuildReport:
    """Build a new generation from the log and make it live, with calls of `progress` (done, total, events per second).

    Raises CannotApply at an event that cannot be folded (the live generation stays), psycopg.Error.
    """
    return rebuild_from(settings.projector_url.get_secret_value(), progress)


def rebuild_from(
    uri: str, progress: Progress | None = None, models: Sequence[ReadModel[Any]] = READ_MODELS
) -> RebuildReport:
    """The same by the projector's or the owner's login."""
    with PostgresLog.open(uri, LedgerMapper.of(SCRIP), application="scrip rebuild log") as events:
        return of_log.rebuild(uri, events, events.mapper.decode, progress, models)


class Stopping(Exception):
    """The role stops. A rebuild is one transaction, so nothing is left behind, and it is taken up again."""


async def serve_rebuilds(settings: Settings, stop: asyncio.Event) -> None:
    """Serve requests until `stop`, one at a time in the whole deployment. Never raises."""
    uri = settings.projector_url.get_secret_value()
    while not stop.is_set():
        try:
            async with await _connect(uri) as connection:
                while not stop.is_set():
                    if (await connection.execute(_REQUESTED)).rowcount:
                        await _take_up(connection, uri, stop)
                    await set_within(stop, LOOK_EVERY_S)
        except Stopping:
            return
        except psycopg.Error as error:  # the request stays, and is taken up at the next look
            log.warning("rebuilds cannot be looked for: %s", error or type(error).__name__)
        await set_within(stop, LOOK_EVERY_S)


async def _connect(uri: str) -> Connection:
    connection = await psycopg.AsyncConnection.connect(
        uri,
        autocommit=True,
        application_name="scrip rebuilds",
        connect_timeout=5,
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        tcp_user_timeout=10_000,
        options=f"{versions.OPTIONS} -c lock_timeout=10s -c idle_session_timeout={HANGS}",
    )
    await connection.execute(f"set role {versions.OWNER}")
    return connection


async def _take_up(connection: Connection, uri: str, stop: asyncio.Event) -> None:
    lock = (versions.LOCKS, RUNNER)
    row = await (await connection.execute(_LOCK, lock)).fetchone()
    if row is None or not row[0]:
        return  # another projector does it
    taken = await (await connection.execute(_TAKE)).fetchone()
    if taken is not None:
        await _run(connection, uri, taken[0], stop)
    await connection.execute(_UNLOCK, lock)


async def _run(connection: Connection, uri: str, id_: int, stop: asyncio.Event) -> None:
    seen = said = (0, 0)
    said_at = monotonic()
    left = False  # this task ended: the thread must, too

    def progress(done: int, total: int, _rate: float) -> None:
        nonlocal seen
        if left or stop.is_set():
            raise Stopping
        seen = (done, total)

    work = asyncio.create_task(asyncio.to_thread(rebuild_from, uri, progress))
    log.warning("rebuild %s of the read models begins", id_)
    try:
        while not work.done():
            await asyncio.wait({work}, timeout=SAY_EVERY_S)
            if seen != said or monotonic() > said_at + SAY_AGAIN_S:
                said, said_at = seen, monotonic()
                await connection.execute(_PROGRESS, (*said, id_))
    finally:
        left = True
    await _note_end(connection, work, id_)


async def _note_end(connection: Connection, work: "asyncio.Task[RebuildReport]", id_: int) -> None:
    try:
        report = work.result()
    except Stopping:
        raise
    except Exception as error:  # whatever it was, the live generation stays and the next request is served
        log.exception("rebuild %s failed", id_)
        await connection.execute(_FAILED, (f"{type(error).__name__}: {error}"[:2_000], id_))
    else:
        await connection.execute(_DONE, (report.events, report.events, report.generation, id_))
        log.warning("rebuild %s: %s events are now in generation %s", id_, report.events, report.generation)
