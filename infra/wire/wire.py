"""One statement after another on an event loop."""

import asyncio
from typing import Any, LiteralString

import psycopg

from infra.wire.statement import BINARY, Statement, check


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
        self._loop.add_reader(self._socket, self._read)  # for good: to watch anew each time costs as much as to read

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
        except psycopg.Error as error:  # the connection is gone, and whoever sends next is told by libpq
            self.close()
            if answered is not None and not answered.done():
                answered.set_exception(error)
        else:
            if whole and answered is not None and not answered.done():
                answered.set_result(None)
