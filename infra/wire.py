"""Prepared statements on an event loop by libpq alone: for the look that nearly every request takes.

psycopg's cursors convert arguments of any type and wait for sockets in any state; a look has two arrays of numbers, and
is short. Without them it costs half as much (`scrip bench api`).
"""

import asyncio
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, LiteralString

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result

BINARY = pq.Format.BINARY
# PostgreSQL's own numbers of its types, fixed for all time.
_TEXT, _INT2, _INT8 = 25, 21, 20
_ARRAY = struct.Struct("!iiiii")  # dimensions, whether there are nulls, the elements' type, their number, from which
_FIRST = 1


def texts(items: Iterable[str]) -> bytes:
    """A `text[]`."""
    encoded = [item.encode() for item in items]
    parts = [_ARRAY.pack(1, 0, _TEXT, len(encoded), _FIRST)]
    for item in encoded:
        parts += (struct.pack("!i", len(item)), item)
    return b"".join(parts)


def smallints(items: Sequence[int]) -> bytes:
    """A `smallint[]`. Raises struct.error for what is none."""
    return _ARRAY.pack(1, 0, _INT2, len(items), _FIRST) + b"".join(struct.pack("!ih", 2, item) for item in items)


def bigints(items: Sequence[int]) -> bytes:
    """A `bigint[]`. Raises struct.error for what is none."""
    return _ARRAY.pack(1, 0, _INT8, len(items), _FIRST) + b"".join(struct.pack("!iq", 8, item) for item in items)


class Wire:
    """One statement after another on a connection that nobody else uses meanwhile; for one event loop."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self._libpq = connection.pgconn
        self._names: dict[LiteralString, bytes] = {}

    async def rows(self, query: LiteralString, arguments: Sequence[bytes]) -> list[tuple[Any, ...]]:
        """The rows of a query with `%b` for each argument, which is binary. Raises psycopg.Error."""
        name = self._names.get(query) or await self._prepare(query)
        formats = [BINARY] * len(arguments)
        self._libpq.send_query_prepared(name, arguments, formats, BINARY)
        result = await self._result()
        transformer = Transformer(self._connection)
        transformer.set_pgresult(result)
        return transformer.load_rows(0, result.ntuples, tuple)

    async def _prepare(self, query: LiteralString) -> bytes:
        parts = query.split("%b")
        text = "".join(f"{part}${number}" for number, part in enumerate(parts[:-1], 1)) + parts[-1]
        name = b"wire%d" % len(self._names)
        self._libpq.send_prepare(name, text.encode())
        await self._result()
        self._names[query] = name
        return name

    async def _result(self) -> Any:
        """The result of what was sent, once all of it is there."""
        libpq, loop = self._libpq, asyncio.get_running_loop()

        def whole() -> bool:
            libpq.consume_input()
            return not libpq.is_busy()

        if libpq.flush():  # more than fits into the socket's buffer
            await self._until(lambda: not libpq.flush(), loop.add_writer, loop.remove_writer)
        await self._until(whole, loop.add_reader, loop.remove_reader)
        result = libpq.get_result()
        while libpq.get_result() is not None:  # what ends the statement
            pass
        if result is None or result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
            raise psycopg.OperationalError("no result") if result is None else error_from_result(result)
        return result

    async def _until(
        self,
        finished: Callable[[], bool],
        watch: Callable[[int, Callable[[], None]], None],
        forget: Callable[[int], object],
    ) -> None:
        """Wait until it is finished, asked each time that the socket is ready."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        socket = self._libpq.socket

        def ready() -> None:
            try:
                if finished() and not done.done():
                    done.set_result(None)
            except psycopg.Error as error:
                if not done.done():
                    done.set_exception(error)

        watch(socket, ready)
        try:
            await done
        finally:
            forget(socket)
