"""The auditor's check of the whole chain from log to read models, and the proof of one event.

Hashes chain per partition, and a partition holds several organisations. Another one's events are links without
content (position, previous hash, hash): they show that the chain is not broken, and are checked by `scrip verify`.
"""

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import psycopg
from psycopg_pool import PoolTimeout, TooManyRequests
from pydantic import BaseModel, ConfigDict
from starlette.types import Receive, Scope, Send

from api.http.caller import Call
from api.http.database import Row
from api.http.endpoint import Endpoint, declare, endpoint
from api.http.fields import Known
from api.http.lists import Page
from api.http.policy import ADMIN, May
from api.http.problems import Problem, invalid, not_found
from api.http.services import Services
from api.log.stream import HEARTBEAT_S, RETRY_MS, Query, block, send_stream
from infra.audit.runs import AuditRunning
from infra.kafka.topics import LEDGER, topic_name
from infra.log.chain import GENESIS, head_of, microseconds
from infra.position import format_position, parse_position


class AuditReport(BaseModel):
    """What was checked, with counts, and the first difference where there is one."""

    model_config = ConfigDict(extra="allow")
    ok: bool


LOOK_EVERY_S = 0.1
Step = tuple[str, int, int]  # section, done, of how many
NOTHING_YET: Step = ("", 0, 0)


class Stopping(Exception):
    """The process stops, and the audit's threads with it."""


class AuditRun:
    """One audit. `step` is how far it is; `result` waits for its report."""

    def __init__(self, services: Services, by: str) -> None:
        if services.verify is None:
            raise Problem(503, "not_offered", "This process cannot run the audit. Use scrip verify.")
        self._closing = services.live.closing
        self.step: Step = NOTHING_YET
        self._task = asyncio.create_task(_reported(services.verify(by, self._seen)))
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())  # its watchers may be gone

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return not self._task.done()

    async def wait(self, timeout_s: float) -> None:
        """Until it has ended, or for `timeout_s`."""
        await asyncio.wait({self._task}, timeout=timeout_s)

    async def result(self) -> dict[str, Any]:
        """The report. It goes on when its caller goes. Raises Problem (409) where another process runs one."""
        return await asyncio.shield(self._task)

    def _seen(self, section: str, done: int, total: int) -> None:
        """Called from the audit's threads."""
        if self._closing.is_set():
            raise Stopping
        self.step = (section, done, total)


class AuditRuns:
    """At most one in this process; that there is one in the deployment, its lock in the database sees to."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._current: AuditRun | None = None

    def start(self, by: str) -> AuditRun:
        """A new one. Raises Problem (409 while one runs, 503)."""
        if self.current is not None:
            raise in_progress()
        self._current = AuditRun(self._services, by)
        return self._current

    @property
    def current(self) -> AuditRun | None:
        """The one that runs, or none."""
        return self._current if self._current is not None and self._current.running else None


def in_progress() -> Problem:
    """An audit is running."""
    detail = "An audit is running. Retry when it has ended."
    return Problem(409, "in_progress", detail, headers={"Retry-After": "10"})


async def _reported(audit: Any) -> dict[str, Any]:
    try:
        report: dict[str, Any] = await audit
    except AuditRunning:
        raise in_progress() from None
    except Stopping:
        raise Problem(503, "stopping", "The service is stopping.", headers={"Retry-After": "5"}) from None
    return report


_OWN = """
    select count(*) as events from events
    where org = %(org)s and partition = %(partition)s and position <= %(until)s"""
WITH_TICKET = Known(frozenset({"ticket", "min_position"}))


@dataclass(kw_only=True, eq=False)
class _Verify(Endpoint):
    """One answer, or server-sent events for who accepts them."""

    async def respond(self, services: Services, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises Problem."""
        if _streamed(scope):
            await send_stream(services, self.may, _progress, WITH_TICKET, scope, receive, send)
        else:
            await super().respond(services, scope, receive, send)


async def _verified(call: Call) -> dict[str, Any]:
    """Recompute the chain and compare log, topic and read models."""
    runs = call.services.single(AuditRuns)
    if runs.current is not None:
        raise in_progress()
    return await _for(call, await runs.start(call.principal.actor).result())


verify_audit = declare(
    _Verify,
    "GET /api/v1/audit/verify",
    May.READ_EVENTS,
    AuditReport,
    name="verify_audit",
    description="With `Accept: text/event-stream`: messages `progress` {section, done, total}, then `report`."
    " All organisations are checked. To others than the platform's admins it tells their own events alone, and"
    " progress in percent.",
)(_verified)


async def _progress(call: Call, _query: Query, _last_event_id: bytes | None) -> AsyncGenerator[bytes, None]:
    runs = call.services.single(AuditRuns)
    run = runs.current or runs.start(call.principal.actor)  # a caller who comes while one runs watches that one
    yield f"retry: {RETRY_MS}\n\n".encode()
    sent, silent_s = NOTHING_YET, 0.0
    while run.running:
        await run.wait(LOOK_EVERY_S)
        silent_s += LOOK_EVERY_S
        if run.step != sent or silent_s >= HEARTBEAT_S:
            sent, silent_s = run.step, 0.0
            yield block(msgspec.json.encode(_step(call, sent)), event="progress")
    try:
        report = await run.result()
    except Problem as problem:
        yield block(problem.encoded(), event="problem")
    else:
        yield block(msgspec.json.encode(await _for(call, report)), event="report")


def _step(call: Call, step: Step) -> dict[str, Any]:
    """How far it is: in events for the platform's admins, in percent for others, who must not learn the log's size."""
    section, done, total = step
    if call.principal.role is not ADMIN:
        done, total = (done * 100 // total, 100) if total else (0, 0)
    return {"section": section, "done": done, "total": total}


def _streamed(scope: Scope) -> bool:
    return any(name == b"accept" and b"text/event-stream" in value for name, value in scope["headers"])


async def _for(call: Call, report: dict[str, Any]) -> dict[str, Any]:
    """The report as the caller may see it: to others than the platform's admins figures of their organisation alone.

    A difference may lie in another's data, so its values are left out, and so is how long a section took.
    """
    if call.principal.role is ADMIN:
        return report
    partition = str(call.partition)
    until = report.get("positions", {}).get(partition, 0)
    events = await _own_events(call, until)
    return {
        "ok": report["ok"],
        "log": report.get("log"),
        "positions": {partition: until},
        "events": events,
        "sections": [
            {"name": section["name"], "ok": section["ok"], "checked": {}} for section in report.get("sections", ())
        ],
    }


async def _own_events(call: Call, until: int) -> int | None:
    """How many of the events that were checked are the organisation's; None where counting takes too long."""
    try:
        row = await call.row(_OWN, partition=call.partition, until=until)
    except (psycopg.Error, PoolTimeout, TooManyRequests):
        return None
    return int(row["events"]) if row is not None else None


RULE = "hash = SHA-256(previous_hash || head || bytes); of another organisation's events only the links are shown"

# The event before `first` comes along for its hash. The bytes of others never leave the database.
_LINKS = """
    select position, org = %(org)s as own, hash,
        case when org = %(org)s then org end as org, case when org = %(org)s then stream end as stream,
        case when org = %(org)s then version end as version, case when org = %(org)s then type end as type,
        case when org = %(org)s then time end as time, case when org = %(org)s then data end as data
    from events where partition = %(partition)s and position >= %(first)s - 1 and position < %(first)s + %(limit)s
    order by position"""
_HEAD = """
    select e.position, e.hash, log.id::text as log from log
    cross join lateral (
        select position, hash from events where partition = %s order by position desc limit 1
    ) e"""


class Link(BaseModel):
    """One step of the chain. `head` and `bytes` (base64) only of the organisation's own events."""

    position: str
    previous_hash: str
    hash: str
    own: bool
    head: str | None = None
    bytes: str | None = None


class Head(BaseModel):
    """The last event of the partition."""

    position: str
    hash: str


class Kafka(BaseModel):
    """Where the topic has the event: the record with this key whose header `ce_position` is the position."""

    topic: str
    partition: int
    key: str


class Proof(Link):
    """`head` is the text that stands between the previous hash and the stored bytes: the hash's other inputs."""

    rule: str
    log: str
    partition: int
    org: str
    stream: str
    version: int
    type: str
    time: datetime
    time_us: int
    kafka: Kafka
    partition_head: Head
    chain: list[Link]
    next_cursor: str | None = None


@endpoint("GET /api/v1/audit/proof/{position}", May.READ_EVENTS, Proof)
async def prove_event(call: Call, page: Page, position: str) -> dict[str, Any]:
    """An event's bytes, what its hash is made of, and the chain from it to the partition's head."""
    at = _position(position)
    pages = page.cursors(call, "proof", position)
    (after,) = pages.after(at)
    proved = await _links(call, at, 1)
    if not proved or not proved[0]["own"]:
        raise not_found("event", position)
    (end,) = await call.services.rows_of_all(_HEAD, (call.partition,))
    chain = await _links(call, after + 1, page.limit)
    more = bool(chain) and chain[-1]["at"] < end["position"]
    return {
        **_event(call.services, call.partition, proved[0]),
        "rule": RULE,
        "log": end["log"],
        "partition_head": {"position": format_position(end["position"]), "hash": bytes(end["hash"]).hex()},
        "chain": [_shown(link) for link in chain],
        "next_cursor": pages.encode([chain[-1]["at"]]) if more else None,
    }


async def _links(call: Call, first: int, limit: int) -> list[Row]:
    """The links from position `first` on, at most `limit`; `at` is a link's position as a number."""
    asked = {"org": call.org, "partition": call.partition, "first": first, "limit": limit}
    rows = await call.services.rows_of_all(_LINKS, asked)
    before = bytes(rows.pop(0)["hash"]) if rows and rows[0]["position"] < first else GENESIS
    found = []
    for row in rows:
        head = _head(call.partition, row) if row["own"] else None
        found.append({**row, "at": row["position"], "previous": before, "head": head})
        before = bytes(row["hash"])
    return found


def _head(partition: int, row: Row) -> str:
    time_us = microseconds(row["time"])
    return head_of(
        partition, row["position"], row["org"], row["stream"], row["version"], row["type"], time_us, len(row["data"])
    )


def _shown(link: Row) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "position": format_position(link["at"]),
        "previous_hash": link["previous"].hex(),
        "hash": bytes(link["hash"]).hex(),
        "own": link["own"],
    }
    if link["own"]:
        answer |= {"head": link["head"], "bytes": b64encode(link["data"]).decode()}
    return answer


def _event(services: Services, partition: int, link: Row) -> dict[str, Any]:
    key = f"{link['org']}/{link['stream']}"
    return {
        **_shown(link),
        "partition": partition,
        **{name: link[name] for name in ("org", "stream", "version", "type", "time")},
        "time_us": microseconds(link["time"]),
        "kafka": {"topic": topic_name(services.settings, LEDGER), "partition": partition, "key": key},
    }


def _position(text: str) -> int:
    try:
        return parse_position(text)
    except ValueError:
        raise invalid("position", "must be the position of an earlier answer") from None
