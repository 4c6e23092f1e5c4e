"""How much of the service's memory, threads and streams callers may take."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import ceil
from time import monotonic
from typing import Any, NamedTuple

import psycopg
import structlog
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from api.fair_share import Bounds, Shares
from api.http.problems import Problem, rate_limited, unavailable
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
        """Whether it must be counted anew: other processes use the same room."""
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
