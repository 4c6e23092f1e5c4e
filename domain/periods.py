"""Periods of the calendar in a time zone, and the 30-day cycles of plans. Pure; the zone rules come with `zoneinfo`."""

from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

NEVER = datetime.max.replace(tzinfo=UTC)
CYCLE = timedelta(days=30)  # S3: a plan's balances reset every 30 days


class Every(StrEnum):
    """How often the use of a limit is reset; `total`: never."""

    TOTAL = "total"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Period(NamedTuple):
    """From `start` until just before `end` (both UTC); `key` names it, for example `2026-03` or `2026-W09`."""

    key: str
    start: datetime
    end: datetime


def period_of(every: Every, now: datetime, zone: str, after: Period | None = None) -> Period:
    """The calendar's period at `now` in a time zone; `every` is not `total`. `now` is in it, whatever the zone does.

    `after` is the last period of the same kind, over by `now`: where the zone has changed (or a clock went back over
    midnight) so that the calendar would give the same one again, the next one begins at its end, so that no period
    ever starts twice. Raises zoneinfo.ZoneInfoNotFoundError for an unknown zone.
    """
    first = _first_day(every, now.astimezone(ZoneInfo(zone)).date())
    while (after is not None and _key(every, first) <= after.key) or _midnight(_next(every, first), zone) <= now:
        first = _next(every, first)
    start = _midnight(first, zone)
    if after is not None:
        start = after.end if start > now else max(start, after.end)
    return Period(_key(every, first), start, _midnight(_next(every, first), zone))


def cycle_at(anchor: datetime, now: datetime) -> int:
    """The number of the 30-day cycle at `now`, 0 for the first; its start is `anchor + number x 30 days`."""
    return max(0, (now - anchor) // CYCLE)


def refresh_date(anchor: datetime, cycle: int) -> datetime:
    """When a cycle ends and the next one begins."""
    return anchor + (cycle + 1) * CYCLE


def _first_day(every: Every, day: date) -> date:
    match every:
        case Every.WEEK:
            return day - timedelta(days=day.weekday())
        case Every.MONTH:
            return day.replace(day=1)
        case _:
            return day


def _next(every: Every, first: date) -> date:
    match every:
        case Every.WEEK:
            return first + timedelta(days=7)
        case Every.MONTH:
            return (first + timedelta(days=31)).replace(day=1)
        case _:
            return first + timedelta(days=1)


def _key(every: Every, first: date) -> str:
    match every:
        case Every.WEEK:
            year, week, _ = first.isocalendar()
            return f"{year}-W{week:02}"
        case Every.MONTH:
            return f"{first:%Y-%m}"
        case _:
            return first.isoformat()


def _midnight(day: date, zone: str) -> datetime:
    """The first moment of a day; where daylight saving skips midnight, the moment after the gap."""
    return datetime.combine(day, time.min, ZoneInfo(zone)).astimezone(UTC)
