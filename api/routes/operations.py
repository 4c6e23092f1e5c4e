"""What an operator looks at first: lag, holds, quarantine, webhooks, the last verify and rebuild."""

from typing import Annotated, Any

import psycopg
from fastapi import Depends
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict

from api.operation import Call
from api.operations import Operations
from api.policy import ADMIN
from api.problems import Problem
from api.reading import Json
from api.routing import ReadRoute, call_of
from api.services import Services


class Figure(BaseModel):
    """`status` is `ok`, `look` or `act`; `runbook` an anchor of the runbook; and the figure's own facts."""

    model_config = ConfigDict(extra="allow")
    runbook: str
    status: str
    message: str


class OperationsAnswer(BaseModel):
    """Lag and log are the deployment's; holds, quarantine and webhooks an auditor's organisation's, an admin's all."""

    as_of: str
    read_models: Figure
    notifier: Figure
    usage: Figure
    oldest_hold: Figure
    overdue_holds: Figure
    quarantine: Figure
    webhooks: Figure
    last_verify: Figure
    last_rebuild: Figure
    log: Figure


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""
    operations = Operations(services)

    async def read_operations(call: Annotated[Call, Depends(call_of)]) -> Json:
        everywhere = call.principal.role is ADMIN
        try:
            told: dict[str, Any] = await operations.figures(None if everywhere else call.org)
        except psycopg.errors.UndefinedTable:
            raise Problem(503, "not_ready", "The read models do not exist yet: no projector has run.") from None
        return Json(told)

    return [
        ReadRoute(
            "GET",
            "/api/v1/operations",
            read_operations,
            services,
            operation="read_operations",
            summary="Figures for operators, each with its status and its page of the runbook",
            answers=OperationsAnswer,
        )
    ]
