"""Statements on an event loop without psycopg's cursors give the same rows and the same errors, whatever the size."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from domain.registry import SCRIP
from infra.log import statements
from infra.partitions import partition_of
from infra.wire import Wire
from infra.writer.writer import Writer
from tests.conftest import PARTITIONS, Database
from tests.infra.writer.asking import until
from tests.infra.writer.ledger_kit import accepted, debit, grant
from tests.infra.writer.proxy import Proxy
from tests.waiting import patient

ARRAYS = "select %b::text[], %b::smallint[], %b::bigint[]"


@asynccontextmanager
async def wired(database: Database) -> AsyncIterator[Wire]:
    async with await statements.connect_async(database.writer_uri, "test") as connection:
        with closing(Wire(connection)) as wire:
            yield wire


def run(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scene)


@pytest.mark.parametrize("size", [0, 1, 3, 100_000], ids=str)
def test_arrays_arrive_as_they_were_sent(database: Database, size: int) -> None:
    """A hundred thousand fill the sockets' buffers on the way there and back."""
    names = [("", "a,b", 'ü {"} \\ 🜚', "null")[number % 4] + str(number or "") for number in range(size)]
    small = [(-32_768, 0, 32_767)[number % 3] for number in range(size)]
    big = [(-(2**63), 0, 2**63 - 1)[number % 3] for number in range(size)]

    async def scene() -> None:
        async with wired(database) as wire:
            for _ in range(2):  # prepared, and once more
                found = await wire.rows(ARRAYS, names, small, big)
                assert found == [(names, small, big)]

    run(scene())


def test_the_rows_of_a_look_are_those_of_a_cursor(database: Database) -> None:
    with Writer(database.writer_uri, SCRIP) as writer:
        accepted(writer, grant(10))
        accepted(writer, debit("d-1"))
    partition = partition_of("acme", PARTITIONS)

    async def scene() -> None:
        async with wired(database) as wire:
            found = await wire.rows(statements.LOOK, [partition], [0])
        async with await statements.connect_async(database.writer_uri, "test") as connection:
            cursor = connection.cursor(binary=True)
            expected = await (await cursor.execute(statements.LOOK, ([partition], [0]))).fetchall()
            assert [row[2:] for row in found] == [row[2:] for row in expected]
            assert len(found) == 2
            assert isinstance(found[0][0], datetime)
            assert found[0][0].utcoffset() == datetime.now(UTC).utcoffset()

    run(scene())


def test_after_an_error_the_connection_is_of_use(database: Database) -> None:
    async def scene() -> None:
        async with wired(database) as wire:
            with pytest.raises(psycopg.DataError):
                await wire.rows(ARRAYS, ["nul\0"], [], [])
            with pytest.raises(psycopg.errors.UndefinedTable):
                await wire.rows("select * from nothing where name = any(%b::text[])", [])
            with pytest.raises(psycopg.errors.DivisionByZero):
                await wire.rows("select 1 / n from unnest(%b::bigint[]) n", [1, 0])
            assert await wire.rows("select 6 / n from unnest(%b::bigint[]) n", [1, 2]) == [(6,), (3,)]
            assert await wire.rows("select 1 where false and %b::bigint[] is null", []) == []
            assert await wire.rows("select 7") == [(7,)]

    run(scene())


def test_a_connection_that_is_lost_is_an_operational_error(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    async def scene(proxy: Proxy) -> None:
        connection = await statements.connect_async(proxy.uri, "test")
        wire = Wire(connection)
        waiting = asyncio.create_task(wire.rows("select pg_sleep(n) from unnest(%b::bigint[]) n", [60]))
        with psycopg.connect(database.owner_uri, autocommit=True) as owner:
            busy = "select true from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
            await until(lambda: owner.execute(busy).fetchone(), "the statement runs")
        proxy.cut()
        for lost in (waiting, wire.rows(ARRAYS, [], [], [])):
            with pytest.raises(psycopg.OperationalError):
                await asyncio.wait_for(lost, patient(30))
        assert connection.closed
        wire.close()
        await connection.close()

    with Proxy(database.writer_uri) as proxy:
        run(scene(proxy))


def test_a_connection_that_is_lost_while_nothing_is_asked_is_noticed(database: Database) -> None:
    async def scene() -> None:
        async with wired(database) as wire:
            ((pid,),) = await wire.rows("select pg_backend_pid()")
            with psycopg.connect(database.owner_uri, autocommit=True) as owner:
                owner.execute("select pg_terminate_backend(%s, 10000)", (pid,))
            for _ in range(2):
                with pytest.raises(psycopg.OperationalError):
                    await asyncio.wait_for(wire.rows("select 7"), patient(30))

    run(scene())
