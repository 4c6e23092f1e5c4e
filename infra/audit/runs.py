"""Audits of a deployment: one at a time, and what each found is kept."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from infra.audit.report import Progress, Report
from infra.audit.verify import verify
from infra.postgres.session import options
from infra.settings import Settings

ONE_AUDIT = 0x5C23_0000  # the session lock of the audit that runs
HANGS = "60s"  # without a word, for the server to end the session
SAY_EVERY_S = 5.0

_KEEP = "insert into audits (by, started_at, holds, report) values (%s, %s, %s, %s)"


class AuditRunning(Exception):
    """Another audit of this deployment is running; two would only slow each other down."""

    def __init__(self) -> None:
        super().__init__("An audit is running. Try again when it has ended.")


async def audited(
    settings: Settings, resources: Mapping[str, str], by: str, progress: Progress | None = None
) -> Report:
    """Check everything, and remember when, by whom and what came of it. `resources`: see `verify`; `by`: the actor.

    Raises AuditRunning, and what `verify` raises; then nothing is remembered.
    """
    async with _alone(settings) as connection:
        started = (await (await connection.execute("select clock_timestamp()")).fetchone() or (None,))[0]
        report = await verify(settings, resources, progress)
        await connection.execute(_KEEP, (by, started, report.ok, Jsonb(report.as_json())))
    return report


@asynccontextmanager
async def _alone(settings: Settings) -> AsyncIterator["psycopg.AsyncConnection[Any]"]:
    """A session of the writer that holds the lock, which ends with it whatever happens to the process.

    Also where the process hangs: then the server ends the session.
    """
    async with await psycopg.AsyncConnection.connect(
        settings.writer_url.get_secret_value(),
        autocommit=True,
        application_name="scrip verify",
        connect_timeout=10,
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        options=options(f"-c idle_session_timeout={HANGS}"),
    ) as connection:
        row = await (await connection.execute("select pg_try_advisory_lock(%s)", (ONE_AUDIT,))).fetchone()
        if row is None or not row[0]:
            raise AuditRunning
        going_on = asyncio.create_task(_say_so(connection))
        try:
            yield connection
        finally:
            going_on.cancel()
            await asyncio.wait([going_on])


async def _say_so(connection: "psycopg.AsyncConnection[Any]") -> None:
    """Keep the session, which the server ends where nothing is heard of it. Ends with it: what comes next fails."""
    with suppress(psycopg.Error):
        while True:
            await asyncio.sleep(SAY_EVERY_S)
            await connection.execute("select")
