"""One look for alerts: what changed, which rules it crosses, all in one transaction with how far it has looked."""

import json
from datetime import UTC, datetime, time, timedelta
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from consumers.notifier.rules import BY_CHANGE, EXPIRING_BY_TIME, EXPIRING_DAYS, REFUSED_DEDUCTIONS, SPIKES, Query
from consumers.notifier.touched import Touched, advance, ahead, touched_in
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

Connection = psycopg.AsyncConnection[Any]


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
                touched = await touched_in(connection, parts)
                raised += await _by_change(connection, touched)
                await advance(connection, NAME, parts)
                if len(self._busy) < MOST_BUSY:
                    self._busy.update(touched.names("account").orgs)  # whatever way it was charged
            due = self._timed_at is None or monotonic() - self._timed_at >= BY_TIME_EVERY_S
            if due:
                raised += await _by_time(connection, sorted(self._busy))
        if due:
            self._busy.clear()
            self._timed_at = monotonic()
        self.raised += raised
        return bool(parts)


async def _by_change(connection: "Connection", touched: Touched) -> int:
    raised = 0
    for query in BY_CHANGE:
        names = touched.names(query.kind)
        if names.orgs:
            raised += await _ask(connection, query, {"orgs": names.orgs, "ids": names.ids})
    return raised


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
    if "%(now)s" in query.sql and "now" not in parameters:
        row = await (await connection.execute("select scrip_now()")).fetchone()
        parameters = {**parameters, "now": row and row[0]}
    used = {name: value for name, value in parameters.items() if f"%({name})s" in query.sql}
    cursor = await connection.execute(query.sql.encode(), used)
    return await raise_alerts(connection, [_crossing(query, row) for row in await cursor.fetchall()])


def _crossing(query: Query, row: tuple[Any, ...]) -> Crossing:
    org, key, subject, user, severity, facts = row
    told: dict[str, Any] = json.loads(facts) if isinstance(facts, str) else facts
    return Crossing(query.rule, severity, org, key, subject, user, query.sentence(told), told)
