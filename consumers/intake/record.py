"""A record of `scrip.usage`, read and checked: its event, its sender, and how it is kept in quarantine.

`scrip.quarantine` shows the reason in clear, and what was sent sealed.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple
from zlib import compress, decompress

import msgspec
from pydantic import ValidationError

from consumers.cloud_event import AUTH_HEADER, CloudEvent, Unacceptable, header_texts, read_cloud_event
from consumers.usage import USAGE_TYPES, UsageData
from infra.kafka import topics
from infra.kafka.channels import Channel, Outgoing
from infra.partitions import PLATFORM
from infra.quarantine import UNREADABLE, Parked, quarantine_id

MAX_KEPT_HEADERS = 65_536
MAX_KEPT_BYTES = 8 << 20  # of a value; brokers take a megabyte at most by default
MAX_PLAIN_BYTES = 65_536  # of a value that is kept as it is; a larger one is kept compressed
TYPE = "scrip.quarantine.parked"
PART_BYTES = 700_000  # of the sealed text in one record: brokers take a megabyte by default
_CANONICAL = msgspec.json.Encoder(order="sorted")


class Record(NamedTuple):
    """What Kafka delivered; `place` is topic/partition/offset.

    `unreadable`: why nothing can be read; `value` then is the whole batch of records as the broker stores it.
    """

    headers: tuple[tuple[str, bytes | None], ...]
    value: bytes | None
    place: str
    unreadable: str = ""


@dataclass(slots=True)
class UsageEvent:
    """An acceptable usage event.

    `fingerprint` differs where the same id comes with another content. `actor` goes into the log. `row` is the event's
    id in quarantine, if it is put there.
    """

    record: Record
    event: CloudEvent
    data: UsageData
    fingerprint: bytes
    credential: str | None
    actor: str
    row: str

    @property
    def identity(self) -> tuple[str, str, str]:
        """What makes it unique for ever."""
        return self.event[:3]


class Rejected(NamedTuple):
    """A record that is not applied: where it is filed, why (a stable code), and in words.

    `fingerprint` is none where this content can never be applied under its id.
    """

    record: Record
    org: str
    source: str
    event_id: str
    reason: str
    detail: str
    actor: str
    fingerprint: bytes | None = None
    shared_id: bool = False  # another content was first under this id, so it needs a row of its own

    @property
    def id(self) -> str:
        """The id of its row in quarantine."""
        if self.source == UNREADABLE or self.shared_id:
            return quarantine_id(self.org, self.source, self.event_id, sha256(self.record.value or b"").digest())
        return quarantine_id(self.org, self.source, self.event_id)


def read_record(record: Record) -> UsageEvent | Rejected:
    """Check one record as strictly as an HTTP request. Never raises for its content."""
    try:
        if record.unreadable:
            raise Unacceptable("unreadable", record.unreadable)
        headers = header_texts(record.headers)
        event = read_cloud_event(headers, record.value)
        try:
            return _usage_event(record, event, headers)
        except Unacceptable as error:
            error.org, error.source, error.event_id = event[:3]
            raise
    except Unacceptable as error:
        return rejected_as(record, error)


def rejected_as(record: Record, error: Unacceptable) -> Rejected:
    """File under the event's identity where that is known, else under the record's place on the topic."""
    actor = f"usage:{error.source or UNREADABLE}"
    if error.org and error.source and error.event_id:
        return Rejected(record, error.org, error.source, error.event_id, error.reason, error.detail, actor)
    return Rejected(record, error.org or PLATFORM, UNREADABLE, record.place, error.reason, error.detail, actor)


def rejected(item: UsageEvent, reason: str, detail: str, *, for_good: bool = False) -> Rejected:
    """An acceptable event that the ledger refused; `for_good` when another content holds its id."""
    org, source, event_id = item.identity
    fingerprint = None if for_good else item.fingerprint
    return Rejected(item.record, org, source, event_id, reason, detail, item.actor, fingerprint, for_good)


def _usage_event(record: Record, event: CloudEvent, headers: Mapping[str, str]) -> UsageEvent:
    model = USAGE_TYPES.get(event.type)
    if model is None:
        raise Unacceptable("unknown_type", f"the type must be one of {', '.join(USAGE_TYPES)}")
    try:
        data = model.model_validate(event.data)
    except ValidationError as error:
        raise Unacceptable("invalid_data", _sentence(error)) from None
    row = quarantine_id(event.org, event.source, event.id)
    fingerprint = content_fingerprint(event.type, event.data)
    return UsageEvent(record, event, data, fingerprint, headers.get(AUTH_HEADER), f"usage:{event.source}", row)


def content_fingerprint(type_: str, data: Any) -> bytes:
    """Identifies a content, so that another one under the same id is noticed. `data`: as it is read from JSON."""
    return sha256(_CANONICAL.encode((type_, data))).digest()


def _sentence(error: ValidationError) -> str:
    """The first fault in words. Never the value: it may be personal, and this text is kept in clear."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "data"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{field[:100]}: {first['msg'][:300]}{more}".encode("ascii", "backslashreplace").decode()


def body_of(item: Rejected) -> dict[str, Any]:
    """What is sealed in quarantine: all that is needed to try again, without the sender's credential.

    A batch that cannot be read is kept as it is; whatever credentials it holds are sealed with it.
    """
    value = item.record.value or b""
    headers = [
        [name, b64encode(text or b"").decode()] for name, text in item.record.headers if name.lower() != AUTH_HEADER
    ]
    kept = value[:MAX_KEPT_BYTES]
    compressed = len(kept) > MAX_PLAIN_BYTES
    body: dict[str, Any] = {
        "value": b64encode(compress(kept) if compressed else kept).decode(),
        "place": item.record.place,
        "actor": item.actor,
    }
    if compressed:
        body["compressed"] = True
    if len(value) > MAX_KEPT_BYTES:
        body["truncated"] = True
    if item.record.unreadable:
        body["batch"] = True
    if sum(len(name) + len(text) for name, text in headers) <= MAX_KEPT_HEADERS:
        body["headers"] = headers
    return body


def record_of(body: Mapping[str, Any]) -> tuple[Record, str]:
    """The record and the actor of a body that `body_of` made."""
    headers = tuple((name, b64decode(text)) for name, text in body.get("headers", ()))
    value = b64decode(body["value"])
    return Record(headers, decompress(value) if body.get("compressed") else value, body["place"]), body["actor"]


@dataclass(slots=True)
class QuarantineRecord:
    """A usage event that could not be applied: its identity, the reason in clear, and what was sent, sealed.

    What is too long for one record comes in `parts` records, one after the other: `sealed` is their texts joined. The
    first one, and one that is alone, does not say that it is `part` 1.
    """

    id: str
    org: str
    source: str
    event_id: str
    reason: str
    detail: str
    sealed: str
    part: int = 1
    parts: int = 1


QUARANTINE = Channel(
    title="quarantine",
    topic=topics.QUARANTINE,
    description="Usage that could not be applied, and why.",
    messages={TYPE: QuarantineRecord},
    source="/scrip/intake",
)


def quarantine_records(row: Parked) -> Iterator[Outgoing]:
    """The records of a row. `ce_id` is the row's id, so a repeat is recognised."""
    texts = [row.body[at : at + PART_BYTES] for at in range(0, len(row.body), PART_BYTES)] or [""]
    for part, text in enumerate(texts, 1):
        known = (row.id, row.org, row.source, row.event_id, row.reason, row.detail)
        record = QuarantineRecord(*known, text, part, len(texts))
        yield QUARANTINE.record(record, TYPE, row.id if part == 1 else f"{row.id}.{part}")
