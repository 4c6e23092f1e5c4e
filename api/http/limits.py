"""How much of the service's memory, threads, streams and connections callers may take.

Of connections and their memory, one address may have only a part, so that no caller is refused because of another one.
When a few addresses have filled the memory, there is still a reserve for those that have little, and room is made for
the others by cutting connections of the addresses that have far more. Behind a trusted proxy all callers have the
proxy's address: then each connection counts separately.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from heapq import nlargest, nsmallest
from ipaddress import AddressValueError, IPv6Address
from itertools import count
from math import ceil
from operator import attrgetter
from time import monotonic
from typing import Any, Literal, NamedTuple, Protocol

import psycopg
import structlog
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from api.fair_share import Bounds, Shares, fits
from api.http.problems import Problem, limit_reached, overloaded, rate_limited, unavailable
from infra.security.principal import Principal, Role
from infra.security.rates import Pace
from infra.settings import Settings
from infra.turns import ours

WHAT = "commands that take nothing"
_TOGETHER, _PROGRAMS = "users", "programs"  # no caller's name: those have a colon


class FreeWrites:
    """Counted when a command has been decided, asked before the next: what is on its way meanwhile may pass.

    A user's own token has a rate of its own, and all of an organisation's users have one together, which stops only
    those who have spent something of it. The organisation's workers, administrators and API keys have one together, for
    refused commands alone. The platform's administrators have none.
    """

    def __init__(self, settings: Settings) -> None:
        window_s = settings.rate_window_s
        self._user = _pace(settings.free_limit, window_s)
        self._users = _pace(settings.free_limit_users, window_s)
        self._programs = _pace(settings.free_limit_programs, window_s)
        self._any = False  # whether anything was ever counted: until then there is nothing to look at

    def check(self, principal: Principal, org: str) -> None:
        """Raises Problem (429) for a caller who has sent too many."""
        if not self._any:
            return
        role = principal.role
        if role is Role.USER:
            own = (org, principal.actor)
            _within(self._user, own)
            if self._user is None or self._user.has_spent(own):
                _within(self._users, (org, _TOGETHER))
        elif role is not Role.ADMIN:
            _within(self._programs, (org, _PROGRAMS))

    def count(self, principal: Principal, org: str) -> None:
        """Note one that was refused."""
        self._any = True
        role = principal.role
        if role is Role.USER:
            _spend(self._user, (org, principal.actor))
            _spend(self._users, (org, _TOGETHER))
        elif role is not Role.ADMIN:
            _spend(self._programs, (org, _PROGRAMS))

    def count_accepted(self, principal: Principal, org: str) -> None:
        """Note one that was accepted and took nothing: only a user's own counts."""
        if principal.role is Role.USER:
            self.count(principal, org)


def _pace(limit: int, window_s: int) -> Pace | None:
    return Pace(limit, window_s) if limit else None


def _spend(pace: Pace | None, key: tuple[str, str]) -> None:
    if pace is not None:
        pace.spend(key)


def _within(pace: Pace | None, key: tuple[str, str]) -> None:
    wait_s = pace.wait_s(key) if pace is not None else 0.0
    if pace is not None and wait_s:
        raise _too_many(pace, wait_s)


def _too_many(pace: Pace, wait_s: float) -> Problem:
    return rate_limited(max(1, ceil(wait_s)), pace.limit, pace.window_s, WHAT)


FOLDS = 12  # in this process,

FOLDS_OF_ORG = 4  # of one organisation,

FOLDS_OF_LOGIN = 2  # and of one login

FOLD_S = 10.0  # for one

FOLDS_RETRY_AFTER_S = 1


def _bounds_of_folds() -> Bounds:
    detail = "One {whose} may have {most} answers from the past made at a time."
    return Bounds(FOLDS_OF_LOGIN, FOLDS_OF_ORG, FOLDS, "too_many_past_answers", detail, FOLDS_RETRY_AFTER_S)


class FoldsRoom:
    """Made once for each process."""

    def __init__(self) -> None:
        self._shares = Shares(_bounds_of_folds)

    @property
    def used(self) -> int:
        """Answers that are made now."""
        return self._shares.taken

    @asynccontextmanager
    async def enter(self, org: str, login: str) -> AsyncIterator[None]:
        """For as long as a history is folded. Raises Problem: 429, 503 where there is no room, 503 after `FOLD_S`."""
        with self._shares.held(org, login):
            try:
                async with asyncio.timeout(FOLD_S):
                    yield
            except TimeoutError:
                raise unavailable() from None


DOCUMENTS = 10  # that are made or wait, in this process,

DOCUMENTS_OF_ORG = 4  # of one organisation,

DOCUMENTS_OF_LOGIN = 2  # and of one login

LITTLE_OF_DOCUMENTS = 1  # who has no more is served while others fill what all have

DOCUMENTS_RETRY_AFTER_S = 5


def _bounds_of_documents() -> Bounds:
    detail = "One {whose} may have {most} documents made at a time."
    return Bounds(
        *(DOCUMENTS_OF_LOGIN, DOCUMENTS_OF_ORG, DOCUMENTS), "too_many_documents", detail, DOCUMENTS_RETRY_AFTER_S,
        little_of_login=LITTLE_OF_DOCUMENTS, little_of_org=LITTLE_OF_DOCUMENTS,
    )  # fmt: skip


class DocumentsRoom:
    """Made once for each process; its thread starts with the first document and ends with the process."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="documents")
        self._shares = Shares(_bounds_of_documents)

    @property
    def waiting(self) -> int:
        """Documents that are made or wait."""
        return self._shares.taken

    async def make(self, org: str, login: str, document: Callable[[], bytes]) -> bytes:
        """What `document` returns, for a caller of `org`. Raises Problem (429, 503) where there is no room."""
        self._shares.take(org, login)
        making = asyncio.get_running_loop().run_in_executor(self._thread, document)
        # Not when the caller is answered: they may have gone, and the document is made to its end.
        making.add_done_callback(lambda _: self._shares.give_back(org, login))
        return await making

    def close(self) -> None:
        """Make none of those that wait."""
        self._thread.shutdown(wait=False, cancel_futures=True)


MAX_BYTES = 33_554_432  # of large bodies that are read or worked on, in this process,
MAX_OF_ORG = 16_777_216  # of one organisation,
MAX_OF_LOGIN = 8_388_608  # and of one login
LITTLE_OF_ORG, LITTLE_OF_LOGIN = 1_048_576, 262_144  # who has no more is served while others fill what all have

BODIES_RETRY_AFTER_S = 1

ROOM = "scrip.room"


class Room:
    """One request's part of it."""

    __slots__ = ("_all", "_taken", "login", "org")

    def __init__(self, all_: "LargeBodies") -> None:
        self._all, self._taken = all_, 0
        self.org = self.login = ""

    def look(self, announced: int) -> None:
        """Before a body of so many bytes is read. Raises Problem (429, 503) where there is no room for it now."""
        self._all.check(self.org, self.login, announced)

    def take(self, size: int) -> None:
        """Count a body of which `size` bytes have come so far. Raises Problem (429, 503) where there is no room."""
        self._all.take(self.org, self.login, size - self._taken)
        self._taken = size

    def leave(self) -> None:
        """At the request's end."""
        if self._taken:
            self._all.give_back(self.org, self.login, self._taken)
            self._taken = 0


def _bounds_of_bodies() -> Bounds:
    detail = "The requests of one {whose} may have {most:,} bytes of large bodies at a time."
    return Bounds(
        *(MAX_OF_LOGIN, MAX_OF_ORG, MAX_BYTES), "too_many_large_bodies", detail, BODIES_RETRY_AFTER_S,
        little_of_login=LITTLE_OF_LOGIN, little_of_org=LITTLE_OF_ORG,
    )  # fmt: skip


class LargeBodies(Shares):
    """The bytes of large bodies, until their requests are answered. Made once for each process."""

    def __init__(self) -> None:
        super().__init__(_bounds_of_bodies)


MAX_GROUPS = 10_000  # of an organisation
MOST_KNOWN = 20_000  # organisations whose room is known in this process
MOST_WAITING = 1_000  # organisations that wait to be counted; others are counted with a later command
FULL_FOR_S = 10.0  # an organisation that was full is not counted again before

_STREAMS = ("balances", "budgets", "storages", "groups", "members", "settings")
_COUNTED = " + ".join(
    f"(select count(*) from (select from read.{table} where org = %(org)s limit %(most)s) {table})"
    for table in _STREAMS
)
_GROUPS = "(select count(*) from (select from read.groups where org = %(org)s limit %(groups)s) counted)"
_COUNT = f"select {_COUNTED} as streams, {_GROUPS} as groups"
# Whether a command is about something that is there already, which needs no room.
_THERE = {
    "account": "select 1 from read.balances where org = %(org)s and address = %(id)s",
    "budget": "select 1 from read.budgets where org = %(org)s and user_id = %(id)s",
    "storage": "select 1 from read.storages where org = %(org)s and user_id = %(id)s",
    "group": "select 1 from read.groups where org = %(org)s and id = %(id)s",
    "user": "select 1 from read.settings where org = %(org)s and owner = 'user' and id = %(id)s",
    "model": "select 1 from read.settings where org = %(org)s and owner = 'model' and id = %(id)s",
}

log = structlog.get_logger()


class Begins(NamedTuple):
    """What a command may begin. `kind`: account, budget, storage, group, member, or user or model for their settings.

    `many`: how many of it.
    """

    kind: str
    id: str = ""
    many: int = 1


@dataclass(slots=True)
class _Room:
    """What was left when it was counted, and how much of it this process has used since."""

    streams: int
    groups: int
    at: float
    used: int = 0

    def left(self, kind: str) -> int:
        left = self.streams - self.used
        return min(left, self.groups - self.used) if kind == "group" else left

    def is_old(self, kind: str) -> bool:
        """Whether it must be counted again: other processes use the same room."""
        left = self.left(kind)
        return self.used > left // 10 if left > 0 else monotonic() - self.at > FULL_FOR_S


class StreamsRoom:
    """Counted in the read models, in the background, the more often the less is left: no request waits for it.

    So the bound holds about, not to the row: commands that come together may pass it, and so may what the read models
    do not show yet. `pool`: login scrip_auditor.
    """

    def __init__(self, pool: "AsyncConnectionPool[Any]", most: int) -> None:
        self._pool = pool
        self._most = most
        self._rooms: OrderedDict[str, _Room] = OrderedDict()
        self._counting: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()  # one count at a time: reads of the whole platform need connections too

    async def take(self, org: str, begins: Begins) -> None:
        """Let a command pass that may begin streams. Raises Problem (409) where there is no room for them."""
        kind = begins.kind
        room = self._rooms.get(org)
        if room is None or room.is_old(kind):
            self._count_soon(org)
        if room is None or room.left(kind) > 0:
            if room is not None:
                room.used += begins.many
            return
        try:
            if kind in _THERE and await self._is_there(org, kind, begins.id):
                return
        except (psycopg.Error, PoolTimeout, TooManyRequests):
            log.warning("whether there is room for a stream cannot be asked", kind=kind)
            return
        raise self._full(kind)

    def _count_soon(self, org: str) -> None:
        if org not in self._counting and len(self._counting) < MOST_WAITING:
            with ours("streams"):  # one is counted after the other: this one must not wait for its organisation's reads
                task = self._counting[org] = asyncio.create_task(self._count(org))
            task.add_done_callback(lambda _done: self._counting.pop(org, None))

    async def _count(self, org: str) -> None:
        asked = {"org": org, "most": self._most, "groups": MAX_GROUPS}
        try:
            async with self._turn, self._pool.connection() as connection:
                row = await (await connection.execute(_COUNT, asked)).fetchone()
        except (psycopg.Error, PoolTimeout, TooManyRequests) as error:
            log.warning("the streams of an organisation cannot be counted", error=type(error).__name__)
            return
        if row is not None:
            self._rooms[org] = _Room(self._most - row[0], MAX_GROUPS - row[1], monotonic())
            self._rooms.move_to_end(org)
            if len(self._rooms) > MOST_KNOWN:
                self._rooms.popitem(last=False)

    async def _is_there(self, org: str, kind: str, id_: str) -> bool:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_THERE[kind].encode(), {"org": org, "id": id_})
            return await cursor.fetchone() is not None

    def _full(self, kind: str) -> Problem:
        what = "accounts, budgets, storages, groups, members and settings of users and models"
        detail = f"An organisation may have {self._most:,} {what} together."
        if kind == "group":
            detail = f"An organisation may have {MAX_GROUPS:,} groups. {detail}"
        limit = MAX_GROUPS if kind == "group" else self._most
        return Problem(409, "organisation_full", detail, limit=limit)


GIVING_WAY = 64  # connections closed at once when there is no room: looking for them costs a look at all
OF_ONE = 2  # one address may have this part of the memory: one half
LITTLE = 65_536  # bytes: who has no more is served while others fill the memory
FAR_MORE = 2  # only who has so many times as much is cut for another: two alike would cut each other for ever
MOST_CUT = 8  # addresses looked at to make room for one
RETRY_AFTER_S = 5

Kind = Literal["held", "unread"]  # what is kept: of requests, and of answers that wait for their reader


class Guest:
    """An address: how many connections it has, and the bytes kept of what it sent and of what it has not read.

    Behind a trusted proxy it is a single connection.
    """

    __slots__ = ("connections", "held", "host", "unread")

    def __init__(self, host: str) -> None:
        self.host, self.connections, self.held, self.unread = host, 0, 0, 0


class Member(Protocol):
    """A connection, as the crowd sees it."""

    guest: Guest

    @property
    def waiting_since(self) -> float | None:
        """Since when it has waited for a request or the rest of one, by the loop's clock; None while it has one."""

    def give_way(self) -> None:
        """Close: its place is needed."""

    def kept(self, kind: Kind) -> int:
        """Bytes that it would let go when it is cut: not those of a request that came whole and is being answered."""

    def cut(self, kind: Kind) -> None:
        """Let go of them at once, and end: their room is needed."""


class Crowd:
    """All connections of a process. `most_of_one` is 0 behind a trusted proxy: no limits by address.

    `memory`: bytes that may be kept for all; as many again for answers that are not read. Half as much again is kept
    for those who have little.
    """

    def __init__(self, most: int, most_of_one: int, memory: int) -> None:
        self.most, self.most_of_one, self.memory = most, most_of_one, memory
        self.memory_of_one = memory // OF_ONE if most_of_one else memory
        self.members: Collection[Member] = ()
        self.count = 0
        self.refused = {"address": 0, "total": 0, "memory": 0, "unread": 0}
        self.held = 0
        self.unread = 0
        self._leaving = 0  # of `count`: closed by us to make room, not yet gone
        self._guests: dict[str, Guest] = {}
        self._numbers = count()

    def enter(self, host: str) -> Guest:
        """Count a new connection. Raises Problem (429 for one address, 503 for all)."""
        name = _network(host) if self.most_of_one else str(next(self._numbers))
        guest = self._guests.get(name)
        if guest is not None and self.most_of_one and guest.connections >= self.most_of_one:
            self.refused["address"] += 1
            detail = f"One address may have {self.most_of_one} connections at a time."
            raise limit_reached("too_many_connections", detail, self.most_of_one, RETRY_AFTER_S)
        if self.count - self._leaving >= self.most and not self._make_room():
            self.refused["total"] += 1
            raise overloaded()
        if guest is None:
            guest = self._guests[name] = Guest(name)
        guest.connections += 1
        self.count += 1
        return guest

    def leave(self, guest: Guest, *, gave_way: bool) -> None:
        """A connection has ended."""
        self.count -= 1
        self._leaving -= gave_way
        guest.connections -= 1
        if not guest.connections:
            self._guests.pop(guest.host, None)

    def hold(self, guest: Guest, size: int) -> bool:
        """Count `size` bytes of requests, less than zero when they are let go. Whether there is memory for them."""
        guest.held += size
        self.held += size
        if size <= 0 or (guest.held <= self.memory_of_one and self.held <= self.memory):
            return True
        return self._has_room("held", guest)

    def keep_unread(self, guest: Guest, size: int) -> bool:
        """The same for answers that wait for their reader."""
        guest.unread += size
        self.unread += size
        if size <= 0 or (guest.unread <= self.memory_of_one and self.unread <= self.memory):
            return True
        return self._has_room("unread", guest)

    def _has_room(self, kind: Kind, guest: Guest) -> bool:
        """The memory is full: whether it has room all the same, if need be by cutting those that have far more."""
        of = attrgetter(kind)
        own = of(guest)
        if own > self.memory_of_one:
            return False
        if fits(own, LITTLE, of(self), self.memory):
            return True
        for other in nlargest(MOST_CUT, self._guests.values(), key=of):
            if of(other) < own * FAR_MORE:
                break
            self._cut(kind, other)
            if fits(own, LITTLE, of(self), self.memory):
                return True
        return False

    def _cut(self, kind: Kind, guest: Guest) -> None:
        """Cut its connections, those that have the most first, until it has half of what it had."""
        half = getattr(guest, kind) // 2
        found = [(each.kept(kind), each) for each in self.members if each.guest is guest]
        for size, member in sorted(found, key=lambda each: -each[0]):
            if not size or getattr(guest, kind) <= half:
                return
            member.cut(kind)

    def _make_room(self) -> bool:
        """Close those that wait, first of the address that has the most, and the longest first."""
        waiting = [(each, since) for each in self.members if (since := each.waiting_since) is not None]
        found = nsmallest(GIVING_WAY, waiting, key=lambda each: (-each[0].guest.connections, each[1]))
        for member, _ in found:
            self._leaving += 1
            member.give_way()
        return bool(found)


def _network(host: str) -> str:
    """The address that is counted: of IPv6 the network of 64 bits, which is one customer's."""
    if ":" not in host:
        return host
    try:
        address = IPv6Address(host.partition("%")[0])
    except AddressValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return address.packed[:8].hex()
