"""Rebuilds of the read models that were asked for over HTTP, done by a projector, which has the rights for it."""

import asyncio
import logging
from time import monotonic
from typing import Any

import psycopg

from infra.codec import Codec
from infra.settings import Settings
from infra.waits import set_within
from projections import generations
from projections.rebuild import RebuildReport, rebuild

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
TELL_EVERY_S = 0.25
TELL_AGAIN_S = 5.0  # also where there is nothing new
RUNNER = 2  # the lock of the projector that does what is asked for; beside those in projections/generations.py
HANGS = "30s"  # without a word of how far a rebuild is, the server ends the session and with it the lock

Connection = psycopg.AsyncConnection[Any]

_ASKED = "select from rebuilds where state in ('requested', 'running')"
_LOCK = "select pg_try_advisory_lock(%s, %s)"
_UNLOCK = "select pg_advisory_unlock(%s, %s)"
# What is `running` while nobody holds the lock was left by a process that is gone: it begins again.
_TAKE = """
    update rebuilds set state = 'running', started_at = coalesce(started_at, clock_timestamp()),
        seen_at = clock_timestamp(), done = 0, total = 0
    where state in ('requested', 'running') returning id"""
_TELL = "update rebuilds set done = %s, total = %s, seen_at = clock_timestamp() where id = %s"
_DONE = """
    update rebuilds set state = 'done', done = %s, total = %s, generation = %s, ended_at = clock_timestamp()
    where id = %s"""
_FAILED = "update rebuilds set state = 'failed', error = %s, ended_at = clock_timestamp() where id = %s"


class Stopping(Exception):
    """The role stops. A rebuild is one transaction, so nothing is left behind, and it is taken up again."""


async def serve_rebuilds(settings: Settings, stop: asyncio.Event) -> None:
    """Do what is asked for until `stop`, one at a time in the whole deployment. Never raises."""
    uri = settings.projector_url.get_secret_value()
    while not stop.is_set():
        try:
            async with await _connect(uri) as connection:
                while not stop.is_set():
                    if (await connection.execute(_ASKED)).rowcount:
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
        options=f"{generations.OPTIONS} -c lock_timeout=10s -c idle_session_timeout={HANGS}",
    )
    await connection.execute(f"set role {generations.OWNER}")
    return connection


async def _take_up(connection: Connection, uri: str, stop: asyncio.Event) -> None:
    lock = (generations.LOCKS, RUNNER)
    row = await (await connection.execute(_LOCK, lock)).fetchone()
    if row is None or not row[0]:
        return  # another projector does it
    taken = await (await connection.execute(_TAKE)).fetchone()
    if taken is not None:
        await _run(connection, uri, taken[0], stop)
    await connection.execute(_UNLOCK, lock)


async def _run(connection: Connection, uri: str, id_: int, stop: asyncio.Event) -> None:
    seen = told = (0, 0)
    told_at = monotonic()
    left = False  # this task ended: the thread must, too

    def progress(done: int, total: int, _rate: float) -> None:
        nonlocal seen
        if left or stop.is_set():
            raise Stopping
        seen = (done, total)

    work = asyncio.create_task(asyncio.to_thread(rebuild, uri, Codec().decode, progress))
    log.warning("rebuild %s of the read models begins", id_)
    try:
        while not work.done():
            await asyncio.wait({work}, timeout=TELL_EVERY_S)
            if seen != told or monotonic() > told_at + TELL_AGAIN_S:
                told, told_at = seen, monotonic()
                await connection.execute(_TELL, (*told, id_))
    finally:
        left = True
    await _tell_end(connection, work, id_)


async def _tell_end(connection: Connection, work: "asyncio.Task[RebuildReport]", id_: int) -> None:
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
