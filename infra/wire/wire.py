"""One statement after another on an event loop."""

import asyncio
from collections.abc import Callable
from typing import Any, LiteralString

import psycopg

from infra.wire.statement import BINARY, Statement, check


class Wire:
    """Runs statements on a connection that nobody else uses meanwhile; for one event loop."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self._libpq = connection.pgconn
        self._statements: dict[str, Statement] = {}

    async def rows(self, query: LiteralString, *arguments: Any) -> list[tuple[Any, ...]]:
        """The rows of a query whose arguments' places are as `Statement` has them. Raises psycopg.Error."""
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
