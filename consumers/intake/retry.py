"""Try an event from quarantine again, from the body that was kept."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from consumers.intake.batch import Intake
from consumers.intake.opening import opened_intake
from consumers.intake.record import Record, Rejected, read_record, record_of
from infra.kafka.batches import UnreadableBatch, records_of
from infra.quarantine import LEFT_OUT, NotQuarantined, Waiting
from infra.settings import Settings
from infra.writer.ledger import Ledger


class Retried(NamedTuple):
    """The result of a retry: `applied`, now or earlier, or the reason code that keeps the event in quarantine."""

    applied: bool
    reason: str | None = None
    detail: str | None = None


Retry = Callable[[str, str], Awaitable[dict[str, Any]]]


async def retry(intake: Intake, org: str, id_: str) -> Retried:
    """Submit the event of a quarantine row again.

    The sender's credential is not kept: the operator who retries answers for it. Raises NotQuarantined, Stopping.
    """
    row = await intake.waiting(id_)
    if row is None or row.org != org:
        raise NotQuarantined(id_)
    if row.resolved:
        return Retried(True)
    if row.reason == LEFT_OUT:
        return Retried(False, LEFT_OUT, "This row only counts what was not kept.")
    body = intake.open_body(row)
    if body is None:
        return Retried(False, "erased", "The key of what was sent has been erased.")
    if body.get("truncated"):
        return Retried(False, row.reason, "Only the beginning of what was sent has been kept.")
    record, actor = record_of(body)
    return await (_retry_batch(intake, row, record) if body.get("batch") else _retry_event(intake, row, record, actor))


async def _retry_event(intake: Intake, row: Waiting, record: Record, actor: str) -> Retried:
    item = read_record(record)
    if isinstance(item, Rejected):
        return Retried(False, item.reason, item.detail)
    item.actor = actor
    tally = await intake.decide_again(item)
    if tally.refused:
        again = await intake.waiting(row.id) or row
        return Retried(False, again.reason, again.detail)
    await intake.resolve(row.id)  # a row filed under its place on the topic is not found by the event's identity
    return Retried(True)


async def _retry_batch(intake: Intake, row: Waiting, batch: Record) -> Retried:
    """Decide the records of a batch that could not be read when it came. Each brings its own credential."""
    try:
        found = records_of(batch.value or b"")
    except UnreadableBatch as error:
        return Retried(False, row.reason, f"It still cannot be read: {error}.")
    topic = batch.place.rpartition("/")[0]
    tally = await intake.process([Record(one.headers, one.value, f"{topic}/{one.offset}") for one in found])
    await intake.resolve(row.id)
    if tally.refused:
        reasons = ", ".join(sorted(tally.reasons))
        return Retried(False, "refused", f"{tally.refused} of {tally.received} wait under ids of their own: {reasons}.")
    return Retried(True)


@asynccontextmanager
async def quarantine_retry(settings: Settings, ledger: Ledger) -> AsyncIterator[Retry]:
    """The function for `POST /api/v1/quarantine/{id}/retry`: organisation and row id in, `Retried` as a dict out.

    It raises NotQuarantined, and TimeoutError after the request deadline; the event may then be retried again.
    """
    async with opened_intake(settings, ledger, asyncio.Event()) as intake:

        async def bounded(org: str, id_: str) -> dict[str, Any]:
            async with asyncio.timeout(settings.request_deadline_s):
                return (await retry(intake, org, id_))._asdict()

        yield bounded
