"""The hash chain: what it covers, and that its bytes never change."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from infra.log.chain import GENESIS, link, link_of, microseconds
from infra.log.events import LedgerEvent

TIME = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
EVENT = LedgerEvent(
    3, 7, "acme", "account/user:ü:credits", 2, "credits-granted.v1", "grant/g-1", "user:t", TIME, b'{"data":1}', b""
)


def test_the_hash_is_the_same_for_ever() -> None:
    """A stored log cannot be hashed again: whoever changes this breaks every log there is."""
    assert link_of(GENESIS, EVENT).hex() == "d1656453a23357899e0c0ff4de6827201a72a77e4f34c0d5f3e17ef381119711"
    assert len(GENESIS) == 32


def test_both_ways_to_ask_for_it_agree() -> None:
    assert link_of(GENESIS, EVENT) == link(
        GENESIS, 3, 7, "acme", EVENT.stream, 2, "credits-granted.v1", microseconds(TIME), b'{"data":1}'
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"partition": 4},
        {"position": 8},
        {"org": "acmf"},
        {"stream": "account/user:u:credits"},
        {"version": 3},
        {"type": "credits-granted.v2"},
        {"time": TIME + timedelta(microseconds=1)},
        {"data": b'{"data":2}'},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_every_part_is_covered(changed: dict[str, object]) -> None:
    assert link_of(GENESIS, EVENT._replace(**changed)) != link_of(GENESIS, EVENT)  # type: ignore[arg-type]


def test_the_hash_before_is_covered() -> None:
    assert link_of(bytes([1, *bytes(31)]), EVENT) != link_of(GENESIS, EVENT)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"org": "a|1:b", "stream": "c"}, {"org": "a", "stream": "b|1:c"}),
        ({"org": "ab", "stream": "c"}, {"org": "a", "stream": "bc"}),
        ({"partition": 1, "position": 11}, {"partition": 11, "position": 1}),
        ({"stream": "s", "version": 12, "type": "t"}, {"stream": "s", "version": 1, "type": "2|t"}),
    ],
)
def test_no_two_events_have_the_same_input(one: dict[str, object], other: dict[str, object]) -> None:
    assert link_of(GENESIS, EVENT._replace(**one)) != link_of(GENESIS, EVENT._replace(**other))  # type: ignore[arg-type]


def test_a_moment_is_the_same_number_in_every_zone() -> None:
    assert microseconds(TIME) == 1_772_366_400_123_456
    assert microseconds(TIME.astimezone(timezone(timedelta(hours=5, minutes=30)))) == microseconds(TIME)
    assert microseconds(datetime(1970, 1, 1, tzinfo=UTC)) == 0
    assert microseconds(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == 253_402_300_799_999_999
