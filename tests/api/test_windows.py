"""The times of reports: parts of a window that lie side by side, by the organisation's own clock."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo

import pytest

from api.http.lists import FineBucket, Window, midnight

ZONES = ("UTC", "Asia/Kathmandu", "Asia/Kolkata", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe")
QUARTER = timedelta(minutes=15)


def of_days(zone: str, first: date, last: date) -> Window:
    return Window(midnight(first, ZoneInfo(zone)), midnight(last, ZoneInfo(zone)), ZoneInfo(zone))


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("bucket", ["hour", "day", "week", "month"])
def test_every_moment_of_a_window_is_in_one_part_of_its_own_name(zone: str, bucket: FineBucket) -> None:
    random = Random(f"{zone} {bucket}")
    for _ in range(20):
        start = datetime(2026, 1, 1, tzinfo=UTC) + QUARTER * random.randrange(4 * 24 * 360)
        window = Window(start, start + QUARTER * random.randrange(1, 4 * 24 * 30), ZoneInfo(zone))
        parts = window.buckets(bucket)
        starts = [at for _, at in parts]
        assert starts[0] == window.start
        assert all(one < other for one, other in pairwise(starts))
        assert len({str(name) for name, _ in parts}) == len(parts)
        for (name, at), end in zip(parts, [*starts[1:], window.end], strict=True):
            local = (at.astimezone(window.zone), (end - QUARTER).astimezone(window.zone))
            if bucket == "day":
                assert {each.date() for each in local} == {name}
            elif bucket == "hour":
                assert {each.hour for each in local} == {name.hour}  # type: ignore[union-attr]
            else:
                assert name <= local[0].date() <= local[1].date()


def test_days_of_a_change_of_clocks_have_23_and_25_hours() -> None:
    for day, hours in ((date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 6, 1), 24)):
        window = of_days("Europe/Berlin", day, day + timedelta(days=1))
        assert len(window.buckets("hour")) == hours
        assert window.buckets("day") == [(day, window.start)]
    autumn = of_days("Europe/Berlin", date(2026, 10, 25), date(2026, 10, 26)).buckets("hour")
    twice = [name.isoformat() for name, _ in autumn if isinstance(name, datetime) and name.hour == 2]
    assert twice == ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"]


def test_a_day_without_midnight_begins_after_the_gap() -> None:
    """In Havana clocks go from 24:00 to 1:00."""
    window = of_days("America/Havana", date(2026, 3, 7), date(2026, 3, 10))
    assert [at.isoformat()[:16] for _, at in window.buckets("day")] == [
        "2026-03-07T05:00", "2026-03-08T05:00", "2026-03-09T04:00",
    ]  # fmt: skip
    assert (window.first, window.last) == (date(2026, 3, 7), date(2026, 3, 10))
