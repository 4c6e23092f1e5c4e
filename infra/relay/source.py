"""The relay's side of PostgreSQL: being the only active relay, and reading what is to be published."""

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

import psycopg

from infra.lease import Lease
from infra.log.events import LedgerEvent
from infra.log.statements import COLUMNS
from infra.session import options

ACTIVE_RELAY = "relay"  # the lease of the active relay of a database
STATEMENT_S = 15.0  # a server that was suspended answers nothing, and TCP does not notice

MAX_EVENTS = 2000  # of a partition in one read, hence in one Kafka transaction
MAX_BYTES = 1_000_000  # of stored bytes in one read, the event that passes it included

# The inner limit comes before the sum, so that a relay far behind does not add up the rest of the log.
_NEXT = f"""
    select {", ".join("e." + name.strip() for name in COLUMNS.split(","))}
    from unnest(%b::smallint[], %b::bigint[]) as wanted (p, last)
    cross join lateral (
        select n.*, sum(length(n.data)) over (order by n.position) - length(n.data) as before
        from (
            select {COLUMNS} from events where partition = wanted.p and position > wanted.last
            order by position limit {MAX_EVENTS}
        ) n
    ) e
    where e.before < {MAX_BYTES}
    order by e.partition, e.position"""

_AT = f"select {COLUMNS} from events where partition = %b and position = any(%b::bigint[])"

_HEADS = """
    select p, coalesce((select max(position) from events where partition = p), 0)
    from generate_series(0, %b::int - 1) p"""


_NOTED = "select partition from relay_stops"
_NOTE = """
    insert into relay_stops (partition, position, reason, refused)
    select * from unnest(%b::smallint[], %b::bigint[], %b::text[], %b::boolean[])
    on conflict (partition) do update set position = excluded.position, reason = excluded.reason,
        refused = excluded.refused,
        at = case when relay_stops.position = excluded.position then relay_stops.at else excluded.at end"""
_FORGET = "delete from relay_stops where partition = any(%b::smallint[])"


class Stop(NamedTuple):
    """A partition that stands still: the position of the event that does not get into the topic, and why.

    `refused`: the broker said no to the event itself, so that trying again is of no use.
    """

    partition: int
    position: int
    reason: str
    refused: bool


class Log(NamedTuple):
    """Which log a database holds."""

    id: str
    partitions: int


class Source:
    """The login scrip_relay: a session, and another for the lease where the relay wants to be the active one.

    Every method raises psycopg.Error or TimeoutError when a session is lost.
    """

    def __init__(self, uri: str, connection: psycopg.AsyncConnection[Any]) -> None:
        """Use `connect`."""
        self._uri = uri
        self._connection = connection
        self._lease: Lease | None = None

    @classmethod
    async def connect(cls, uri: str) -> Self:
        """A new session on a primary server."""
        connection = await psycopg.AsyncConnection.connect(
            uri,
            autocommit=True,
            application_name="scrip relay",
            connect_timeout=5,
            target_session_attrs="read-write",
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=10_000,
            prepare_threshold=0,
            # A plan made for an empty log would read a full one from end to end.
            options=options("-c plan_cache_mode=force_custom_plan -c statement_timeout=10s"),
        )
        return cls(uri, connection)

    async def __aenter__(self) -> Self:
        """Nothing more to do."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the sessions, and with them the lease."""
        try:
            if self._lease is not None:
                await self._lease.close()
        finally:
            await self._connection.close()

    async def lease(self) -> Lease:
        """The lease of the active relay, which this one may or may not hold."""
        if self._lease is None:  # a session of its own: to be renewed while the other waits for a long answer
            self._lease = await Lease.connect(self._uri, ACTIVE_RELAY)
        return self._lease

    async def confirm(self) -> None:
        """Return if this relay is the active one at this moment; raises LeaseLost otherwise."""
        await (await self.lease()).confirm()

    async def log(self) -> Log:
        """The database's log; raises LookupError where there is none."""
        rows = await self._rows("select id::text, partitions from log", ())
        if not rows:
            raise LookupError("the database holds no log yet: migrate it first")
        return Log(*rows[0])

    async def after(self, positions: Mapping[int, int]) -> dict[int, list[LedgerEvent]]:
        """The events that follow `positions` (partition -> last position), for the partitions that have any.

        At most MAX_EVENTS and about MAX_BYTES of each partition.
        """
        found: dict[int, list[LedgerEvent]] = {}
        for row in await self._rows(_NEXT, (list(positions), list(positions.values()))):
            event = LedgerEvent._make(row)
            found.setdefault(event.partition, []).append(event)
        return found

    async def events_at(self, partition: int, positions: Sequence[int]) -> dict[int, LedgerEvent]:
        """The events of a partition at those of the positions that the log has."""
        rows = await self._rows(_AT, (partition, list(positions)))
        return {event.position: event for event in map(LedgerEvent._make, rows)}

    async def heads(self, partitions: int) -> dict[int, int]:
        """The last position of every partition."""
        return dict(await self._rows(_HEADS, (partitions,)))

    async def stops(self) -> set[int]:
        """The partitions that are noted as standing still."""
        return {row[0] for row in await self._rows(_NOTED, ())}

    async def note_stops(self, stops: Sequence[Stop], going: Sequence[int]) -> None:
        """Note which partitions stand still, where health checks and operators look, and which go on again."""
        async with asyncio.timeout(STATEMENT_S):
            if stops:
                await self._connection.execute(_NOTE, [list(column) for column in zip(*stops, strict=True)])
            if going:
                await self._connection.execute(_FORGET, (list(going),))

    async def _rows(self, query: str, arguments: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        async with asyncio.timeout(STATEMENT_S):
            cursor = self._connection.cursor(binary=True)
            await cursor.execute(query, arguments)
            return await cursor.fetchall()
