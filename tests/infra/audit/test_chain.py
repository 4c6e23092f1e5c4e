"""Every change to the stored log is found, at the first row that it touches."""

import pytest

from infra.audit.report import Differs, Section
from infra.audit.store import one_moment
from infra.audit.verify import check_chain, hash_of
from infra.log.chain import link_of
from infra.log.postgres import PostgresLog
from tests.conftest import Database
from tests.infra.audit.tampering import Audited, busy_log


@pytest.fixture
def audited(database: Database) -> Audited:
    return Audited.of(database, busy_log(300))


def found(audited: Audited) -> Differs:
    with pytest.raises(Differs) as caught:
        check(audited)
    return caught.value


def check(audited: Audited) -> Section:
    section = Section("chain")
    with one_moment(audited.database.auditor_uri) as connection:
        check_chain(connection, audited.heads, section)
    return section


def test_an_honest_log_has_no_difference(audited: Audited) -> None:
    section = check(audited)
    with one_moment(audited.database.auditor_uri) as connection:
        assert PostgresLog.within(connection).heads() == audited.heads
    assert section.checked["events"] == len(audited.log.events) > 100
    assert section.checked["partitions"] == len({event.partition for event in audited.log.events})


def test_the_hash_is_that_of_the_writers() -> None:
    previous = bytes(range(32))
    for event in busy_log(20).events:
        assert hash_of(previous, *event[:5], event.type, event.time, event.data) == link_of(previous, event)
        previous = event.hash


@pytest.mark.parametrize("offset", [0, 1, -1], ids=["first", "middle", "last"])
def test_a_flipped_byte(audited: Audited, offset: int) -> None:
    events = audited.busiest
    victim = {0: events[0], 1: events[len(events) // 2], -1: events[-1]}[offset]
    audited.tamper(
        "update events set data = set_byte(data, 20, get_byte(data, 20) # 1) where partition = %s and position = %s",
        victim.partition,
        victim.position,
    )
    difference = found(audited)
    assert difference.where == f"hash of partition {victim.partition} position {victim.position}"
    assert difference.found == victim.hash.hex()


@pytest.mark.parametrize(
    "change",
    [
        "type = 'credits-debited.v2'",
        "stream = stream || 'x'",
        "version = version + 1000",
        "time = time + interval '1 microsecond'",
        "hash = sha256('forged')",
        "org = 'org-other'",
    ],
)
def test_a_changed_column(audited: Audited, change: str) -> None:
    victim = audited.busiest[30]
    audited.tamper(
        f"update events set {change} where partition = %s and position = %s",
        victim.partition,
        victim.position,
    )
    assert f"partition {victim.partition} position {victim.position}" in found(audited).where


def test_a_deleted_row(audited: Audited) -> None:
    victim = audited.busiest[30]
    audited.tamper("delete from events where partition = %s and position = %s", victim.partition, victim.position)
    difference = found(audited)
    assert difference.where == f"partition {victim.partition} position {victim.position}"
    assert difference.found == f"none before position {victim.position + 1}"


def test_a_deleted_end(audited: Audited) -> None:
    last = audited.busiest[-1]
    expected = audited.heads
    audited.tamper("delete from events where partition = %s and position = %s", last.partition, last.position)
    with one_moment(audited.database.auditor_uri) as connection, pytest.raises(Differs) as caught:
        check_chain(connection, expected, Section("chain"))
    assert (caught.value.where, caught.value.found) == (f"partition {last.partition}", f"{last.position - 1} events")


def test_two_rows_that_were_swapped(audited: Audited) -> None:
    one, other = audited.busiest[30:32]
    audited.tamper(
        "with both_ as (select * from events where partition = %s and position = any(%s))"
        " update events e set data = b.data from both_ b"
        " where e.partition = b.partition and e.position in (select position from both_) and e.position <> b.position",
        one.partition,
        [one.position, other.position],
    )
    assert found(audited).where == f"hash of partition {one.partition} position {one.position}"


def test_a_forged_row_with_a_new_chain_is_valid_to_the_chain_alone(audited: Audited) -> None:
    """What only the comparison with the topic finds; see test_verify.py."""
    victim = audited.busiest[30]
    audited.tamper(
        "update events set data = convert_to(replace(convert_from(data, 'UTF8'), 'user:tester', 'user:forger'), 'UTF8')"
        " where partition = %s and position = %s",
        victim.partition,
        victim.position,
    )
    audited.relink(victim)
    check(audited)


def test_a_gap_in_a_streams_versions_even_with_a_new_chain(audited: Audited) -> None:
    victim = audited.busiest[30]
    audited.tamper(
        "update events set version = version + 1000 where org = %s and stream = %s and version >= %s",
        victim.org,
        victim.stream,
        victim.version,
    )
    audited.relink(victim)
    difference = found(audited)
    where = f"version of partition {victim.partition} position {victim.position} in stream {victim.stream}"
    assert (difference.where, difference.expected) == (where, victim.version)


def test_time_that_goes_back_even_with_a_new_chain(audited: Audited) -> None:
    victim = audited.busiest[30]
    audited.tamper(
        "update events set time = time - interval '1 day' where partition = %s and position = %s",
        victim.partition,
        victim.position,
    )
    audited.relink(victim)
    assert found(audited).where == f"time of partition {victim.partition} position {victim.position}"
