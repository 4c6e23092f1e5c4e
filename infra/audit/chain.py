"""The hash chain of every partition, recomputed from the stored rows."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256

from infra.audit.report import Differs, Section
from infra.audit.store import Connection, events
from infra.log.events import LedgerEvent
from infra.partitions import partition_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = bytes(32)  # what stands for the hash before a partition's first event

_VERSIONS = """
    select position, stream, version, expected from (
        select position, stream, version, row_number() over (partition by org, stream order by position) as expected
        from events where partition = %s and position <= %s
    ) numbered
    where version <> expected order by position limit 1"""


def check_chain(
    connection: Connection, cut: Mapping[int, int], section: Section, step: Callable[[int], None] = lambda _done: None
) -> None:
    """Check every partition up to its position in `cut`; the connection must be in a transaction.

    Positions and stream versions have no gap, time never goes back, organisations are where they belong and every
    hash is that of its row and of the hash before. Raises Differs at the first row that is not so.
    """
    partitions = len(cut)
    for partition, last in cut.items():
        position, previous, time = 0, START, EPOCH
        for event in events(connection, partition, last):
            _check(event, partitions, position + 1, previous, time)
            position, time, previous = event.position, event.time, event.hash
            section.count("events")
            if not position % 1000:
                step(1000)
        if position != last:
            raise Differs(f"partition {partition}", f"{last} events", f"{position} events")
        if last:
            section.count("partitions")
        for at, stream, version, expected in connection.execute(_VERSIONS, (partition, last)):
            raise Differs(f"version of partition {partition} position {at} in stream {stream}", expected, version)


def _check(event: LedgerEvent, partitions: int, expected: int, previous: bytes, time: datetime) -> None:
    partition, position, org, stream, version, type_, _, _, at, data, hash_ = event
    where = f"partition {partition} position {expected}"
    if position != expected:
        raise Differs(where, "an event", f"none before position {position}")
    if partition_of(org, partitions) != partition:
        raise Differs(f"partition of organisation {org} at {where}", partition_of(org, partitions), partition)
    if at < time:
        raise Differs(f"time of {where}", f"{time.isoformat()} or later", at.isoformat())
    link = hash_of(previous, partition, position, org, stream, version, type_, at, data)
    if link != hash_:
        raise Differs(f"hash of {where}", link.hex(), hash_.hex())


def hash_of(
    previous: bytes,
    partition: int,
    position: int,
    org: str,
    stream: str,
    version: int,
    type_: str,
    time: datetime,
    data: bytes,
) -> bytes:
    """SHA-256 over the hash before and one row, as the contract words it; texts and bytes carry their lengths.

    Written out a second time, so that the writers' code is not checked by itself.
    """
    since = time - EPOCH
    micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    parts = [str(partition), str(position), *map(_sized, (org, stream)), str(version), _sized(type_), str(micros)]
    text = "|".join([*parts, str(len(data)), ""])
    return sha256(previous + text.encode() + data).digest()


def _sized(text: str) -> str:
    return f"{len(text)}:{text}"
