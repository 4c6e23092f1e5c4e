"""The hash chain over a partition's events (contract, "Events and the message queue")."""

from datetime import datetime, timedelta
from hashlib import sha256

from infra.log.events import LedgerEvent

GENESIS = bytes(32)  # what stands for the hash before a partition's first event
TICK = timedelta(microseconds=1)  # by which a partition's time goes on where the clock does not


def microseconds(time: datetime) -> int:
    """A time as integer microseconds since 1970: exact, and the same from every time zone."""
    delta = time - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def link(
    previous: bytes,
    partition: int,
    position: int,
    org: str,
    stream: str,
    version: int,
    type_: str,
    time_us: int,
    data: bytes,
) -> bytes:
    """SHA-256 over the previous hash and everything that an event says, each part length-prefixed.

    `time_us`: microseconds since 1970, see `microseconds`.
    """
    head = head_of(partition, position, org, stream, version, type_, time_us, len(data))
    return sha256(b"".join((previous, head.encode(), data))).digest()


def head_of(
    partition: int, position: int, org: str, stream: str, version: int, type_: str, time_us: int, size: int
) -> str:
    """What of an event is hashed before its `size` stored bytes, as text."""
    return (
        f"{partition}|{position}|{len(org)}:{org}|{len(stream)}:{stream}|{version}"
        f"|{len(type_)}:{type_}|{time_us}|{size}|"
    )


def link_of(previous: bytes, event: LedgerEvent) -> bytes:
    """The hash that `event` must carry after `previous`."""
    return link(
        previous,
        event.partition,
        event.position,
        event.org,
        event.stream,
        event.version,
        event.type,
        microseconds(event.time),
        event.data,
    )
