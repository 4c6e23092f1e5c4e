"""The auditor's check of the whole chain from log to read models, with how far it is for those who watch."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any

import msgspec
import psycopg
from fastapi import Depends
from fastapi.routing import APIRoute
from psycopg_pool import PoolTimeout, TooManyRequests
from starlette.types import Receive, Scope, Send

from api.audit_runs import NOTHING_YET, AuditRuns, Step, in_progress
from api.live.route import Query, serve_stream
from api.live.sending import HEARTBEAT_S, RETRY_MS, block
from api.operation import Call
from api.policy import ADMIN
from api.problems import Problem
from api.query import Known
from api.reading import Json
from api.routing import ReadRoute, call_of
from api.schemas import AuditReport
from api.services import Services
from infra.partitions import partition_of

OPERATION = "verify_audit"
LOOK_EVERY_S = 0.1


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""
    runs = AuditRuns(services)

    async def verify_audit(call: Annotated[Call, Depends(call_of)]) -> Json:
        if runs.current is not None:
            raise in_progress()
        report = await runs.start(call.principal.actor).result()
        return Json(await _for(services, call, report))

    async def blocks(call: Call, _query: Query, _last_event_id: bytes | None) -> AsyncGenerator[bytes, None]:
        run = runs.current or runs.start(call.principal.actor)  # whoever comes while one runs watches that one
        yield f"retry: {RETRY_MS}\n\n".encode()
        told, silent_s = NOTHING_YET, 0.0
        while run.running:
            await run.wait(LOOK_EVERY_S)
            silent_s += LOOK_EVERY_S
            if run.step != told or silent_s >= HEARTBEAT_S:
                told, silent_s = run.step, 0.0
                yield block(msgspec.json.encode(_step(call, told)), event="progress")
        try:
            report = await run.result()
        except Problem as problem:
            yield block(problem.encoded(), event="problem")
        else:
            yield block(msgspec.json.encode(await _for(services, call, report)), event="report")

    return [_VerifyRoute(services, verify_audit, blocks)]


_OWN = """
    select count(*) as events from events
    where org = %(org)s and partition = %(partition)s and position <= %(until)s"""
WITH_TICKET = Known(frozenset({"ticket", "min_position"}))


class _VerifyRoute(ReadRoute):
    """One answer, or server-sent events for who accepts them."""

    def __init__(self, services: Services, verify_audit: Any, blocks: Any) -> None:
        super().__init__(
            "GET",
            "/api/v1/audit/verify",
            verify_audit,
            services,
            operation=OPERATION,
            summary="Recompute the chain and compare log, topic and read models",
            answers=AuditReport,
            description="With `Accept: text/event-stream`: messages `progress` {section, done, total}, then `report`."
            " All organisations are checked. To others than the platform's admins it tells their own events alone, and"
            " progress in percent.",
        )
        whole = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if _streamed(scope):
                await serve_stream(services, OPERATION, blocks, WITH_TICKET, scope, receive, send)
            else:
                await whole(scope, receive, send)

        self.app = app
        self.short = None  # a header decides how it answers


def _step(call: Call, step: Step) -> dict[str, Any]:
    """How far it is: in events for the platform's admins, in percent for others, whom the whole log's size tells."""
    section, done, total = step
    if call.principal.role is not ADMIN:
        done, total = (done * 100 // total, 100) if total else (0, 0)
    return {"section": section, "done": done, "total": total}


def _streamed(scope: Scope) -> bool:
    return any(name == b"accept" and b"text/event-stream" in value for name, value in scope["headers"])


async def _for(services: Services, call: Call, report: dict[str, Any]) -> dict[str, Any]:
    """The report as the caller may see it: to others than the platform's admins figures of their organisation alone.

    A difference may lie in another's data, so its values are left out, and so is how long a section took.
    """
    if call.principal.role is ADMIN:
        return report
    partition = str(partition_of(call.org, services.ledger.writer.partitions))
    until = report.get("positions", {}).get(partition, 0)
    events = await _own_events(services, call.org, int(partition), until)
    return {
        "ok": report["ok"],
        "log": report.get("log"),
        "positions": {partition: until},
        "events": events,
        "sections": [
            {"name": section["name"], "ok": section["ok"], "checked": {}} for section in report.get("sections", ())
        ],
    }


async def _own_events(services: Services, org: str, partition: int, until: int) -> int | None:
    """How many of the events that were checked are the organisation's; None where counting takes too long."""
    try:
        row = await services.row(_OWN, {"org": org, "partition": partition, "until": until})
    except (psycopg.Error, PoolTimeout, TooManyRequests):
        return None
    return int(row["events"]) if row is not None else None
