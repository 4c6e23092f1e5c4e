"""Records on `scrip.quarantine`: the reason in clear, what was sent sealed."""

from collections.abc import Sequence

import msgspec

from infra.outlet import Outgoing, Outlet
from infra.quarantine import Parked
from infra.settings import Settings
from infra.topics import QUARANTINE, topic_name

TYPE = "scrip.quarantine.parked"


class QuarantineRecord(msgspec.Struct):
    """A usage event that could not be applied: its identity, the reason in clear, and what was sent, sealed."""

    id: str
    org: str
    source: str
    event_id: str
    reason: str
    detail: str
    sealed: str


class QuarantineTopic:
    """Publishes at least once; a record's `ce_id` is its row's id, so a repeat is recognised. Connects on first use."""

    def __init__(self, settings: Settings) -> None:
        self._topic = topic_name(settings, QUARANTINE)
        self._outlet = Outlet(settings)

    async def publish(self, rows: Sequence[Parked]) -> None:
        """Write a record for each row and wait until all are acknowledged. Raises KafkaError, OSError, TimeoutError."""
        await self._outlet.publish(
            self._topic, [Outgoing(row.org.encode(), _value(row), _headers(row)) for row in rows]
        )

    async def close(self) -> None:
        """Let the connection go; `publish` makes a new one."""
        await self._outlet.close()


def _value(row: Parked) -> bytes:
    record = QuarantineRecord(row.id, row.org, row.source, row.event_id, row.reason, row.detail, row.body)
    return msgspec.json.encode(record)


def _headers(row: Parked) -> list[tuple[str, bytes]]:
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", row.id.encode()),
        ("ce_type", TYPE.encode()),
        ("ce_source", b"/scrip/intake"),
        ("ce_scriporg", row.org.encode()),
        ("content-type", b"application/json"),
    ]
