"""The auditor's check of the whole chain from log to read models."""

from asyncio import Lock
from typing import Annotated, Any

from fastapi import Depends
from fastapi.routing import APIRoute

from api.operation import Call
from api.policy import ADMIN
from api.problems import Problem
from api.reading import Json
from api.routing import ReadRoute, call_of
from api.schemas import AuditReport
from api.services import Services


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""
    running = Lock()

    async def verify_audit(call: Annotated[Call, Depends(call_of)]) -> Json:
        if services.verify is None:
            raise Problem(503, "not_offered", "This process cannot run the audit. Use scrip verify.")
        if running.locked():
            raise Problem(
                409, "in_progress", "An audit is running. Retry when it has ended.", headers={"Retry-After": "10"}
            )
        async with running:
            report = await services.verify()
        return Json(report if call.principal.role is ADMIN else _without_others(report))

    return [
        ReadRoute(
            "GET",
            "/api/v1/audit/verify",
            verify_audit,
            services,
            operation="verify_audit",
            summary="Recompute the chain and compare log, topic and read models",
            answers=AuditReport,
        )
    ]


def _without_others(report: dict[str, Any]) -> dict[str, Any]:
    """The report for one organisation: a difference may lie in another's data, so its values are left out."""
    sections = [
        {name: value for name, value in section.items() if name != "first_difference"}
        for section in report.get("sections", ())
    ]
    return {**report, "sections": sections}
