"""One look for alerts: what changed, which rules it crosses, all in one transaction with how far it has looked."""

import json
from collections import defaultdict
from datetime import UTC, datetime, time, timedelta
from time import monotonic
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import psycopg

from consumers.notifier.rules import BY_CHANGE, EXPIRING_BY_TIME, EXPIRING_DAYS, REFUSED_DEDUCTIONS, SPIKES, Query
from infra.alerts import Crossing, raise_alerts

NAME = "alerts"
BY_TIME_EVERY_S = 60.0
FIRST_LOOK_BACK = timedelta(days=1)
MOST_BUSY = 50_000  # organisations kept in memory for the next look by time

_TIMES = """
    select scrip_now(), (select at from notifier_times where name = %s)"""
_ZONES = "select org, time_zone from read.organisations where org = any(%s)"
_LOOKED = """
    insert into notifier_times (name, at) values (%s, %s) on conflict (name) do update set at = excluded.at"""

MOST = 5_000  # events of a partition in one look

# The views and the log are read by one statement, so that no event is passed before the read models have it.
_AHEAD = """
    select c.partition, coalesce(p.position, 0), least(c.position, coalesce(p.position, 0) + %(most)s)
    from read.checkpoints c left join notifier_positions p on p.name = %(name)s and p.partition = c.partition
    where c.position > coalesce(p.position, 0)"""
# With a limit, so that no plan reads the whole log for these few.
_STREAMS = f"""
    select distinct e.org, e.stream from unnest(%b::smallint[], %b::bigint[], %b::bigint[]) as w (partition, past, upto)
    cross join lateral (
        select org, stream from events where partition = w.partition and position > w.past and position <= w.upto
        order by position limit {MOST}
    ) e"""
_ADVANCE = """
    insert into notifier_positions (name, partition, position)
    select %b, * from unnest(%b::smallint[], %b::bigint[])
    on conflict (name, partition) do update set position = excluded.position
    where notifier_positions.position < excluded.position"""

Connection = psycopg.AsyncConnection[Any]


class Part(NamedTuple):
    """Positions of one partition: those after `past`, up to and including `upto`."""

    partition: int
    past: int
    upto: int


class Names(NamedTuple):
    """Things of one kind in several organisations: two lists of one length."""

    orgs: list[str]
    ids: list[str]


async def ahead(connection: "Connection", name: str) -> list[Part]:
    """What lies between the position kept under `name` and that of the read models; nothing where they are equal."""
    cursor = await connection.execute(_AHEAD, {"name": name, "most": MOST})
    return [Part(*row) for row in await cursor.fetchall()]


async def changed_streams(connection: "Connection", parts: list[Part]) -> dict[str, Names]:
    """The streams that have events in these parts of the log, each once, by kind (`account`, `budget`, …)."""
    found: dict[str, Names] = defaultdict(lambda: Names([], []))
    cursor = await connection.execute(_STREAMS, _columns(parts))
    for org, stream in await cursor.fetchall():
        kind, _, id_ = stream.partition("/")
        found[kind].orgs.append(org)
        found[kind].ids.append(id_)
    return found


async def advance(connection: "Connection", name: str, parts: list[Part]) -> None:
    """Keep under `name` that these parts are dealt with."""
    if parts:
        partitions, _, upto = _columns(parts)
        await connection.execute(_ADVANCE, (name, partitions, upto))


def _columns(parts: list[Part]) -> tuple[list[int], list[int], list[int]]:
    return [part.partition for part in parts], [part.past for part in parts], [part.upto for part in parts]


class Engine:
    """Looks again and again. `raised` counts alerts. One is `active` at a time in a deployment (see the role)."""

    def __init__(self) -> None:
        self._busy: set[str] = set()  # organisations that used something since the last look by time
        self._timed_at: float | None = None
        self.raised = 0
        self.active = False

    async def look(self, connection: "Connection") -> bool:
        """Raise what was crossed since the last look; whether there is more to look at already.

        Raises psycopg.Error, and then nothing has changed: the next look sees the same.
        """
        async with connection.transaction():
            parts = await ahead(connection, NAME)
            raised = 0
            if parts:
                changed = await changed_streams(connection, parts)
                for query in BY_CHANGE:
                    if query.kind in changed:
                        orgs, ids = changed[query.kind]
                        raised += await _ask(connection, query, {"orgs": orgs, "ids": ids})
                await advance(connection, NAME, parts)
                if "account" in changed and len(self._busy) < MOST_BUSY:
                    self._busy.update(changed["account"].orgs)  # whatever way it was charged
            due = self._timed_at is None or monotonic() - self._timed_at >= BY_TIME_EVERY_S
            if due:
                raised += await _by_time(connection, sorted(self._busy))
        if due:
            self._busy.clear()
            self._timed_at = monotonic()
        self.raised += raised
        return bool(parts)


async def _by_time(connection: "Connection", busy: list[str]) -> int:
    row = await (await connection.execute(_TIMES, (NAME,))).fetchone()
    if row is None:
        raise AssertionError("a select of constants returns a row")
    now: datetime = row[0]
    past: datetime = row[1] or now - FIRST_LOOK_BACK
    raised = await _ask(connection, REFUSED_DEDUCTIONS, {"now": now})
    today = await _today(connection, busy, now)
    for spike in SPIKES:
        raised += await _ask(connection, spike, today)
    for (number,) in await (await connection.execute(EXPIRING_DAYS.encode())).fetchall():
        days = timedelta(days=number)
        raised += await _ask(connection, EXPIRING_BY_TIME, {"now": now, "after": past + days, "upto": now + days})
    await connection.execute(_LOOKED, (NAME, now))
    return raised


async def _today(connection: "Connection", orgs: list[str], now: datetime) -> dict[str, Any]:
    """The day of today in each organisation's time zone, and when it began."""
    zones = dict(await (await connection.execute(_ZONES, (orgs,))).fetchall())
    days, starts = [], []
    for org in orgs:
        zone = ZoneInfo(zones.get(org, "UTC"))
        day = now.astimezone(zone).date()
        days.append(day)
        starts.append(datetime.combine(day, time.min, zone).astimezone(UTC))
    return {"orgs": orgs, "days": days, "starts": starts}


async def _ask(connection: "Connection", query: Query, parameters: dict[str, Any]) -> int:
    """Raise the alerts of what a query finds; how many are new."""
    used = {name: value for name, value in parameters.items() if f"%({name})s" in query.sql}
    if "%(now)s" in query.sql and "now" not in used:
        row = await (await connection.execute("select scrip_now()")).fetchone()
        used["now"] = row and row[0]
    found = await (await connection.execute(query.sql.encode(), used)).fetchall()
    crossings = []
    for org, key, subject, user, severity, stored in found:
        facts: dict[str, Any] = json.loads(stored) if isinstance(stored, str) else stored
        crossings.append(Crossing(query.rule, severity, org, key, subject, user, query.sentence(facts), facts))
    return await raise_alerts(connection, crossings)
