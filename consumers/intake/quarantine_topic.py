"""Records on `scrip.quarantine`: the reason in clear, what was sent sealed."""

from collections.abc import Iterator
from dataclasses import dataclass

from infra.kafka import topics
from infra.kafka.channels import Channel, Outgoing
from infra.quarantine import Parked

TYPE = "scrip.quarantine.parked"
PART_BYTES = 700_000  # of the sealed text in one record: brokers take a megabyte unless told otherwise


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
