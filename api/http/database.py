"""The pools of connections that reads go through, and the wait until a read model shows a position."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
import psycopg
from psycopg import AsyncConnection
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout, TooManyRequests
from pydantic import SecretStr

from infra.log.mapper import READING
from infra.log.postgres import PostgresLog, PostgresSnapshots, sessions_of
from infra.postgres.session import options
from infra.settings import Settings
from infra.turns import CALLER, FairPool, Turns, ours
from infra.waits import set_within

MAX_READS = 8  # connections for reads of one organisation,
MAX_READS_OF_ALL = 4  # for those of the whole platform,
MAX_WRITES = 4  # for API keys, rates and the console's sessions; callers take turns (infra/turns.py)
MAX_LOG_READS = 4  # for those by the log's recorders, each with a thread for which callers take turns too
MAX_TEXTS = 2  # for keys of personal text; who may ask for them takes turns at the threads
READ_WAIT_S = 2.0
WORKS_S = 1.0  # a connection that worked is taken to work for so long
KEEPALIVE: dict[str, Any] = {
    "connect_timeout": 3,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5_000,
}
OPTIONS = options(
    "-c statement_timeout=5s -c lock_timeout=2s -c idle_in_transaction_session_timeout=10s -c transaction_timeout=30s"
    " -c plan_cache_mode=force_custom_plan"
)
# What a read or write raises when the database cannot answer it now.
# A read model that does not exist yet counts as such: its projector has not started.
UNREACHABLE = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.UndefinedTable,
    PoolTimeout,
    TooManyRequests,
)
_SET_ORG = "select set_config('scrip.org', %s, true)"

Row = dict[str, Any]


class Database:
    """Pools by login: `reads` as scrip_reader, `reads_all` as scrip_auditor, `writes` and `text` as scrip_writer.

    For threads: `text`, as scrip_writer, for those that seal and open personal text; `log_reads` and `log_heads`, as
    scrip_reader and scrip_auditor, for those that read the event log. No pool is open before `open`.
    """

    def __init__(self, settings: Settings) -> None:
        self.reads = _pool(settings.reader_url, "scrip-api-reads", MAX_READS)
        self.reads_all = _pool(settings.auditor_url, "scrip-api-reads-all", MAX_READS_OF_ALL)
        self.writes = _pool(settings.writer_url, "scrip-api-keys", MAX_WRITES)
        self.text = _for_threads(settings.writer_url, "scrip-api-text", MAX_TEXTS)
        self.log_reads = _for_threads(settings.reader_url, "scrip-api-log", MAX_LOG_READS)
        self.log_heads = _for_threads(settings.auditor_url, "scrip-api-log-heads", MAX_LOG_READS)
        self.snapshots = PostgresSnapshots(sessions_of(self.text))

    def log(self, partitions: int) -> PostgresLog:
        """The event log, for threads: an organisation's events as row-level security shows them."""
        of_one, of_all = sessions_of(self.log_reads), sessions_of(self.log_heads)
        return PostgresLog(lambda org: of_all(None) if org is None else of_one(org), READING, partitions, "")

    async def rows(self, query: str, parameters: Mapping[str, Any]) -> list[Row]:
        """The rows of a read in the organisation that `parameters` name as `org`.

        The database shows that organisation's rows and no others, whatever the query says (row-level
        security). Callers take turns. Raises psycopg.Error; psycopg_pool's PoolTimeout and TooManyRequests when busy.
        """
        async with self.reads.connection() as connection:
            # One round trip: what a pipeline sends between two syncs is one transaction, and so is the setting's life.
            async with connection.pipeline():
                await connection.execute(_SET_ORG, (parameters["org"],))
                cursor = await connection.cursor(row_factory=dict_row).execute(query, parameters)
            found: list[Row] = await cursor.fetchall()
            return found

    async def rows_of_all(self, query: str, parameters: Any = ()) -> list[Row]:
        """The rows of a read over all organisations: for what belongs to the platform, and for its admins."""
        async with self.reads_all.connection() as connection:
            cursor = await connection.cursor(row_factory=dict_row).execute(query, parameters)
            found: list[Row] = await cursor.fetchall()
            return found

    async def open(self) -> None:
        """Open the pools; connections are made in the background."""
        for pool in (self.reads, self.reads_all, self.writes):
            await pool.open()
        for threads in (self.text, self.log_reads, self.log_heads):
            threads.open()

    async def close(self) -> None:
        """Close the pools."""
        for threads in (self.text, self.log_reads, self.log_heads):
            threads.close()
        for pool in (self.writes, self.reads_all, self.reads):
            await pool.close()


def _for_threads(uri: SecretStr, name: str, max_size: int) -> "ConnectionPool[Any]":
    return ConnectionPool(
        uri.get_secret_value(),
        min_size=1,
        max_size=max_size,
        timeout=READ_WAIT_S,
        open=False,
        check=ConnectionPool.check_connection,
        kwargs={"autocommit": True, "application_name": name, "options": OPTIONS} | KEEPALIVE,
    )


def _pool(uri: SecretStr, name: str, max_size: int) -> FairPool:
    checked: WeakKeyDictionary[AsyncConnection[Any], float] = WeakKeyDictionary()

    async def check(connection: AsyncConnection[Any]) -> None:
        """At most once in WORKS_S: a check for each read would double its trips. Raises psycopg.OperationalError."""
        now = monotonic()
        if now - checked.get(connection, float("-inf")) > WORKS_S:
            await AsyncConnectionPool.check_connection(connection)
            checked[connection] = now

    async def configure(connection: AsyncConnection[Any]) -> None:
        set_json_loads(msgspec.json.decode, connection)
        connection.adapters.register_loader("numeric", WholeLoader)

    return FairPool(
        uri.get_secret_value(),
        min_size=1,
        max_size=max_size,
        timeout=READ_WAIT_S,
        open=False,
        check=check,
        configure=configure,
        kwargs={"autocommit": True, "application_name": name, "options": OPTIONS} | KEEPALIVE,
    )


class WholeLoader(Loader):
    """Reads a `numeric` in text format: as an int where it is whole, else as a Decimal.

    PostgreSQL says a sum that may have more than 64 bits in `numeric`, and JSON knows no Decimal.
    """

    def load(self, data: Buffer) -> int | Decimal:
        """`data` is PostgreSQL's text, for example `12` or `0.5`."""
        text = bytes(data).decode()
        return int(text) if text.lstrip("-").isdigit() else Decimal(text)


WAIT_S = 2.0
MOST = 2_000  # that wait at a time, in this process,
MOST_OF_ORG = 500  # of one organisation,
MOST_OF_LOGIN = 250  # and of one login
LEAST_PAUSE_S, LONGEST_PAUSE_S = 0.005, 0.025  # between looks
_LOOK = "select partition, position from read.checkpoints where partition = any(%s)"

Waiting = tuple[int, int, asyncio.Future[None]]  # partition, position


class Visible:
    """What the read models have reached. `pool`: login scrip_auditor.

    It looks only while a caller waits: at once for the first one, and for others after a pause, which is short when
    another one has just come.
    """

    def __init__(self, pool: "AsyncConnectionPool[Any]") -> None:
        self._pool = pool
        self._waiting: set[Waiting] = set()
        self._came = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.turns = Turns(MOST, of_org=MOST_OF_ORG, of_login=MOST_OF_LOGIN)

    async def reached(self, partition: int, position: int) -> bool:
        """True as soon as events up to `position` of the partition are in the read models, False after WAIT_S.

        Raises psycopg.Error; psycopg_pool's TooManyRequests where too many wait, PoolTimeout.
        """
        caller = CALLER.get()
        await self.turns.take_or_refuse(caller)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = partition, position, done
        self._waiting.add(waiting)
        self._came.set()
        if self._task is None or self._task.done():
            with ours("visible"):
                self._task = asyncio.create_task(self._follow())
        try:
            async with asyncio.timeout(WAIT_S):
                await done
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(waiting)
            self.turns.leave(caller)
        return True

    async def _follow(self) -> None:
        pause = LEAST_PAUSE_S
        while self._waiting:
            self._came.clear()
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001 - it is raised to those who wait
                self._fail(error)
            if not self._waiting:
                return
            await asyncio.sleep(LEAST_PAUSE_S)
            if self._came.is_set():
                pause = LEAST_PAUSE_S
                continue
            if not await set_within(self._came, pause):
                pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _look(self) -> None:
        asked = list({partition for partition, _, _ in self._waiting})
        async with self._pool.connection() as connection:
            rows = await (await connection.execute(_LOOK, (asked,))).fetchall()
        positions = dict(rows)
        there = {waiting for waiting in self._waiting if positions.get(waiting[0], 0) >= waiting[1]}
        self._waiting -= there
        for _, _, done in there:
            if not done.done():
                done.set_result(None)

    def _fail(self, error: Exception) -> None:
        failed, self._waiting = self._waiting, set()
        for _, _, done in failed:
            if not done.done():
                done.set_exception(error)
