"""Refused checks and deductions from the topic `scrip.decisions` into the table of blocked attempts, best effort."""

import asyncio
import logging
from datetime import timedelta
from time import monotonic
from typing import Any

import msgspec
from aiokafka import ConsumerRecord
from psycopg_pool import AsyncConnectionPool

from consumers.subscribing import Records, Watch, acknowledge, consuming_broker, subscribed
from infra.decisions import CHECK, DECISIONS, DEDUCTION, Decision
from infra.kafka.batches import SetAside
from infra.settings import Settings

log = logging.getLogger(__name__)

KEPT = timedelta(days=90)
CLEAN_EVERY_S = 3_600.0
CLEAN_AT_ONCE = 10_000
MAX_RECORDS = 1_000
POLL_MS = 200  # FastStream sleeps as long again after a poll without records
LOOK_EVERY_S = 1.0
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


async def follow_refused_checks(settings: Settings, pool: "AsyncConnectionPool[Any]") -> bool:
    """Write refused checks down until cancelled, or until the consumer is stuck: then true, to be called again.

    Offsets are committed after the rows are, so what is read twice is written once. Raises psycopg.Error, KafkaError,
    OSError.
    """
    over, watch = asyncio.Event(), Watch()
    broker = consuming_broker(settings, "scrip-notifier", log, over, graceful_s=2.0)

    reader = subscribed(broker, DECISIONS, settings, max_records=MAX_RECORDS, batch_timeout_ms=POLL_MS)

    @reader  # type: ignore[untyped-decorator]
    async def write_down(records: Records) -> None:
        rows = [row for record in records if (row := _row(record)) is not None]
        if rows:
            async with pool.connection() as connection:
                await connection.execute(_INSERT, [list(column) for column in zip(*rows, strict=True)])
        await acknowledge(reader.consumer, records)
        watch.moved()

    cleaned_at: float | None = None
    try:
        await broker.start()
        while not await watch.stuck(reader.consumer):
            if cleaned_at is None or monotonic() - cleaned_at > CLEAN_EVERY_S:
                cleaned_at = monotonic() if await _clean(pool) < CLEAN_AT_ONCE else None
            await asyncio.sleep(LOOK_EVERY_S)
        return True
    finally:
        over.set()
        async with asyncio.timeout(5):
            await broker.stop()


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
        decision, id_ = _decoder.decode(record.value or b""), headers["ce_id"].decode()
        row = (
            *(
                decision.org,
                id_,
                decision.at,
                decision.user_id,
                decision.operation,
                decision.model,
                decision.reason,
                decision.deficit,
            ),
            *(decision.actor, type_ == DEDUCTION.encode(), decision.left_out),
        )
    except Exception as error:  # noqa: BLE001 - decoders raise whatever strange bytes make them raise
        log.warning("a record of %s at %s is no decision: %s", record.topic, record.offset, error)
        return None
    unfit = any(isinstance(value, str) and ("\0" in value or len(value.encode()) > MAX_TEXT) for value in row)
    unfit |= abs(decision.deficit) >= 2**63 or not 0 <= decision.left_out < 2**31
    if unfit or decision.at.tzinfo is None:
        log.warning("a record of %s at %s cannot be stored", record.topic, record.offset)
        return None
    return row
