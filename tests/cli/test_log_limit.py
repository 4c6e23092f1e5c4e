"""Lines that a caller causes are bounded: so many a minute of each kind, and a count of the rest."""

from cli.role_log import MOST_KINDS, Kind, LineLimit
from tests.waiting import wait_until

DENIED: Kind = ("api", "denied", "ann")


def test_lines_beyond_the_limit_are_counted() -> None:
    told: list[tuple[Kind, int]] = []
    limit = LineLimit(3, lambda kind, count: told.append((kind, count)))
    assert [limit.allows(DENIED) for _ in range(5)] == [True, True, True, False, False]
    assert limit.allows(("api", "denied", "ben"))  # another caller's lines are not in its way
    limit.tell_left_out()
    assert told == [(DENIED, 2)]
    assert limit.allows(DENIED)
    limit.tell_left_out()
    assert told == [(DENIED, 2)]


def test_the_count_is_told_without_a_further_line() -> None:
    told: list[tuple[Kind, int]] = []
    limit = LineLimit(1, lambda kind, count: told.append((kind, count)), window_s=0.05)
    limit.allows(DENIED)
    assert not limit.allows(DENIED)
    wait_until(lambda: told == [(DENIED, 1)], 10, "the count")


def test_a_new_minute_has_its_own_lines() -> None:
    limit = LineLimit(1, lambda _kind, _count: None, window_s=0.02)
    assert limit.allows(DENIED)
    wait_until(lambda: limit.allows(DENIED), 10, "the next window")


def test_kinds_without_number_share_one_limit() -> None:
    told: list[tuple[Kind, int]] = []
    limit = LineLimit(1, lambda kind, count: told.append((kind, count)))
    allowed = [limit.allows(("api", f"text {number}", "")) for number in range(MOST_KINDS * 2)]
    assert allowed.count(True) == MOST_KINDS + 1
    assert len(limit._windows) <= MOST_KINDS + 1
    limit.tell_left_out()
    assert told == [(("", "other lines", ""), MOST_KINDS - 1)]
