"""The log's events are the library's events too, at no more cost than a tuple."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import Notification, StoredEvent

from domain.ids import is_id
from infra.log.events import Drafted, LedgerEvent, Recorded, originator_of, stream_of

TIME = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROW = (
    3,
    7,
    "acme",
    "account/user:ü:credits",
    2,
    "credits-granted.v1",
    "grant/g-1",
    "user:t",
    TIME,
    b"{}",
    b"\x01" * 32,
)
EVENT = LedgerEvent(*ROW)
DRAFTED = Drafted("acme", "account/user:ü:credits", 2, "credits-granted.v1", "grant/g-1", "user:t", b"{}")
PLAIN = StoredEvent("acme/account/user:ü:credits", 2, "credits-granted.v1", b"{}")


def test_an_event_of_the_log_is_a_notification_and_still_a_tuple() -> None:
    assert isinstance(EVENT, Notification)
    assert isinstance(DRAFTED, StoredEvent)
    assert EVENT == ROW
    assert ROW == EVENT
    assert (EVENT.id, EVENT.topic, EVENT.state) == (7, "credits-granted.v1", b"{}")
    assert EVENT.originator_id == "acme/account/user:ü:credits"
    assert EVENT.originator_version == EVENT.version == 2
    assert type(EVENT._replace(hash=b"")) is LedgerEvent
    assert LedgerEvent._make(ROW) == EVENT
    assert hash(EVENT) == hash(ROW)
    with pytest.raises(AttributeError):
        EVENT.position = 8  # type: ignore[misc]


@pytest.mark.parametrize("event", [EVENT, DRAFTED])
def test_it_equals_the_librarys_own_event_of_the_same_content(event: StoredEvent) -> None:
    """The library's test cases compare ours with theirs, in both orders."""
    assert event == PLAIN
    assert event == PLAIN
    assert event != StoredEvent("acme/account/user:ü:credits", 3, "credits-granted.v1", b"{}")
    assert StoredEvent("acme/account/user:ü:credits", 2, "credits-granted.v1", b"[]") != event


def test_two_events_that_differ_in_anything_differ() -> None:
    for name in LedgerEvent._fields:
        assert EVENT._replace(**{name: None}) != EVENT  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("originator_id", "stream"),
    [
        ("acme/account/user:a:credits", "account/user:a:credits"),
        ("order-7", "recorded/text:order-7"),
        ("b16ee18b-5bdc-47c8-a2a9-c3ea2b5f3cb3", "recorded/text:b16ee18b-5bdc-47c8-a2a9-c3ea2b5f3cb3"),
        (UUID("b16ee18b-5bdc-47c8-a2a9-c3ea2b5f3cb3"), "recorded/uuid:b16ee18b-5bdc-47c8-a2a9-c3ea2b5f3cb3"),
    ],
)
def test_an_originators_id_names_one_stream_and_comes_back(originator_id: UUID | str, stream: str) -> None:
    assert stream_of(originator_id, "acme") == stream
    assert originator_of("acme", stream) == originator_id


def test_an_id_of_another_organisation_is_none_of_ours() -> None:
    assert stream_of("other/account/user:a:credits", "acme") is None
    assert stream_of(uuid4(), "acme") is not None


def test_no_organisation_has_the_sign_that_ends_its_name() -> None:
    assert not is_id("a/b")


def test_what_a_mapper_takes_names_its_stream() -> None:
    recorded = Recorded(object(), "acme", "order/7", 3, "user:t", "key")
    assert (recorded.originator_id, recorded.originator_version) == ("acme/order/7", 3)
