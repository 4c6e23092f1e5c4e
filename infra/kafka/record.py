"""A stored event as the Kafka record that it is published as (CloudEvents 1.0, binary mode), and back."""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, Protocol

from infra.log.events import LedgerEvent

Headers = list[tuple[str, bytes]]
MAX_REASON = 300  # letters: any client may have written the record, and pages show the reason

_SPEC = ("ce_specversion", b"1.0")
_SCHEMA = ("ce_schemaversion", b"1")
_JSON = ("content-type", b"application/json")


class LedgerRecord(NamedTuple):
    """Key, value and headers of a record."""

    key: bytes
    value: bytes
    headers: Headers


class ReceivedRecord(Protocol):
    """What `from_record` needs of a received record; aiokafka's ConsumerRecord is one."""

    @property
    def partition(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Iterable[tuple[str, bytes | None]]: ...


class WholeRecord(ReceivedRecord, Protocol):
    """A received record with its key."""

    @property
    def key(self) -> bytes | None: ...


class NotALedgerRecord(ValueError):
    """A record in the ledger's topic that no relay of Scrip wrote: a header or the value is missing or malformed."""


@lru_cache(maxsize=16)
def _source(log_id: str) -> tuple[str, bytes]:
    return ("ce_source", f"/scrip/{log_id}".encode())


def to_record(event: LedgerEvent, log_id: str) -> LedgerRecord:
    """The record of an event of the log `log_id`. The value are the stored bytes, untouched.

    The event's time must carry UTC as its zone. It is a header, never the record's own timestamp: the broker
    refuses records from the future for ever, and sets the time of arrival itself.
    """
    partition, position, org, stream, version, type_, tag, actor, time, data, digest = event
    subject = stream.encode()
    organisation = org.encode()
    headers = [
        _SPEC,
        ("ce_id", b"%d-%d" % (partition, position)),
        ("ce_type", type_.encode()),
        _source(log_id),
        ("ce_subject", subject),
        ("ce_time", time.isoformat(timespec="microseconds")[:26].encode() + b"Z"),
        ("ce_scriporg", organisation),
        ("ce_position", b"%016d" % position),
        ("ce_streamversion", b"%d" % version),
        _SCHEMA,
        ("ce_hash", digest.hex().encode()),
        ("ce_actor", actor.encode()),
        _JSON,
    ]
    if tag is not None:
        headers.append(("ce_tag", tag.encode()))
    return LedgerRecord(organisation + b"/" + subject, data, headers)


def from_record(record: ReceivedRecord) -> LedgerEvent:
    """The event of a record of the ledger's topic; equal, to the byte, to the stored one.

    Raises NotALedgerRecord.
    """
    headers = dict(record.headers)
    try:
        tag = headers.get("ce_tag")
        return LedgerEvent(
            record.partition,
            _position(int(headers["ce_position"])),  # type: ignore[arg-type]  # None raises TypeError, see below
            headers["ce_scriporg"].decode(),  # type: ignore[union-attr]
            headers["ce_subject"].decode(),  # type: ignore[union-attr]
            int(headers["ce_streamversion"]),  # type: ignore[arg-type]
            headers["ce_type"].decode(),  # type: ignore[union-attr]
            tag.decode() if tag is not None else None,
            headers["ce_actor"].decode(),  # type: ignore[union-attr]
            _time(datetime.fromisoformat(headers["ce_time"].decode())),  # type: ignore[union-attr]
            _value(record.value),
            bytes.fromhex(headers["ce_hash"].decode()),  # type: ignore[union-attr]
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        reason = f"not a record of the ledger in partition {record.partition}: {type(error).__name__} {error}"
        raise NotALedgerRecord(
            getattr(record, "reason", "") or reason[:MAX_REASON]  # its own: of a batch that cannot be read
        ) from error


def difference(record: WholeRecord, event: LedgerEvent, log_id: str) -> str:
    """What of a record is not as the relay of the log `log_id` writes it for `event`; empty where nothing is."""
    key, value, headers = to_record(event, log_id)
    found = list(record.headers)
    if found != headers:
        known, wanted = dict(found), dict(headers)
        names = [name for name in (*wanted, *known) if known.get(name) != wanted.get(name)]
        return f"header {names[0]}"[:MAX_REASON] if names else "the order or number of its headers"
    return "the value" if record.value != value else "the key" if record.key != key else ""


def log_of(record: ReceivedRecord) -> str:
    """The id of the log that a record says it is from. Raises NotALedgerRecord."""
    source = dict(record.headers).get("ce_source")
    if source is None or not source.startswith(b"/scrip/"):
        raise NotALedgerRecord(f"a record in partition {record.partition} has no ce_source of a Scrip log")
    return source[len(b"/scrip/") :].decode()


def _position(value: int) -> int:
    if not 0 < value < 2**63:
        raise ValueError(f"no event has the position {value}")
    return value


def _time(value: datetime) -> datetime:
    if value.utcoffset() is None:
        raise ValueError("ce_time has no zone")
    return value


def _value(value: bytes | None) -> bytes:
    if value is None:
        raise ValueError("no value")
    return value
