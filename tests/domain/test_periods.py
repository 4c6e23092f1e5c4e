"""Calendar periods: every one starts once, without gaps or overlaps, whatever the clocks and the time zone do."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from domain.periods import CYCLE, Every, Period, cycle_at, period_of, refresh_date

MOMENT = timedelta(microseconds=1)
ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Pacific/Auckland")
# Where the clock strikes midnight twice, or never.
ODD_ZONES = ("America/Sao_Paulo", "Asia/Beirut", "America/Havana", "Atlantic/Azores")
CALENDAR = (Every.DAY, Every.WEEK, Every.MONTH)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def chain(every: Every, start: datetime, end: datetime, zone: str) -> list[Period]:
    """The periods from `start` until `end`, each looked up at the moment when the one before it ends."""
    found = [period_of(every, start, zone)]
    while found[-1].end < end:
        found.append(period_of(every, found[-1].end, zone))
    return found


@pytest.mark.parametrize("zone", [*ZONES, *ODD_ZONES])
@pytest.mark.parametrize(("every", "count"), [(Every.DAY, 365), (Every.WEEK, 53), (Every.MONTH, 12)])
@pytest.mark.parametrize("year", [2018, 2026])
def test_s2_twelve_months_have_every_period_once(year: int, every: Every, count: int, zone: str) -> None:
    """S2-4: a new month starts a new period; twelve months with daylight saving have no gap and no overlap."""
    local = ZoneInfo(zone)
    periods = chain(every, datetime(year, 1, 1, tzinfo=local), datetime(year + 1, 1, 1, tzinfo=local), zone)
    assert len(periods) == count
    assert len({period.key for period in periods}) == count
    for before, after in pairwise(periods):
        assert before.end == after.start
        assert before.key < after.key
    for period in periods:
        assert period_of(every, period.end - MOMENT, zone) == period
        assert period_of(every, period.start, zone) == period
        first, last = period.start.astimezone(local), (period.end - MOMENT).astimezone(local)
        assert (first - MOMENT).astimezone(local).date() <= first.date() <= last.date()
        assert _days(every, first) == (last.date() - first.date()).days + 1


def _days(every: Every, first: datetime) -> int:
    if every is Every.MONTH:
        return ((first.date().replace(day=28) + timedelta(days=4)).replace(day=1) - first.date()).days
    return {Every.DAY: 1, Every.WEEK: 7}[every]


@pytest.mark.parametrize(
    ("every", "now", "zone", "key", "start", "end"),
    [
        (Every.MONTH, "2026-03-31T23:30", "UTC", "2026-03", "2026-03-01T00:00", "2026-04-01T00:00"),
        (Every.MONTH, "2026-03-31T23:30", "America/New_York", "2026-03", "2026-03-01T05:00", "2026-04-01T04:00"),
        (Every.MONTH, "2026-03-31T23:30", "Europe/Berlin", "2026-04", "2026-03-31T22:00", "2026-04-30T22:00"),
        (Every.MONTH, "2026-03-31T23:30", "Pacific/Auckland", "2026-04", "2026-03-31T11:00", "2026-04-30T12:00"),
        (Every.DAY, "2026-03-29T12:00", "Europe/Berlin", "2026-03-29", "2026-03-28T23:00", "2026-03-29T22:00"),
        (Every.DAY, "2026-10-25T12:00", "Europe/Berlin", "2026-10-25", "2026-10-24T22:00", "2026-10-25T23:00"),
        # Midnight is skipped: the day begins at one o'clock.
        (Every.DAY, "2026-03-29T12:00", "Asia/Beirut", "2026-03-29", "2026-03-28T22:00", "2026-03-29T21:00"),
        (Every.DAY, "2018-11-04T12:00", "America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00", "2018-11-05T02:00"),
        # Midnight comes twice: the day begins with the first.
        (Every.DAY, "2026-11-01T12:00", "America/Havana", "2026-11-01", "2026-11-01T04:00", "2026-11-02T05:00"),
        # The week of the first Thursday, as ISO 8601 has it.
        (Every.WEEK, "2027-01-01T12:00", "UTC", "2026-W53", "2026-12-28T00:00", "2027-01-04T00:00"),
        (Every.WEEK, "2027-01-04T00:00", "UTC", "2027-W01", "2027-01-04T00:00", "2027-01-11T00:00"),
        # A day that a country left out when it crossed the date line: the next period begins at once.
        (Every.DAY, "2011-12-30T10:00", "Pacific/Apia", "2011-12-31", "2011-12-30T10:00", "2011-12-31T10:00"),
    ],
)
def test_a_period_by_the_calendar(every: Every, now: str, zone: str, key: str, start: str, end: str) -> None:
    assert period_of(every, utc(now), zone) == Period(key, utc(start), utc(end))


def test_a_clock_that_goes_back_over_midnight_repeats_no_day() -> None:
    """In Newfoundland, 00:01 on 7 November 2010 became 23:01 on the 6th; that hour belongs to the 7th."""
    sixth = period_of(Every.DAY, utc("2010-11-06T12:00"), "America/St_Johns")
    assert sixth.end == utc("2010-11-07T02:30")
    again = utc("2010-11-07T03:00")
    assert again.astimezone(ZoneInfo("America/St_Johns")).day == 6
    seventh = Period("2010-11-07", sixth.end, utc("2010-11-08T03:30"))
    assert period_of(Every.DAY, again, "America/St_Johns") == seventh
    assert period_of(Every.DAY, again, "America/St_Johns", sixth) == seventh


def test_s2_moving_west_does_not_start_the_same_month_again() -> None:
    """March was over in Auckland; New York still has it, but April has begun for this organisation."""
    march = period_of(Every.MONTH, utc("2026-03-15T00:00"), "Pacific/Auckland")
    april = period_of(Every.MONTH, utc("2026-03-31T12:00"), "America/New_York", march)
    assert april == Period("2026-04", march.end, utc("2026-05-01T04:00"))


def test_s2_moving_east_begins_when_the_old_month_ended() -> None:
    """April has long begun in Auckland when New York's March ends: it begins then, for there was March before."""
    march = period_of(Every.MONTH, utc("2026-03-15T00:00"), "America/New_York")
    april = period_of(Every.MONTH, utc("2026-04-01T05:00"), "Pacific/Auckland", march)
    assert april == Period("2026-04", utc("2026-04-01T04:00"), utc("2026-04-30T12:00"))


def test_after_a_silence_the_period_is_the_calendars() -> None:
    march = period_of(Every.MONTH, utc("2026-03-15T00:00"), "UTC")
    assert period_of(Every.MONTH, utc("2026-07-04T00:00"), "UTC", march) == Period(
        "2026-07", utc("2026-07-01T00:00"), utc("2026-08-01T00:00")
    )


def test_an_unknown_zone_is_an_error() -> None:
    with pytest.raises(ZoneInfoNotFoundError):
        period_of(Every.DAY, utc("2026-03-15T00:00"), "Europe/Atlantis")


@for_all(
    every=st.sampled_from(CALENDAR),
    start=st.datetimes(datetime(2010, 1, 1), datetime(2026, 12, 31)),  # noqa: DTZ001 - the strategy adds the zone
    steps=st.lists(
        st.tuples(
            st.integers(0, 40 * 24 * 3600),
            st.sampled_from((*ZONES, *ODD_ZONES, "America/St_Johns", "Pacific/Apia", "Pacific/Kiritimati")),
        ),
        min_size=1,
        max_size=40,
    ),
)
def test_periods_start_once_whatever_the_zone_changes_to(
    every: Every, start: datetime, steps: list[tuple[int, str]]
) -> None:
    """S2-4: used at any moments, in any zones, each period contains its moment and follows the one before it."""
    now, last = start.replace(tzinfo=UTC), None
    for seconds, zone in steps:
        now += timedelta(seconds=seconds)
        if last is not None and now < last.end:
            continue  # it still runs; what runs is not touched by a new zone
        period = period_of(every, now, zone, last)
        assert period.start <= now < period.end
        if last is not None:
            assert period.start >= last.end
            assert period.key > last.key
        last = period


@pytest.mark.parametrize(("days", "cycle"), [(-1, 0), (0, 0), (29, 0), (30, 1), (59, 1), (60, 2), (3650, 121)])
def test_s3_cycles_are_thirty_days(days: int, cycle: int) -> None:
    """S3-3."""
    anchor = utc("2026-01-31T09:00")
    assert cycle_at(anchor, anchor + timedelta(days=days)) == cycle
    assert refresh_date(anchor, cycle) == anchor + (cycle + 1) * CYCLE
