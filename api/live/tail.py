"""The one reader of the log that all live streams of this process share."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import structlog

from api.guard import UNREACHABLE
from api.live.entry import Entry
from api.live.owners import Owners
from api.services import Row, Services
from infra.partitions import partition_of
from infra.turns import ours
from infra.waits import end_tasks, set_within

POLL_S = 0.1
RETRY_S = 1.0
MOST_EVENTS = 2_000  # of a partition in one look, and in one page of what a listener catches up with
MOST_BYTES = 4_000_000  # of stored bytes in the same, the event that passes it included: an event may have a megabyte
MOST_WAITING = 10_000  # events for a listener who does not keep up; with more they are cut off and resume later
MOST_BYTES_WAITING = 16_000_000  # of theirs, likewise
WINDOW = 20_000  # positions that one look for old events goes through

log = structlog.get_logger()

# The bytes of an event travel only for organisations that somebody listens to; the others move the position on.
_NEXT = f"""
    select e.partition, e.position, e.org, e.stream, e.type, e.time, e.actor, length(e.data) as size,
        case when e.org = any(%(orgs)s::text[]) then e.data end as data
    from unnest(%(partitions)s::smallint[], %(positions)s::bigint[]) as seen (p, last)
    cross join lateral (
        select n.*, sum(length(n.data)) over (order by n.position) - length(n.data) as before from (
            select * from events where partition = seen.p and position > seen.last order by position limit {MOST_EVENTS}
        ) n
    ) e
    where e.before < {MOST_BYTES}
    order by e.partition, e.position"""
_OLD = f"""
    select partition, position, org, stream, type, time, actor, data, length(data) as size from (
        select n.*, sum(length(data)) over (order by position) - length(data) as before from (
            select * from events
            where partition = %(partition)s and position > %(after)s and position <= %(until)s and org = %(org)s
            order by position limit {MOST_EVENTS}
        ) n
    ) e
    where before < {MOST_BYTES} order by position"""
_HEAD = "select coalesce(max(position), 0) as position from events where partition = %s"


class Listener:
    """One live stream's place in the queue. `joined`: the position from which on it is told."""

    def __init__(self, org: str, partition: int, joined: int) -> None:
        self.org, self.partition, self.joined = org, partition, joined
        self.lost = False
        self._batches: deque[list[Entry]] = deque()
        self._waiting = self._bytes = 0
        self._news = asyncio.Event()

    def tell(self, entries: list[Entry]) -> None:
        """Queue what happened; a listener that is too far behind is cut off instead."""
        if self._waiting > MOST_WAITING or self._bytes > MOST_BYTES_WAITING:
            self.cut_off()
        elif not self.lost:
            self._batches.append(entries)
            self._waiting += len(entries)
            self._bytes += sum(entry.size for entry in entries)
            self._news.set()

    def cut_off(self) -> None:
        """End the stream; its listener comes back with the last position that it has."""
        self.lost = True
        self._batches.clear()
        self._news.set()

    async def next(self, timeout_s: float) -> list[Entry]:
        """What happened next; nothing after `timeout_s`, or when the listener was cut off."""
        if not self._batches and not self.lost:
            self._news.clear()
            await set_within(self._news, timeout_s)
        if not self._batches:
            return []
        entries = self._batches.popleft()
        self._waiting -= len(entries)
        self._bytes -= sum(entry.size for entry in entries)
        return entries


class _Followed:
    """A partition that somebody listens to."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.listeners: set[Listener] = set()


class LogTail:
    """Follows the partitions that somebody listens to, and nothing while nobody does."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._owners = Owners(services)
        self._followed: dict[int, _Followed] = {}
        self._joining = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @property
    def listeners(self) -> int:
        """How many listen."""
        return sum(len(each.listeners) for each in self._followed.values())

    async def join(self, org: str) -> Listener:
        """Be told of what happens in the organisation from now on. Raises psycopg.Error; pool time-outs."""
        partition = partition_of(org, self._services.ledger.writer.partitions)
        async with self._joining:
            followed = self._followed.get(partition)
            if followed is None:
                with ours("live"):  # all others who join wait for it
                    followed = self._followed[partition] = _Followed(await self.head(partition))
            listener = Listener(org, partition, followed.position)
            followed.listeners.add(listener)
            if self._task is None or self._task.done():
                with ours("live"):
                    self._task = asyncio.create_task(self._follow())
        return listener

    def leave(self, listener: Listener) -> None:
        """No longer be told."""
        followed = self._followed.get(listener.partition)
        if followed is not None:
            followed.listeners.discard(listener)
            if not followed.listeners:
                del self._followed[listener.partition]

    async def head(self, partition: int) -> int:
        """The last committed position of a partition. Raises psycopg.Error; pool time-outs."""
        rows = await self._services.rows_of_all(_HEAD, (partition,))
        return int(rows[0]["position"])

    async def between(self, listener: Listener, after: int) -> AsyncIterator[list[Entry]]:
        """The organisation's events after `after` up to where the listener joined, in order.

        Raises psycopg.Error; pool time-outs.
        """
        until = listener.joined
        while after < until:
            window = min(after + WINDOW, until)
            asked = {"org": listener.org, "partition": listener.partition, "after": after, "until": window}
            rows = await self._services.rows(_OLD, asked)
            yield await self._entries(rows)
            after = rows[-1]["position"] if _is_cut(rows) else window

    async def close(self) -> None:
        """Stop following."""
        task, self._task = self._task, None
        if task is not None:
            await end_tasks([task])

    async def _follow(self) -> None:
        try:
            while self._followed:
                try:
                    async with self._joining:  # whoever joins meanwhile would be told of what was read without them
                        pause = 0.0 if await self._look() else POLL_S
                except UNREACHABLE as error:  # listeners keep their places, so nothing is lost
                    log.warning("live streams cannot read the log", error=type(error).__name__)
                    pause = RETRY_S
                await asyncio.sleep(pause)
        finally:
            for each in self._followed.values():
                for listener in each.listeners:
                    listener.cut_off()

    async def _look(self) -> bool:
        """Tell what is new; whether there may be more at once."""
        followed = dict(self._followed)
        orgs = {listener.org for each in followed.values() for listener in each.listeners}
        asked: dict[str, Any] = {
            "orgs": list(orgs),
            "partitions": list(followed),
            "positions": [each.position for each in followed.values()],
        }
        rows = await self._services.rows_of_all(_NEXT, asked)
        entries = await self._entries([row for row in rows if row["data"] is not None])
        by_org: dict[str, list[Entry]] = {}
        for entry in entries:
            by_org.setdefault(entry.org, []).append(entry)
        for row in rows:
            followed[row["partition"]].position = row["position"]
        for each in followed.values():
            for listener in each.listeners:
                if listener.org in by_org:
                    listener.tell(by_org[listener.org])
        return _is_cut(rows)

    async def _entries(self, rows: list[Row]) -> list[Entry]:
        owners = await self._owners.of(rows)
        return [Entry(row, owners.get((row["org"], row["stream"]))) for row in rows]


def _is_cut(rows: list[Row]) -> bool:
    """Whether there may be more than was read."""
    return len(rows) >= MOST_EVENTS or sum(row["size"] for row in rows) >= MOST_BYTES
