"""How many accounts, budgets, storages, groups, members and settings an organisation may have: each stays for ever."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple

import psycopg
import structlog
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from api.problems import Problem
from infra.turns import ours

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
