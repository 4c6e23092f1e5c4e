"""The relay's side of PostgreSQL: being the only active relay, and reading what is to be published."""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import psycopg

from infra.log.events import LedgerEvent
from infra.log.postgres import CONNECTED, PostgresLog
from infra.log.recorder import EventLog
from infra.postgres.lease import Lease

ACTIVE_RELAY = "relay"  # the lease of the active relay of a database
STATEMENT_S = 15.0  # a server that was suspended answers nothing, and TCP does not notice

MAX_EVENTS = 2000  # of a partition in one read, hence in one Kafka transaction
MAX_BYTES = 1_000_000  # of stored bytes in one read, the event that passes it included

_NOTED = "select partition from relay_stops"
_NOTE = """
    insert into relay_stops (partition, position, reason, refused)
    select * from unnest(%b::smallint[], %b::bigint[], %b::text[], %b::boolean[])
    on conflict (partition) do update set position = excluded.position, reason = excluded.reason,
        refused = excluded.refused,
        at = case when relay_stops.position = excluded.position then relay_stops.at else excluded.at end"""
_FORGET = "delete from relay_stops where partition = any(%b::smallint[])"


_CONNECTED = {**CONNECTED, "application_name": "scrip relay", "target_session_attrs": "read-write"}
Result = TypeVar("Result")


class Stop(NamedTuple):
    """A partition that is stopped: the position of the event that does not get into the topic, and why.

    `refused`: the broker refuses the event itself, so that a retry cannot succeed.
    """

    partition: int
    position: int
    reason: str
    refused: bool


class Source(AbstractAsyncContextManager["Source"]):
    """The login scrip_relay: a session, and another for the lease where the relay wants to be the active one.

    The log's recorders are synchronous, so the session has a thread of its own, for which the event loop waits. Every
    method raises psycopg.Error or TimeoutError when a session is lost.
    """

    log: EventLog

    def __init__(self, uri: str, connection: psycopg.Connection[Any]) -> None:
        """Use `connect`."""
        self._uri = uri
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, "relay's log")
        self._busy = False
        self._lease: Lease | None = None

    @classmethod
    async def connect(cls, uri: str) -> Self:
        """A new session on a primary server. Raises psycopg.Error, TimeoutError; NoLog in a database without a log."""
        connection = await asyncio.to_thread(lambda: psycopg.connect(uri, **_CONNECTED))
        source = cls(uri, connection)
        try:
            source.log = await source._on_thread(lambda: PostgresLog.within(connection))
        except BaseException:
            source._end()
            raise
        return source

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the sessions, and with them the lease."""
        try:
            if self._lease is not None:
                await self._lease.close()
        finally:
            self._end()

    def _end(self) -> None:
        with suppress(OSError, psycopg.Error):
            if self._busy:  # the thread may wait for a server that never answers: now it sees an end
                with socket.socket(fileno=os.dup(self._connection.fileno())) as wire:
                    wire.shutdown(socket.SHUT_RDWR)
        self._thread.submit(self._connection.close)
        self._thread.shutdown(wait=False)

    async def lease(self) -> Lease:
        """The lease of the active relay, which this one may or may not hold."""
        if self._lease is None:  # a session of its own: to be renewed while the other waits for a long answer
            self._lease = await Lease.connect(self._uri, ACTIVE_RELAY)
        return self._lease

    async def confirm(self) -> None:
        """Return if this relay is the active one at this moment; raises LeaseLost otherwise."""
        await (await self.lease()).confirm()

    async def after(self, positions: Mapping[int, int]) -> dict[int, Sequence[LedgerEvent]]:
        """The events that follow `positions` (partition -> last position), for the partitions that have any.

        At most MAX_EVENTS and about MAX_BYTES of each partition.
        """

        def read() -> dict[int, Sequence[LedgerEvent]]:
            heads = self.log.heads()
            return {
                partition: self.log.partition(partition).select_notifications(
                    last, MAX_EVENTS, inclusive_of_start=False, max_bytes=MAX_BYTES
                )
                for partition, last in positions.items()
                if heads[partition] > last
            }

        return await self._on_thread(read)

    async def events_at(self, partition: int, positions: Sequence[int]) -> dict[int, LedgerEvent]:
        return await self._on_thread(lambda: self.log.at(partition, positions))

    async def heads(self) -> dict[int, int]:
        return await self._on_thread(self.log.heads)

    async def stops(self) -> set[int]:
        """The partitions that are noted as stopped."""
        return await self._on_thread(lambda: {row[0] for row in self._connection.execute(_NOTED)})

    async def note_stops(self, stops: Sequence[Stop], going: Sequence[int]) -> None:
        """Note which partitions are stopped, for health checks and operators, and which go on again."""

        def note() -> None:
            if stops:
                self._connection.execute(_NOTE, [list(column) for column in zip(*stops, strict=True)])
            if going:
                self._connection.execute(_FORGET, (list(going),))

        await self._on_thread(note)

    async def _on_thread(self, step: Callable[[], Result]) -> Result:
        def run() -> Result:
            self._busy = True
            try:
                return step()
            finally:
                self._busy = False

        async with asyncio.timeout(STATEMENT_S):
            return await asyncio.get_running_loop().run_in_executor(self._thread, run)
