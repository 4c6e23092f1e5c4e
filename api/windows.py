"""Times that reports and lists are asked for: half open, in whole days of the organisation or exact to the instant."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from api.http.caller import Call
from api.problems import invalid
from api.reading import between
from projections.usage import QUARTER, quarter

MAX_DAYS = 800
MAX_HOUR_DAYS = 31  # of buckets of an hour
Bucket = Literal["day", "week", "month"]
FineBucket = Literal["hour", "day", "week", "month"]

_ZONE = """
    select coalesce((select time_zone from read.organisations where org = %(org)s), 'UTC') as zone,
        scrip_now() as now"""


class Window(NamedTuple):
    """From `start` until just before `end`, whole quarters of an hour; days are those of `zone`."""

    start: datetime
    end: datetime
    zone: ZoneInfo

    @property
    def first(self) -> date:
        """The day in which it starts."""
        return self.start.astimezone(self.zone).date()

    @property
    def last(self) -> date:
        """The day after the one in which it ends."""
        before = max(self.start, self.end - timedelta(microseconds=1))
        return before.astimezone(self.zone).date() + timedelta(days=1)

    def day(self, at: datetime) -> date:
        """The day of the organisation that a moment is in."""
        return at.astimezone(self.zone).date()

    def buckets(self, bucket: FineBucket) -> list[tuple[date | datetime, datetime]]:
        """Name and start of each part, in order; the first may start before its name's day or hour is whole.

        A part is named after its first day, an hour after its start with the zone's offset. Days of a change of clocks
        have 23 or 25 hours, and an hour that comes twice is two.
        """
        if bucket == "hour":
            return self._hours()
        named: dict[date, datetime] = {}
        for number in range((self.last - self.first).days):
            day = self.first + timedelta(days=number)
            named.setdefault(first_day(day, bucket), max(self.start, midnight(day, self.zone)))
        return [*named.items()]

    def _hours(self) -> list[tuple[date | datetime, datetime]]:
        hours: list[tuple[date | datetime, datetime]] = []
        at = self.start
        while at < self.end:
            local = at.astimezone(self.zone)
            hours.append((local.replace(minute=0), at))
            at += timedelta(hours=1) - timedelta(minutes=local.minute)
        return hours

    def told(self) -> dict[str, object]:
        """What an answer says of it: its days, its instants, and whose days they are."""
        return {
            "from": self.first,
            "to": self.last,
            "starts_at": self.start,
            "ends_at": self.end,
            "time_zone": self.zone.key,
        }


async def window(
    call: Call,
    from_: date | None,
    to: date | None,
    *,
    days: int,
    most: int = MAX_DAYS,
) -> Window:
    """What a report is asked for; `days` before `to` by default, and until the end of the organisation's day.

    A day stands for its first moment in the organisation's time zone. Raises Problem (422) for a time that is not at a
    quarter of an hour, because use is kept by those, for an end before the start, and for more than `most` days.
    """
    (row,) = await call.services.rows(_ZONE, {"org": call.org})
    zone = ZoneInfo(row["zone"])
    end = _instant("to", to, zone) if to else midnight(row["now"].astimezone(zone).date() + timedelta(days=1), zone)
    start = _instant("from", from_, zone) if from_ else _earlier(end, days, zone)
    between(start, end)
    if end - start > timedelta(days=most, hours=1):  # an hour more, where clocks were put back
        raise invalid("from", f"must not be more than {most} days before to", limit=most)
    return Window(start, end, zone)


async def moments(call: Call, from_: date | None, to: date | None) -> tuple[datetime | None, datetime | None]:
    """The instants of a list's `from` and `to`; a day stands for its first moment in the organisation's time zone.

    Raises Problem (422) for an end before the start.
    """
    zone = ZoneInfo("UTC")
    if any(when is not None and not isinstance(when, datetime) for when in (from_, to)):
        (row,) = await call.services.rows(_ZONE, {"org": call.org})
        zone = ZoneInfo(row["zone"])
    found = tuple(None if when is None else _moment(when, zone) for when in (from_, to))
    between(*found)
    return found[0], found[1]


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of a day (UTC); where daylight saving skips midnight, the moment after the gap."""
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def first_day(day: date, bucket: str) -> date:
    """The first day of a day's week (a Monday) or month; of `day` itself."""
    if bucket == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if bucket == "month" else day


def _moment(when: date, zone: ZoneInfo) -> datetime:
    return when.astimezone(UTC) if isinstance(when, datetime) else midnight(when, zone)


def _instant(name: str, when: date, zone: ZoneInfo) -> datetime:
    moment = _moment(when, zone)
    if moment != quarter(moment):
        nearest = quarter(moment + QUARTER / 2).isoformat().replace("+00:00", "Z")
        day = moment.astimezone(zone).date()
        raise invalid(name, f"must be at a quarter of an hour, for example {nearest}, or a day such as {day}")
    return moment


def _earlier(end: datetime, days: int, zone: ZoneInfo) -> datetime:
    """The same time of the day so many days before."""
    return (end.astimezone(zone) - timedelta(days=days)).astimezone(UTC)
