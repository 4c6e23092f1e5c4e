"""The store and the ledger's topic, compared record by record, as a reader of committed records sees them."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from infra.audit.report import Differs, Section
from infra.audit.store import Connection, events, one_moment
from infra.kafka.batches import SetAside
from infra.log.events import LedgerEvent
from infra.log.postgres import PostgresLog

POLL_MS = 500
RECORDS_AT_A_TIME = 2_000


async def check_topic(
    kafka: Mapping[str, Any],
    topic: str,
    uri: str,
    log_id: str,
    cut: Mapping[int, int],
    section: Section,
    deadline_s: float,
    step: Callable[[int], None] = lambda _done: None,
) -> None:
    """Check that the topic holds exactly the store's events, in order, to the byte, at least up to `cut`.

    `kafka` are aiokafka's arguments. Waits `deadline_s` in all for the relay to bring the topic up to `cut`.
    Raises Differs, KafkaError, psycopg.Error.
    """
    reader = AIOKafkaConsumer(
        **kafka,
        isolation_level="read_committed",
        auto_offset_reset="none",
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 << 20,
        fetch_max_wait_ms=100,
    )
    await reader.start()
    try:
        places = await _partitions(kafka, topic)
        if places != sorted(cut):
            raise Differs(f"partitions of the topic {topic}", sorted(cut), places)
        all_of_it = [TopicPartition(topic, place) for place in places]
        firsts, ends = await reader.beginning_offsets(all_of_it), await reader.end_offsets(all_of_it)
        # The store is read after the topic's ends are known: what is published by now is committed in this snapshot.
        with one_moment(uri) as connection:
            deadline = asyncio.get_running_loop().time() + deadline_s
            stored = await asyncio.to_thread(lambda: PostgresLog.within(connection).heads())
            for place in all_of_it:
                number, source = place.partition, f"/scrip/{log_id}".encode()
                part = _Part(reader, place, ends[place], cut[number], stored[number], source)
                await part.check(connection, firsts[place], section, deadline, step)
    finally:
        await reader.stop()


async def _partitions(kafka: Mapping[str, Any], topic: str) -> list[int]:
    admin = AIOKafkaAdminClient(**kafka)
    try:
        await admin.start()
        (found,) = await admin.describe_topics([topic])
        return sorted(part["partition"] for part in found["partitions"])
    finally:
        await admin.close()


@dataclass
class _Part:
    """One partition of the topic beside one partition of the store."""

    reader: AIOKafkaConsumer
    place: TopicPartition
    end: int
    needed: int
    stored: int
    source: bytes
    position: int = 0

    async def check(
        self, connection: Connection, first: int, section: Section, deadline: float, step: Callable[[int], None]
    ) -> None:
        """Read on until the topic's end as of the start and the needed position are both reached."""
        if first >= self.end and not self.needed:
            # An empty one is not even assigned: a reader that is stopped right after that forgets to end, since its
            # fetcher swallows a cancellation that comes while it lets the last assignment's requests end.
            return
        self.reader.assign([self.place])
        self.reader.seek(self.place, first)
        stored = events(connection, self.place.partition)
        loop = asyncio.get_running_loop()
        while self.position < self.needed or await self.reader.position(self.place) < self.end:
            got = await self.reader.getmany(self.place, timeout_ms=POLL_MS, max_records=RECORDS_AT_A_TIME)
            records = got.get(self.place, [])
            known = self._within(records)
            await asyncio.to_thread(self._compare, known, stored)
            section.count("records", len(known))
            step(len(known))
            if len(known) < len(records):
                break
            if not records and loop.time() > deadline:
                found = f"nothing after position {self.position}"
                raise Differs(f"topic partition {self.place.partition}", f"events up to {self.needed}", found)

    def _within(self, records: list[ConsumerRecord]) -> list[ConsumerRecord]:
        """Without what was published after the store's snapshot was taken: that is for another audit."""
        left = self.stored - self.position
        return [record for index, record in enumerate(records) if record.offset < self.end or index < left]

    def _compare(self, records: list[ConsumerRecord], stored: Iterator[LedgerEvent]) -> None:
        rows_ = list(islice(stored, len(records)))
        for index, record in enumerate(records):
            where = f"topic partition {self.place.partition} offset {record.offset}"
            if index >= len(rows_):
                raise Differs(where, "nothing: the store ends before", f"event {_headers(record).get('ce_id')!r}")
            self.position = rows_[index].position
            _same(where, self._expected(rows_[index]), record)

    def _expected(self, event: LedgerEvent) -> tuple[bytes, bytes, dict[str, bytes]]:
        """Key, value and headers as the contract has them."""
        partition, position, org, stream, version, type_, tag, actor, time, data, hash_ = event
        headers = {
            "ce_specversion": b"1.0",
            "ce_id": f"{partition}-{position}".encode(),
            "ce_type": type_.encode(),
            "ce_source": self.source,
            "ce_subject": stream.encode(),
            "ce_time": _rfc3339(time),
            "ce_scriporg": org.encode(),
            "ce_position": f"{position:016}".encode(),
            "ce_streamversion": str(version).encode(),
            "ce_schemaversion": b"1",
            "ce_hash": hash_.hex().encode(),
            "ce_actor": actor.encode(),
            "content-type": b"application/json",
        }
        if tag is not None:
            headers["ce_tag"] = tag.encode()
        return f"{org}/{stream}".encode(), data, headers


def _same(where: str, expected: tuple[bytes, bytes, dict[str, bytes]], record: ConsumerRecord) -> None:
    if isinstance(record, SetAside):
        raise Differs(f"batch at {where}", "records", record.reason)
    key, value, headers = expected
    found = _headers(record)
    # The id first, so that the report names a record that is missing, doubled or out of order.
    for name in ("ce_id", *headers, *found):
        if found.get(name) != headers.get(name):
            raise Differs(f"header {name} at {where}", headers.get(name), found.get(name))
    if len(record.headers) != len(headers):
        raise Differs(f"number of headers at {where}", len(headers), len(record.headers))
    if record.key != key:
        raise Differs(f"key at {where}", key, record.key)
    if record.value != value:
        raise Differs(f"value at {where}", value, record.value)


def _headers(record: ConsumerRecord) -> dict[str, bytes]:
    return dict(record.headers)


def _rfc3339(time: datetime) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()
