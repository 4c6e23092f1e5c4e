"""Refused checks and deductions from the topic `scrip.decisions` into the table of blocked attempts, best effort."""

import asyncio
import logging
from datetime import timedelta
from time import monotonic
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from psycopg_pool import AsyncConnectionPool

from infra.decisions import CHECK, DEDUCTION, Decision
from infra.kafka_batches import SetAside
from infra.kafka_client import kafka_arguments
from infra.settings import Settings
from infra.topics import DECISIONS, topic_name

log = logging.getLogger(__name__)

KEPT = timedelta(days=90)
CLEAN_EVERY_S = 3_600.0
CLEAN_AT_ONCE = 10_000
MAX_RECORDS = 1_000
POLL_MS = 500
MAX_TEXT = 1_000  # bytes; two of them fit into an index

# Organisations, operations and reasons of checks come from requests that the API has read strictly.
_INSERT = """
    insert into refused_checks (org, id, at, user_id, operation, model, reason, deficit, actor, deduction, left_out)
    select * from unnest(%b::text[], %b::text[], %b::timestamptz[], %b::text[], %b::text[], %b::text[], %b::text[],
        %b::bigint[], %b::text[], %b::boolean[], %b::bigint[])
    on conflict do nothing"""
_CLEAN = f"""
    delete from refused_checks where (org, id) in (
        select org, id from refused_checks where at < scrip_now() - %s::interval limit {CLEAN_AT_ONCE})"""

_decoder = msgspec.json.Decoder(Decision)


async def follow_refused_checks(settings: Settings, pool: "AsyncConnectionPool[Any]") -> None:
    """Write refused checks down until cancelled. Raises psycopg.Error, KafkaError, OSError.

    Offsets are committed after the rows are, so what is read twice is written once.
    """
    consumer = AIOKafkaConsumer(
        topic_name(settings, DECISIONS),
        **kafka_arguments(settings),
        group_id=f"{settings.topic_prefix}scrip-notifier",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        session_timeout_ms=10_000,
    )
    cleaned_at: float | None = None
    await consumer.start()
    try:
        while True:
            batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
            rows = [row for records in batches.values() for record in records if (row := _row(record)) is not None]
            if rows:
                async with pool.connection() as connection:
                    await connection.execute(_INSERT, [list(column) for column in zip(*rows, strict=True)])
            if batches:
                await consumer.commit()
            if cleaned_at is None or monotonic() - cleaned_at > CLEAN_EVERY_S:
                cleaned_at = monotonic() if await _clean(pool) < CLEAN_AT_ONCE else None
    finally:
        async with asyncio.timeout(5):
            await consumer.stop()


async def _clean(pool: "AsyncConnectionPool[Any]") -> int:
    async with pool.connection() as connection:
        cursor = await connection.execute(_CLEAN.encode(), (KEPT,))
        return int(cursor.rowcount)


def _row(record: "ConsumerRecord[bytes, bytes]") -> tuple[Any, ...] | None:
    """The columns of a refused check or deduction; none for a refused generation or a record that is not ours."""
    if isinstance(record, SetAside):  # best effort: a refusal has charged nothing
        log.error("refusals in %s/%s are left out: %s", record.topic, record.partition, record.reason)
        return None
    headers = dict(record.headers)
    type_ = headers.get("ce_type")
    if type_ not in (CHECK.encode(), DEDUCTION.encode()):
        return None
    try:
        told, id_ = _decoder.decode(record.value or b""), headers["ce_id"].decode()
        row = (
            *(told.org, id_, told.at, told.user_id, told.operation, told.model, told.reason, told.deficit),
            *(told.actor, type_ == DEDUCTION.encode(), told.left_out),
        )
    except Exception as error:  # noqa: BLE001 - decoders raise whatever strange bytes make them raise
        log.warning("a record of %s at %s is no decision: %s", record.topic, record.offset, error)
        return None
    unfit = any(isinstance(value, str) and ("\0" in value or len(value.encode()) > MAX_TEXT) for value in row)
    unfit |= abs(told.deficit) >= 2**63 or not 0 <= told.left_out < 2**31
    if unfit or told.at.tzinfo is None:
        log.warning("a record of %s at %s cannot be stored", record.topic, record.offset)
        return None
    return row
