"""What every implementation of the event log does, whoever stores it."""

from datetime import timedelta
from itertools import product
from random import Random
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.persistence import IntegrityError, OperationalError, ProgrammingError, StoredEvent

from domain.registry import SCRIP
from infra.log.chain import GENESIS, link_of
from infra.log.events import Drafted, LedgerEvent, Recorded
from infra.log.mapper import LedgerMapper
from infra.log.recorder import EventLog, OrganisationLog
from infra.log.statements import MAX_EVENT_BYTES
from infra.partitions import partition_of
from tests.golden.examples import EXAMPLES
from tests.waiting import joined

ORG, STREAM = "acme", "account/user:ü:credits"
GRANTED = "credits-granted.v1"
SNAPSHOTS = ((3, "2"), (2, "2"), (5, "2"), (4, "3"))  # version and schema: the second is older, the last is of another


def drafted(org: str, stream: str, version: int, type_: str = GRANTED, actor: str = "user:t", size: int = 2) -> Drafted:
    return Drafted(org, stream, version, type_, f"tag/{version}", actor, b"{" + b" " * (size - 2) + b"}")


def neighbour(log: EventLog) -> str:
    """Another organisation of the same partition."""
    home = partition_of(ORG, log.partitions)
    return next(f"org{n}" for n in range(10**6) if partition_of(f"org{n}", log.partitions) == home)


class LogCases:
    """Cases with a fixture `log`: an empty log that refuses unknown types."""

    def test_an_event_is_read_as_it_was_written(self, log: EventLog) -> None:
        mapper, view = LedgerMapper.of(SCRIP), log.organisation(ORG)
        event = EXAMPLES["credits-reserved.v1"]
        recorded = Recorded(event, ORG, STREAM, 1, "user:t", "key")
        assert view.insert_events([mapper.to_stored_event(recorded)]) == [1]
        (found,) = view.select_events(f"{ORG}/{STREAM}")
        assert mapper.to_domain_event(found) == recorded
        assert (found.tag, found.actor, found.position) == (event.tag, "user:t", 1)
        home = log.partition(partition_of(ORG, log.partitions))
        assert list(home.select_notifications(None, 10)) == list(view.select_notifications(None, 10)) == [found]
        assert log.at(found.partition, [1, 2]) == {1: found}
        assert log.tagged(ORG, [str(event.tag), "other"], 10) == [found]
        assert log.tagged("other", [str(event.tag)], 10) == []
        assert log.heads() == {n: int(n == found.partition) for n in range(log.partitions)}

    def test_the_chain_goes_on_from_insert_to_insert(self, log: EventLog) -> None:
        home = log.partition(partition_of(ORG, log.partitions))
        for number in range(3):
            home.insert_events([drafted(ORG, STREAM, 2 * number + 1), drafted(neighbour(log), STREAM, number + 1)])
            home.insert_events([drafted(ORG, STREAM, 2 * number + 2)])
        previous = None
        for position, event in enumerate(home.select_notifications(None, 100), 1):
            assert event.position == position
            assert event.hash == link_of(previous.hash if previous else GENESIS, event)
            assert previous is None or previous.time <= event.time
            previous = event
        assert previous is not None
        assert previous.position == 9

    def test_a_taken_version_leaves_nothing(self, log: EventLog) -> None:
        view = log.organisation(ORG)
        view.insert_events([drafted(ORG, STREAM, 1)])
        with pytest.raises(IntegrityError):
            view.insert_events([drafted(ORG, "account/user:b:credits", 1), drafted(ORG, STREAM, 1)])
        assert view.max_notification_id() == 1
        assert view.insert_events([drafted(ORG, STREAM, 2)]) == [2]

    def test_what_no_reader_could_read_is_refused(self, log: EventLog) -> None:
        """The projector would stop at it for good, and the relay could not publish it."""
        view = log.organisation(ORG)
        with pytest.raises(ProgrammingError, match="unheard-of"):
            view.insert_events([drafted(ORG, STREAM, 1, "unheard-of.v1")])
        with pytest.raises(OperationalError, match="bytes"):
            view.insert_events([drafted(ORG, STREAM, 1, size=MAX_EVENT_BYTES + 1)])
        assert view.max_notification_id() is None
        assert view.insert_events([]) == []

    def test_a_view_takes_no_event_of_another(self, log: EventLog) -> None:
        elsewhere = next(n for n in range(log.partitions) if n != partition_of(ORG, log.partitions))
        for view in (log.organisation("other"), log.partition(elsewhere)):
            with pytest.raises(ProgrammingError):
                view.insert_events([drafted(ORG, STREAM, 1)])
            with pytest.raises(ProgrammingError):
                view.insert_events([StoredEvent(f"{ORG}/{STREAM}", 1, GRANTED, b"{}")])
            with pytest.raises(ProgrammingError):
                view.select_events(f"{ORG}/{STREAM}")
        with pytest.raises(ProgrammingError):  # nobody could say whose it is
            log.partition(elsewhere).insert_events([StoredEvent(uuid4(), 1, GRANTED, b"{}")])
        assert set(log.heads().values()) == {0}

    def test_a_stream_up_to_a_version_or_a_time(self, log: EventLog) -> None:
        view = log.organisation(ORG)
        for version in range(1, 6):
            view.insert_events([drafted(ORG, STREAM, version)])
        events = list(view.select_events(f"{ORG}/{STREAM}"))
        times = [event.time for event in events]
        assert [event.version for event in events] == [1, 2, 3, 4, 5]
        assert list(view.select_events(f"{ORG}/{STREAM}", gt=1, lte=4, desc=True, limit=2)) == events[3:1:-1]
        assert list(view.select_events(f"{ORG}/{STREAM}", until=times[2])) == events[:3]
        assert list(view.select_events(f"{ORG}/{STREAM}", until=times[0] - timedelta(microseconds=1))) == []

    @pytest.mark.parametrize("window", [1, 3, 1_000])
    def test_every_range_of_a_view_is_what_a_filter_of_all_would_give(self, log: EventLog, window: int) -> None:
        chance = Random(window)
        other, home = neighbour(log), log.partition(partition_of(ORG, log.partitions))
        versions = {(org, stream): 0 for org in (ORG, other) for stream in (STREAM, "account/user:b:credits")}
        for _ in range(14):
            org, stream = chance.choice(list(versions))
            versions[org, stream] += 1
            kind, actor = chance.choice([GRANTED, "credits-debited.v1"]), chance.choice(["user:a", "user:b"])
            home.insert_events([drafted(org, stream, versions[org, stream], kind, actor, chance.randrange(2, 40))])
        everything = list(home.select_notifications(None, 1_000))
        assert len(everything) == 14
        theirs = [event for event in everything if event.org == ORG]
        view = OrganisationLog(log, ORG, window)
        assert view.max_notification_id() == (theirs[-1].position if theirs else None)
        given: Any = (
            (None, 3, 15), (None, 9, 20), (1, 2, 50), (True, False), (True, False), (None, 30),
            ((), (GRANTED,)), (None, "user:a"),
        )  # fmt: skip
        for start, stop, limit, inclusive, desc, max_bytes, topics, actor in chance.sample(list(product(*given)), 200):
            asked: Any = {"inclusive_of_start": inclusive, "desc": desc, "max_bytes": max_bytes, "actor": actor}
            for some, events in ((home, everything), (view, theirs)):
                expected = _range(events, start, stop, limit, topics, **asked)
                found = some.select_notifications(start, limit, stop, topics, **asked)
                assert list(found) == expected, (some, start, stop, limit, asked)
            of_stream = [event for event in theirs if event.stream == STREAM]
            found = view.select_notifications(start, limit, stop, topics, stream=STREAM, **asked)
            assert list(found) == _range(of_stream, start, stop, limit, topics, **asked)

    def test_all_streams_one_after_the_other_up_to_a_cut(self, log: EventLog) -> None:
        other, view = neighbour(log), log.partition(partition_of(ORG, log.partitions))
        for version in (1, 2):
            for org in (ORG, other):
                for stream in ("b", "a"):
                    view.insert_events([drafted(org, stream, version)])
        cut = {partition_of(ORG, log.partitions): 7}
        found = [(event.org, event.stream, event.version) for event in log.by_stream(cut)]
        assert found == sorted((event.org, event.stream, event.version) for event in view.select_notifications(1, 7))
        assert [event.org for event in log.by_stream(cut, ORG)] == [ORG] * 4
        assert list(log.by_stream({})) == []

    def test_of_each_stream_the_newest_snapshot_is_kept(self, log: EventLog) -> None:
        kept = [Drafted(ORG, STREAM, version, schema, None, "", b"%d" % version) for version, schema in SNAPSHOTS]
        other = Drafted("other", STREAM, 9, "2", None, "", b"other")
        found: list[StoredEvent] = []
        for snapshot in kept:
            log.snapshots.insert_events([snapshot, other])
            found += log.snapshots.select_events(f"{ORG}/{STREAM}", desc=True, limit=1)
        assert [event.originator_version for event in found] == [3, 3, 5, 4]
        assert found[-1] == kept[-1] == StoredEvent(f"{ORG}/{STREAM}", 4, "3", b"4")
        for gt, lte, limit in ((None, 3, 9), (4, None, 9), (None, None, 0)):
            assert not log.snapshots.select_events(f"{ORG}/{STREAM}", gt=gt, lte=lte, limit=limit)
        assert log.snapshots.select_events(f"{ORG}/{STREAM}", gt=3, lte=4)
        assert log.snapshots.select_events(f"{ORG}/none") == []

    def test_a_subscription_finds_what_comes_later_and_nothing_twice(self, log: EventLog) -> None:
        view, seen = log.organisation(ORG), []
        subscription = view.subscribe(gt=1, topics=["credits-debited.v1"])

        def follow() -> None:
            for event in subscription:
                seen.append(event.position)
                if len(seen) == 2:
                    subscription.stop()

        thread = Thread(target=follow)
        thread.start()
        kinds = ["credits-debited.v1", GRANTED, GRANTED, "credits-debited.v1", GRANTED, "credits-debited.v1"]
        for version, kind in enumerate(kinds, 1):
            view.insert_events([drafted(ORG, STREAM, version, kind)])
        joined(thread)
        assert seen == [4, 6]
        with pytest.raises(StopIteration):
            next(subscription)


def _range(
    events: list[LedgerEvent], start: int | None, stop: int | None, limit: int, topics: tuple[str, ...], *,
    inclusive_of_start: bool, desc: bool, max_bytes: int | None, actor: str | None,
) -> list[LedgerEvent]:  # fmt: skip
    """The meaning of `select_notifications`, said again."""
    found: list[LedgerEvent] = []
    size = 0
    for event in reversed(events) if desc else events:
        position = -event.position if desc else event.position
        first, last = (None if end is None else (-end if desc else end) for end in (start, stop))
        if first is not None and (position < first or (position == first and not inclusive_of_start)):
            continue
        if last is not None and position > last:
            continue
        if (topics and event.type not in topics) or (actor and event.actor != actor):
            continue
        if len(found) == limit or (max_bytes is not None and size >= max_bytes):
            break
        found.append(event)
        size += len(event.data)
    return found
