"""The auditor's check of the whole chain from log to read models, with how far it is for those who watch."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any

import msgspec
from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from api.audit_runs import NOTHING_YET, AuditRuns, in_progress
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

OPERATION = "verify_audit"
LOOK_EVERY_S = 0.1


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""
    runs = AuditRuns(services)

    async def verify_audit(call: Annotated[Call, Depends(call_of)]) -> Json:
        if runs.current is not None:
            raise in_progress()
        report = await runs.start(call.principal.actor).result()
        return Json(_for(call, report))

    async def blocks(call: Call, _query: Query, _last_event_id: bytes | None) -> AsyncGenerator[bytes, None]:
        run = runs.current or runs.start(call.principal.actor)  # whoever comes while one runs watches that one
        yield f"retry: {RETRY_MS}\n\n".encode()
        told, silent_s = NOTHING_YET, 0.0
        while run.running:
            await run.wait(LOOK_EVERY_S)
            silent_s += LOOK_EVERY_S
            if run.step != told or silent_s >= HEARTBEAT_S:
                told, silent_s = run.step, 0.0
                yield block(msgspec.json.encode(dict(zip(_STEP, told, strict=True))), event="progress")
        try:
            report = await run.result()
        except Problem as problem:
            yield block(problem.encoded(), event="problem")
        else:
            yield block(msgspec.json.encode(_for(call, report)), event="report")

    return [_VerifyRoute(services, verify_audit, blocks)]


_STEP = ("section", "done", "total")
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
            description="With `Accept: text/event-stream`: messages `progress` {section, done, total}, then `report`.",
        )
        whole = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if _streamed(scope):
                await serve_stream(services, OPERATION, blocks, WITH_TICKET, scope, receive, send)
            else:
                await whole(scope, receive, send)

        self.app = app
        self.short = None  # a header decides how it answers


def _streamed(scope: Scope) -> bool:
    return any(name == b"accept" and b"text/event-stream" in value for name, value in scope["headers"])


def _for(call: Call, report: dict[str, Any]) -> dict[str, Any]:
    return report if call.principal.role is ADMIN else _without_others(report)


def _without_others(report: dict[str, Any]) -> dict[str, Any]:
    """The report for one organisation: a difference may lie in another's data, so its values are left out."""
    sections = [
        {name: value for name, value in section.items() if name != "first_difference"}
        for section in report.get("sections", ())
    ]
    return {**report, "sections": sections}
