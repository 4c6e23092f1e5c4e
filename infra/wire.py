"""Prepared statements by libpq's own functions, for the few that nearly every request takes.

psycopg's cursors convert arguments of any type, look up what each result holds, and in a pipeline send each statement
by itself. The ledger's statements are known beforehand; without these steps they cost half as much. `Pipeline` sends
statements together, from a thread; `Wire` sends one after another, on an event loop.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from select import POLLIN, POLLOUT, poll
from types import TracebackType
from typing import Any, LiteralString, Self

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result

from infra.log.chain import microseconds

BINARY = pq.Format.BINARY

Encoder = Callable[[Any], bytes]

_PLACEHOLDER = re.compile(r"%b::(\w+(?:\[\])?)")
# PostgreSQL's own numbers of its types, fixed for all time.
_BYTEA, _INT8, _INT2, _INT4, _TEXT, _TIMESTAMPTZ = 17, 20, 21, 23, 25, 1184
_EPOCH_US = 946_684_800_000_000  # PostgreSQL counts from 2000
_ARRAY = struct.Struct("!iiiii")  # dimensions, whether there are nulls, the elements' type, their number, from which
_FIRST = 1
_SIZE = struct.Struct("!i")
_NULL = _SIZE.pack(-1)


def _array(type_: int, size: int, elements: bytes) -> bytes:
    return _ARRAY.pack(1, 0, type_, size, _FIRST) + elements


def _numbers(type_: int, format_: str) -> Encoder:
    size = struct.calcsize(f"!{format_}")

    def encode(items: Sequence[int]) -> bytes:
        sized = [size] * (2 * len(items))
        sized[1::2] = items
        return _array(type_, len(items), struct.pack("!" + f"i{format_}" * len(items), *sized))

    return encode


def _texts(items: Sequence[str]) -> bytes:
    encoded = [item.encode() for item in items]
    return _array(_TEXT, len(items), b"".join([_SIZE.pack(len(item)) + item for item in encoded]))


def _blobs(items: Sequence[bytes | None]) -> bytes:
    elements = [_NULL if item is None else _SIZE.pack(len(item)) + item for item in items]
    return _array(_BYTEA, len(items), b"".join(elements))


_moments = _numbers(_TIMESTAMPTZ, "q")


def _times(items: Sequence[datetime]) -> bytes:
    known = {item: microseconds(item) - _EPOCH_US for item in set(items)}  # of a batch's events few differ
    return _moments([known[item] for item in items])


ENCODERS: dict[str, Encoder] = {
    "text": str.encode,
    "text[]": _texts,
    "smallint[]": _numbers(_INT2, "h"),
    "int[]": _numbers(_INT4, "i"),
    "bigint[]": _numbers(_INT8, "q"),
    "timestamptz[]": _times,
    "bytea[]": _blobs,
}


class Statement:
    """A query under the `name` by which a connection knows it. Each argument's place is `%b::` and its type.

    Raises KeyError for a type that `ENCODERS` has not.
    """

    def __init__(self, query: str, name: bytes, connection: psycopg.abc.AdaptContext) -> None:
        self.name = name
        self._encoders = [ENCODERS[type_] for type_ in _PLACEHOLDER.findall(query)]
        self.formats = [BINARY] * len(self._encoders)
        numbers = iter(range(1, len(self._encoders) + 1))
        self.text = _PLACEHOLDER.sub(lambda place: f"${next(numbers)}::{place[1]}", query).encode()
        self._context = connection
        self._reader: psycopg.abc.Transformer | None = None

    def arguments(self, values: Sequence[Any]) -> list[bytes]:
        """The values in binary. Raises ValueError for too few or many, struct.error for a number out of range."""
        return [encode(value) for encode, value in zip(self._encoders, values, strict=True)]

    def rows(self, result: pq.abc.PGresult) -> list[tuple[Any, ...]]:
        """The rows of a result of this statement; none of one that gives none."""
        if self._reader is None:  # what each column holds is the same every time
            self._reader = Transformer(self._context)
            self._reader.set_pgresult(result)
        else:
            self._reader.set_pgresult(result, set_loaders=False)
        found: list[tuple[Any, ...]] = self._reader.load_rows(0, result.ntuples, tuple)
        self._reader.set_pgresult(None, set_loaders=False)  # the result is not kept until the next time
        return found


def check(result: pq.abc.PGresult | None) -> pq.abc.PGresult:
    """The result, if its statement went well. Raises psycopg.Error."""
    if result is None:
        raise psycopg.OperationalError("no result")
    if result.status == pq.ExecStatus.PIPELINE_ABORTED:
        raise psycopg.errors.PipelineAborted("an earlier statement of the pipeline failed")
    if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
        raise error_from_result(result)
    return result


class Sent:
    """A statement that was sent; its rows are waited for when they are asked for."""

    __slots__ = ("_pipeline", "number", "result", "statement")

    def __init__(self, pipeline: Pipeline, number: int, statement: Statement) -> None:
        self._pipeline = pipeline
        self.number = number
        self.statement = statement
        self.result: pq.abc.PGresult | None = None

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows. Raises psycopg.Error, also for a statement before this one."""
        return self._pipeline.rows(self)


class Pipeline:
    """A connection's pipeline mode, as a context manager that may be entered again and again.

    Leaving it waits for whatever was sent, and raises psycopg.Error for the first that failed. What follows a
    statement that failed is not run. Not safe for use by several threads, nor for the connection's own functions
    meanwhile.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self._libpq = connection.pgconn
        self._statements: dict[str, Statement] = {}
        self._prepared: list[str] = []  # since the pipeline was entered: whether they exist is not known yet
        self._names = 0
        self._waiting: deque[Sent] = deque()
        self._count = 0
        self._requested = 0  # up to which of them PostgreSQL was asked not to keep answers back
        self._readable = poll()
        self._readable.register(self._libpq.socket, POLLIN)

    def __enter__(self) -> Self:
        self._libpq.enter_pipeline_mode()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            failed = self._finish()
        except psycopg.Error as lost:
            failed = lost
        self._waiting.clear()
        if failed or error:
            for query in self._prepared:
                self._statements.pop(query, None)
        self._prepared.clear()
        if self._libpq.status != pq.ConnStatus.BAD:
            self._libpq.exit_pipeline_mode()
        if failed is not None and error is None:
            raise failed

    def execute(self, query: LiteralString, arguments: Sequence[Any] = ()) -> Sent:
        """Have a query sent, with the next `push` or whenever an answer is waited for.

        Its arguments' places are as `Statement` has them. Raises what `Statement` raises.
        """
        statement = self._statements.get(query) or self._prepare(query)
        self._libpq.send_query_prepared(statement.name, statement.arguments(arguments), statement.formats, BINARY)
        return self._sent(statement)

    def push(self) -> None:
        """Send what is not sent yet. Raises psycopg.OperationalError."""
        while self._libpq.flush():  # more than fits into the socket's buffer; PostgreSQL may have to be heard first
            either = poll()
            either.register(self._libpq.socket, POLLIN | POLLOUT)
            either.poll()
            self._libpq.consume_input()

    def rows(self, sent: Sent) -> list[tuple[Any, ...]]:
        """The rows of a statement of this pipeline. Raises psycopg.Error."""
        if sent.number > self._requested:
            self._libpq.send_flush_request()
            self._requested = self._count
            self.push()
        while sent.result is None:
            self._take()
        return sent.statement.rows(check(sent.result))

    def _prepare(self, query: LiteralString) -> Statement:
        self._names += 1
        statement = Statement(query, b"pipeline%d" % self._names, self.connection)
        self._libpq.send_prepare(statement.name, statement.text)
        self._sent(statement)
        self._statements[query] = statement
        self._prepared.append(query)
        return statement

    def _sent(self, statement: Statement) -> Sent:
        self._count += 1
        sent = Sent(self, self._count, statement)
        self._waiting.append(sent)
        return sent

    def _take(self) -> None:
        """The result of the statement that was sent longest ago."""
        sent = self._waiting.popleft()
        result = self._result()
        while self._result() is not None:  # what ends the statement
            pass
        sent.result = result
        check(result)

    def _finish(self) -> psycopg.Error | None:
        """Wait for all that was sent; the first error."""
        failed = None
        self._libpq.pipeline_sync()
        self.push()
        while self._waiting:
            try:
                self._take()
            except psycopg.Error as error:
                if self._libpq.status == pq.ConnStatus.BAD:
                    raise
                failed = failed or error
        self._result()  # of the sync itself
        return failed

    def _result(self) -> pq.abc.PGresult | None:
        while self._libpq.is_busy():
            self._readable.poll()
            self._libpq.consume_input()
        return self._libpq.get_result()


class Wire:
    """Runs statements on a connection that is its own until it is closed, made and used on one event loop.

    To be closed before the connection is.
    """

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self._libpq = connection.pgconn
        self._socket = self._libpq.socket
        self._statements: dict[str, Statement] = {}
        self._loop = asyncio.get_running_loop()
        self._answered: asyncio.Future[None] | None = None
        self._closed = False
        self._loop.add_reader(self._socket, self._read)  # for good: adding it for each statement costs a read

    def close(self) -> None:
        """Watch the connection no longer."""
        self._closed = True
        self._loop.remove_reader(self._socket)

    async def rows(self, query: LiteralString, *arguments: Any) -> list[tuple[Any, ...]]:
        """The rows of a query whose arguments' places are as `Statement` has them. Raises psycopg.Error."""
        if self._closed:
            raise psycopg.OperationalError("the connection is lost")
        statement = self._statements.get(query) or await self._prepare(query)
        self._libpq.send_query_prepared(statement.name, statement.arguments(arguments), statement.formats, BINARY)
        return statement.rows(check(await self._result()))

    async def _prepare(self, query: LiteralString) -> Statement:
        statement = Statement(query, b"wire%d" % len(self._statements), self._connection)
        self._libpq.send_prepare(statement.name, statement.text)
        check(await self._result())
        self._statements[query] = statement
        return statement

    async def _result(self) -> Any:
        """The result of what was sent, once all of it is there."""
        self._answered = self._loop.create_future()
        while self._libpq.flush():  # more than fits into the socket's buffer
            await self._writable()
        await self._answered
        result = self._libpq.get_result()
        while self._libpq.get_result() is not None:  # what ends the statement
            pass
        return result

    async def _writable(self) -> None:
        ready = asyncio.Event()
        self._loop.add_writer(self._socket, ready.set)
        try:
            await ready.wait()
        finally:
            self._loop.remove_writer(self._socket)

    def _read(self) -> None:
        answered = self._answered
        try:
            self._libpq.consume_input()
            whole = not self._libpq.is_busy()
        except psycopg.Error as error:  # the connection is gone, and libpq raises at the next send
            self.close()
            if answered is not None and not answered.done():
                answered.set_exception(error)
        else:
            if whole and answered is not None and not answered.done():
                answered.set_result(None)
