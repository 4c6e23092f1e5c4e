"""The end of the log as it grows, read once for all who listen."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields
from datetime import datetime
from functools import cached_property
from typing import Any

import msgspec
import structlog

from api.fair_share import Bounds, Shares
from api.http.database import UNREACHABLE, Database, Row
from api.http.problems import Problem
from domain.credits.address import STREAM_PREFIX, address_of, parse_address
from domain.credits.events import Slice
from domain.generations.events import Charge, Quoted
from domain.generations.state import PREFIX as GENERATION
from domain.groups.state import MEMBERSHIPS
from domain.groups.state import PREFIX as GROUP
from domain.plans.state import PURCHASE_PREFIX as PURCHASE
from domain.registry import SCRIP
from infra.log.mapper import LedgerMapper, UnknownEventType
from infra.partitions import partition_of
from infra.position import format_position
from infra.security.principal import Principal
from infra.security.stream_tickets import StreamTickets
from infra.turns import ours
from infra.waits import end_tasks, set_within
from infra.writer.ledger import Ledger

_codec = LedgerMapper.of(SCRIP)
_NOT_TOLD = frozenset({"sealed", "user"})
_OF_PEOPLE = frozenset({"ref", "generation_id"})  # on a group's stream: whose work it was is not every member's to know


class Entry:
    """One event of the log. `owner`: the user of the generation or purchase that it is about, where it has one."""

    def __init__(self, row: dict[str, Any], owner: str | None = None) -> None:
        self.position: int = row["position"]
        self.org: str = row["org"]
        self.stream: str = row["stream"]
        self.type: str = row["type"]
        self.size: int = row["size"]  # of its stored bytes
        self._time: datetime = row["time"]
        self._actor: str = row["actor"]
        self._event = _decoded(row["type"], bytes(row["data"]))
        self.user = getattr(self._event, "user", None) or owner or _user_of(self.stream)

    @property
    def group(self) -> str | None:
        """The group that was joined or left, or whose stream this is."""
        if self.stream.startswith(GROUP):
            return self.stream.removeprefix(GROUP)
        return getattr(self._event, "group_id", None)

    @cached_property
    def whole(self) -> bytes:
        """The data for those who see all of the organisation."""
        about = {"user": self.user, "account": self._account, "actor": self._actor}
        return msgspec.json.encode(self._place | about | {"figures": figures(self._event)})

    @cached_property
    def own(self) -> bytes:
        """The data for a user; of a group's events, what names no user."""
        if self.stream.startswith(GROUP):
            answer = {name: value for name, value in figures(self._event).items() if name not in _OF_PEOPLE}
            return msgspec.json.encode(self._place | {"user": None, "account": None, "figures": answer})
        about = {"user": self.user, "account": self._account}
        return msgspec.json.encode(self._place | about | {"figures": figures(self._event)})

    @property
    def _account(self) -> str | None:
        return address_of(self.stream) if self.stream.startswith(STREAM_PREFIX) else None

    @property
    def _place(self) -> dict[str, Any]:
        return {
            "position": format_position(self.position),
            "type": self.type,
            "stream": self.stream,
            "time": self._time,
        }


def figures(event: Any) -> dict[str, Any]:
    """What a display needs of an event: its plain values, grants and charges added up. Never a sealed text.

    Amounts are in the unit of the event's stream, times RFC 3339. Empty for an event that this version does not know.
    """
    answer: dict[str, Any] = {}
    for field in fields(event) if event is not None else ():
        value = getattr(event, field.name)
        if field.name in _NOT_TOLD or value is None:
            continue
        if isinstance(value, str | int | datetime):
            answer[field.name] = value
        elif isinstance(value, Slice):
            answer |= {"grant_id": value.grant, "amount": value.amount, "expires_at": value.expires_at}
        elif isinstance(value, Quoted):
            answer[field.name] = {name: amount for name, amount in value._asdict().items() if amount}
        elif isinstance(value, dict):
            answer |= {field.name: value} if all(type(amount) is int for amount in value.values()) else {}
        elif isinstance(value, tuple) and field.name != "slices":
            answer |= _summed(field.name, value)
    return answer


def _summed(name: str, values: Sequence[Any]) -> dict[str, Any]:
    first = values[0] if values else None
    if isinstance(first, Slice):
        return {name: sum(part.amount for part in values)}
    if isinstance(first, Charge):
        total: Counter[str] = Counter()
        for charge in values:
            total.update(charge.amounts)
        return {name: dict(total)}
    return {}


def _decoded(type_: str, data: bytes) -> Any:
    try:
        return _codec.decode(type_, data)
    except UnknownEventType:  # a newer process wrote it: its position is sent, its figures are not
        return None


def _user_of(stream: str) -> str | None:
    """The user whose stream this is, for the kinds that are a user's."""
    if stream.startswith(STREAM_PREFIX):
        owner_type, owner_id, _ = parse_address(address_of(stream))
        return owner_id if owner_type == "user" else None
    kind, slash, id_ = stream.partition("/")
    return id_ if kind + slash in _OF_USERS else None


_OF_USERS = frozenset({"storage/", "budget/", MEMBERSHIPS})


MOST_STREAMS = 2_000  # in this process
MOST_OF_ORG = 1_000  # of one organisation: half, so that the others have room
MOST_OF_ONE = 50  # of one login: a browser has six connections, a display of many screens has more
LITTLE_OF_ORG, LITTLE_OF_ONE = 50, 6  # who has no more is let in while others fill what all have
RETRY_AFTER_S = 10
POLL_S = 0.1
RETRY_S = 1.0
MOST_EVENTS = 2_000  # of a partition in one look, and in one page of what a listener catches up with
MOST_BYTES = 4_000_000  # of stored bytes in the same, the event that passes it included: an event may have a megabyte
MOST_WAITING = 10_000  # events for a listener who does not keep up; with more they are cut off and resume later
MOST_BYTES_WAITING = 16_000_000  # of theirs, likewise
MOST_KNOWN = 20_000  # streams whose owner is kept
WINDOW = 20_000  # positions that one look for old events goes through

log = structlog.get_logger()

# The bytes of an event are read only for organisations with listeners; the others only move the position on.
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

_FIRST = """
    select e.org, e.stream, e.data from unnest(%s::text[], %s::text[]) as wanted (org, stream)
    cross join lateral (
        select org, stream, data from events
        where org = wanted.org and stream = wanted.stream and version = 1
    ) e"""


class Listener:
    """One live stream's place in the queue. `joined`: it gets the events after this position."""

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
    """A partition with listeners."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.listeners: set[Listener] = set()


class LogTail:
    """Follows the partitions that have listeners, and none while there are no listeners."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database, self._ledger = database, ledger
        self._owners = Owners(database)
        self._followed: dict[int, _Followed] = {}
        self._joining = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @property
    def listeners(self) -> int:
        """How many listen."""
        return sum(len(each.listeners) for each in self._followed.values())

    async def join(self, org: str) -> Listener:
        """Get the organisation's events from now on. Raises psycopg.Error; pool time-outs."""
        partition = partition_of(org, self._ledger.writer.partitions)
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
        """Get no more events."""
        followed = self._followed.get(listener.partition)
        if followed is not None:
            followed.listeners.discard(listener)
            if not followed.listeners:
                del self._followed[listener.partition]

    async def head(self, partition: int) -> int:
        """The last committed position of a partition. Raises psycopg.Error; pool time-outs."""
        rows = await self._database.rows_of_all(_HEAD, (partition,))
        return int(rows[0]["position"])

    async def between(self, listener: Listener, after: int) -> AsyncIterator[list[Entry]]:
        """The organisation's events after `after` up to where the listener joined, in order.

        Raises psycopg.Error; pool time-outs.
        """
        until = listener.joined
        while after < until:
            window = min(after + WINDOW, until)
            asked = {"org": listener.org, "partition": listener.partition, "after": after, "until": window}
            rows = await self._database.rows(_OLD, asked)
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
                    async with (
                        self._joining
                    ):  # a listener that joins during a read would get what was read before it joined
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
        rows = await self._database.rows_of_all(_NEXT, asked)
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


class Owners:
    """Whose generation or purchase an event is about: only the first event of its stream names the user.

    Each is looked up once and kept for a while.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[tuple[str, str], str | None] = OrderedDict()

    async def of(self, rows: Iterable[Row]) -> dict[tuple[str, str], str | None]:
        """The owner by organisation and stream, for those rows that have one. Raises psycopg.Error."""
        wanted = {(row["org"], row["stream"]) for row in rows if row["stream"].startswith((GENERATION, PURCHASE))}
        missing = wanted - self._known.keys()
        if missing:
            orgs, streams = zip(*missing, strict=True)
            for row in await self._database.rows_of_all(_FIRST, (list(orgs), list(streams))):
                first = msgspec.json.decode(row["data"], type=_Stored)
                self._known[row["org"], row["stream"]] = first.data.user
        found = {key: self._known.get(key) for key in wanted}
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return found


class _Named(msgspec.Struct):
    user: str | None = None


class _Stored(msgspec.Struct):
    data: _Named


def _bounds() -> Bounds:
    detail = "One {whose} may have {most:,} live streams at a time."
    return Bounds(
        *(MOST_OF_ONE, MOST_OF_ORG, MOST_STREAMS), "too_many_streams", detail, RETRY_AFTER_S,
        little_of_login=LITTLE_OF_ONE, little_of_org=LITTLE_OF_ORG, full=_full,
    )  # fmt: skip


def _full() -> Problem:
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return Problem(503, "overloaded", "Too many live streams are open.", headers=headers)


class Live:
    """Made once for each process. `closing` is set when the process stops, so that no stream holds it up."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self.tail = LogTail(database, ledger)
        self.tickets = StreamTickets(database.writes)
        self.closing = asyncio.Event()
        self._shares = Shares(_bounds)

    @property
    def streams(self) -> int:
        """How many are open."""
        return self._shares.taken

    def room(self, principal: Principal) -> AbstractContextManager[None]:
        """Count a stream while it is open. Raises Problem (429, 503) where there are too many."""
        return self._shares.held(principal.org, principal.actor)

    async def close(self) -> None:
        """End all streams and stop following the log."""
        self.closing.set()
        await self.tail.close()
