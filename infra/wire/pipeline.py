"""Statements that are sent together and answered together, from a thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from select import POLLIN, POLLOUT, poll
from types import TracebackType
from typing import Any, LiteralString, Self

import psycopg
from psycopg import pq

from infra.wire.statement import BINARY, Statement, check


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
