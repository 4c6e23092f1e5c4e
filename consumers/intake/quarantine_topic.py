"""Records on `scrip.quarantine`: the reason in clear, what was sent sealed."""

from collections.abc import Iterator, Sequence

import msgspec

from infra.outlet import Outgoing, Outlet
from infra.quarantine import Parked
from infra.settings import Settings
from infra.topics import QUARANTINE, topic_name

TYPE = "scrip.quarantine.parked"
PART_BYTES = 700_000  # of the sealed text in one record: brokers take a megabyte unless told otherwise


class QuarantineRecord(msgspec.Struct, omit_defaults=True):
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


class QuarantineTopic:
    """Publishes at least once; a record's `ce_id` is its row's id, so a repeat is recognised. Connects on first use."""

    def __init__(self, settings: Settings) -> None:
        self._topic = topic_name(settings, QUARANTINE)
        self._outlet = Outlet(settings)

    async def publish(self, rows: Sequence[Parked]) -> None:
        """Write a record for each row and wait until all are acknowledged. Raises KafkaError, OSError, TimeoutError."""
        await self._outlet.publish(self._topic, [outgoing for row in rows for outgoing in _outgoing(row)])

    async def close(self) -> None:
        """Let the connection go; `publish` makes a new one."""
        await self._outlet.close()


def _outgoing(row: Parked) -> Iterator[Outgoing]:
    texts = [row.body[at : at + PART_BYTES] for at in range(0, len(row.body), PART_BYTES)] or [""]
    for part, text in enumerate(texts, 1):
        known = (row.id, row.org, row.source, row.event_id, row.reason, row.detail)
        record = QuarantineRecord(*known, text, part, len(texts))
        yield Outgoing(row.org.encode(), msgspec.json.encode(record), _headers(row, part))


def _headers(row: Parked, part: int) -> list[tuple[str, bytes]]:
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", (row.id if part == 1 else f"{row.id}.{part}").encode()),
        ("ce_type", TYPE.encode()),
        ("ce_source", b"/scrip/intake"),
        ("ce_scriporg", row.org.encode()),
        ("content-type", b"application/json"),
    ]
