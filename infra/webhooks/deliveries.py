"""Delivers what is due: claims rows, sends, writes down what happened. Any number of processes may do it at once."""

import asyncio
import logging
import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from infra.alerts import Crossing, raise_alerts
from infra.waits import end_tasks, repeat
from infra.webhooks.sending import Sender, Try
from infra.webhooks.signature import SecretUnreadable, WebhookSecrets, signed_headers

log = logging.getLogger(__name__)

MINUTE, HOUR = 60, 3_600
# Seconds before the second try, the third, and so on: three days in all.
PAUSES_S = (5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
JITTER_PERCENT = 20  # either way, so that receivers that come back are not hit by all at once
GIVE_UP_AFTER = timedelta(days=3)  # of failures without a success between them
GONE = 410  # the receiver says that it wants nothing more
AT_ONCE = 32  # deliveries on the way,
AT_ONCE_EACH = 4  # and to one webhook
LEASE = timedelta(seconds=60)  # a claimed delivery that is not finished is tried again after this
POLL_S = 0.5
FINISH_S = 2.0
LAST_PAUSE_S = 10.0

# The claim moves `next_at` ahead: no second process takes the row, and none forgets it if we die. What is due is asked
# once more by the row that is locked: only there does PostgreSQL look at what another process has committed meanwhile.
_CLAIM = """
    update deliveries d set next_at = scrip_now() + %(lease)s
    from webhooks w, alerts a
    where d.id in (
        select id from deliveries where status = 'pending' and next_at <= %(now)s and id in (
            select id from (
                select d.id, d.next_at, row_number() over (partition by d.webhook_id order by d.next_at) as turn
                from deliveries d join webhooks w on w.id = d.webhook_id and w.enabled
                where d.status = 'pending' and d.next_at <= %(now)s and not d.webhook_id = any(%(busy)s)
            ) due where turn <= %(each)s order by next_at limit %(free)s
        ) for update skip locked
    ) and w.id = d.webhook_id and a.id = d.alert_id
    returning d.id, d.org, d.webhook_id, d.attempts, w.url, w.secret, a.id as alert_id, a.type, a.subject, a.rule,
        a.severity, a.user_id, a.message, a.data, a.at"""

_RECORD = """
    update deliveries set status = %(status)s, attempts = attempts + 1, status_code = %(code)s, error = %(error)s,
        at = scrip_now(), next_at = scrip_now() + %(pause)s,
        tries = tries || jsonb_build_array(%(log)s || jsonb_build_object('at', scrip_now()))
    where id = %(id)s and status = 'pending'"""

_SUCCEEDED = "update webhooks set failing_since = null where id = %s and failing_since is not null"
_FAILED = """
    update webhooks set failing_since = coalesce(failing_since, scrip_now()) where id = %s
    returning failing_since <= scrip_now() - %s::interval"""
_DISABLE = """
    update webhooks set enabled = false, disabled_reason = %s, updated_at = scrip_now()
    where id = %s and enabled returning org, url, updated_at"""


class Due(NamedTuple):
    """A delivery that was claimed, with its webhook and its alert."""

    id: str
    org: str
    webhook_id: str
    attempts: int
    url: str
    secret: bytes
    alert_id: int
    type: str
    subject: str
    rule: str
    severity: str
    user_id: str | None
    message: str
    data: dict[str, Any]
    at: datetime


class Deliveries:
    """The deliverer. `pool`: login scrip_writer, autocommit. `sent` counts tries."""

    def __init__(self, pool: "AsyncConnectionPool[Any]", secrets: WebhookSecrets, sender: Sender) -> None:
        self._pool = pool
        self._secrets = secrets
        self._sender = sender
        self._under_way: dict[asyncio.Task[None], str] = {}
        self.sent = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set; what is on the way then is finished. Waits out a database that is away."""

        async def look() -> None:
            await self.start_due()

        away = (psycopg.Error, OSError)
        try:
            await repeat("reading webhooks", look, stop, away, every_s=POLL_S, last_pause_s=LAST_PAUSE_S)
        finally:
            await self.finish()

    async def start_due(self) -> int:
        """Begin to deliver what is due, as far as there is room, and return how many those are."""
        counted = Counter(self._under_way.values())
        busy = [webhook for webhook, count in counted.items() if count >= AT_ONCE_EACH]
        free = AT_ONCE - len(self._under_way)
        if free <= 0:
            return 0
        async with self._pool.connection() as connection:
            # `scrip_now()` is volatile and would keep the index from being used, so the time is read first.
            clock = await (await connection.execute("select scrip_now()")).fetchone()
            arguments = {"now": clock and clock[0], "lease": LEASE, "busy": busy, "each": AT_ONCE_EACH, "free": free}
            cursor = await connection.cursor(row_factory=class_row(Due)).execute(_CLAIM, arguments)
            claimed = await cursor.fetchall()
        for due in claimed:
            task = asyncio.create_task(self._deliver(due))
            self._under_way[task] = due.webhook_id
            task.add_done_callback(self._under_way.pop)
        return len(claimed)

    async def finish(self) -> None:
        """Wait for what is on the way, but not for slow receivers: what is cut off is delivered again later."""
        under_way = list(self._under_way)
        if under_way:
            await asyncio.wait(under_way, timeout=FINISH_S)
        await end_tasks(under_way)

    async def _deliver(self, due: Due) -> None:
        try:
            await self._record(due, await self._try(due))
        except (psycopg.Error, OSError) as error:
            # The lease runs out and the alert is delivered again; the receiver knows it by its `webhook-id`.
            log.warning("the delivery %s was not written down: %s", due.id, error or type(error).__name__)

    async def _try(self, due: Due) -> Try:
        try:
            secret = self._secrets.decrypt(due.org, due.webhook_id, bytes(due.secret))
        except SecretUnreadable as error:
            return Try(None, str(error), 0)
        async with self._pool.connection() as connection:
            clock = await (await connection.execute("select extract(epoch from scrip_now())::bigint")).fetchone()
        body = message(due)
        headers = signed_headers(secret, message_id(due.alert_id), clock[0] if clock else 0, body)
        self.sent += 1
        return await self._sender.send(due.url, headers, body)

    async def _record(self, due: Due, tried: Try) -> None:
        last = due.attempts >= len(PAUSES_S)
        pause = None if tried.delivered or last else next_pause(due.attempts)
        status = "delivered" if tried.delivered else "failed" if last else "pending"
        outcome = {"status_code": tried.status_code, "error": tried.error, "ms": tried.ms}
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(
                _RECORD,
                {
                    "id": due.id,
                    "status": status,
                    "code": tried.status_code,
                    "error": tried.error,
                    "pause": pause,
                    "log": Jsonb(outcome),
                },
            )
            if tried.delivered:
                await connection.execute(_SUCCEEDED, (due.webhook_id,))
                return
            row = await (await connection.execute(_FAILED, (due.webhook_id, GIVE_UP_AFTER))).fetchone()
            if tried.status_code == GONE:
                await _switch_off(connection, due.webhook_id, "the receiver answered 410 Gone")
            elif row is not None and row[0]:
                await _switch_off(connection, due.webhook_id, f"it failed for {GIVE_UP_AFTER.days} days")


async def _switch_off(connection: "psycopg.AsyncConnection[Any]", webhook: str, reason: str) -> None:
    row = await (await connection.execute(_DISABLE, (reason, webhook))).fetchone()
    if row is None:
        return  # another delivery has just done it
    org, url, at = row
    facts = {"webhook_id": webhook, "url": url, "reason": reason}
    sentence = f"The webhook {url} is switched off: {reason}."
    key = f"{webhook}/{at.isoformat()}"
    await raise_alerts(
        connection, [Crossing("webhook_disabled", "critical", org, key, f"webhook/{webhook}", None, sentence, facts)]
    )


def next_pause(attempts: int) -> timedelta:
    """How long after a failed try the next one is due; `attempts` were made before it (0 for the first)."""
    seconds = PAUSES_S[attempts]
    spread = seconds * 1_000 * JITTER_PERCENT // 100
    return timedelta(seconds=seconds, milliseconds=random.randint(-spread, spread))  # noqa: S311 - only spreads load


def message_id(alert_id: int) -> str:
    """The `webhook-id` of an alert, and its `ce_id` on the topic: the same in every try and for every receiver."""
    return f"alert_{alert_id}"


def message(due: Due) -> bytes:
    """The body: type, timestamp and data, as Standard Webhooks recommends."""
    return msgspec.json.encode(
        {
            "type": due.type,
            "timestamp": due.at,
            "data": {
                "id": due.alert_id,
                "org": due.org,
                "rule": due.rule,
                "severity": due.severity,
                "subject": due.subject,
                "user_id": due.user_id,
                "message": due.message,
                "facts": due.data,
            },
        }
    )
