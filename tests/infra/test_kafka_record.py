"""A stored event comes back from its Kafka record exactly as it was."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from infra.kafka.record import NotALedgerRecord, from_record, log_of, to_record
from infra.log.events import LedgerEvent

LOG = "0b6a1c52-5a0e-4a51-8c0f-3f6d5d1c9a11"
EVENT = LedgerEvent(
    7, 123, "acme", "account/user:ü_42:credits", 5, "credits-reserved.v1", "reservation/r_1", "user:ü_42",
    datetime(2026, 3, 1, 12, 0, 0, 0, UTC), b'{"n": 1}', bytes(range(32)),
)  # fmt: skip


@dataclass
class Received:
    """A record as a consumer gets it."""

    partition: int
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


def received(event: LedgerEvent, **changed: bytes | None) -> Received:
    headers: dict[str, bytes | None] = dict(to_record(event, LOG).headers)
    headers.update(changed)
    return Received(event.partition, event.data, list(headers.items()))


def test_the_record_is_what_the_contract_says() -> None:
    key, value, headers = to_record(EVENT, LOG)
    assert key == "acme/account/user:ü_42:credits".encode()
    assert value is EVENT.data
    assert dict(headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"7-123",
        "ce_type": b"credits-reserved.v1",
        "ce_source": f"/scrip/{LOG}".encode(),
        "ce_subject": "account/user:ü_42:credits".encode(),
        "ce_time": b"2026-03-01T12:00:00.000000Z",
        "ce_scriporg": b"acme",
        "ce_position": b"0000000000000123",
        "ce_streamversion": b"5",
        "ce_schemaversion": b"1",
        "ce_hash": bytes(range(32)).hex().encode(),
        "ce_actor": "user:ü_42".encode(),
        "ce_tag": b"reservation/r_1",
        "content-type": b"application/json",
    }
    assert len(headers) == 14


@pytest.mark.parametrize(
    "event",
    [
        EVENT,
        EVENT._replace(tag=None),
        EVENT._replace(tag=""),
        EVENT._replace(time=datetime(2026, 12, 31, 23, 59, 59, 999_999, UTC)),
        EVENT._replace(position=9_999_999_999_999_999, version=2**62),
        EVENT._replace(data=b""),
    ],
)
def test_there_and_back(event: LedgerEvent) -> None:
    record = received(event)
    assert from_record(record) == event
    assert log_of(record) == LOG


def test_no_tag_no_header() -> None:
    assert "ce_tag" not in dict(to_record(EVENT._replace(tag=None), LOG).headers)


@pytest.mark.parametrize(
    "name",
    ["ce_type", "ce_position", "ce_scriporg", "ce_subject", "ce_streamversion", "ce_time", "ce_hash", "ce_actor"],
)
def test_a_record_of_somebody_else_is_refused(name: str) -> None:
    record = received(EVENT)
    record.headers = [header for header in record.headers if header[0] != name]
    with pytest.raises(NotALedgerRecord):
        from_record(record)
    with pytest.raises(NotALedgerRecord):
        from_record(received(EVENT, **{name: None}))


@pytest.mark.parametrize(
    ("name", "value"), [("ce_position", b"x"), ("ce_hash", b"xyz"), ("ce_time", b"yesterday"), ("ce_type", b"\xff")]
)
def test_a_malformed_header_is_refused(name: str, value: bytes) -> None:
    with pytest.raises(NotALedgerRecord):
        from_record(received(EVENT, **{name: value}))


def test_a_record_without_value_or_source_is_refused() -> None:
    with pytest.raises(NotALedgerRecord):
        from_record(Received(0, None, received(EVENT).headers))
    with pytest.raises(NotALedgerRecord):
        log_of(received(EVENT, ce_source=b"/elsewhere"))
    with pytest.raises(NotALedgerRecord):
        log_of(received(EVENT, ce_source=None))
