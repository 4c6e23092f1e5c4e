"""What an operator looks at first: lag, the topic, holds, quarantine, webhooks, the last verify and rebuild."""

from typing import Annotated, Any

import psycopg
import structlog
from fastapi import Depends
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

from api.fields import MOST_EXACT, Body
from api.operation import Call
from api.operations import Operations, of_one_organisation
from api.policy import ADMIN
from api.problems import Problem
from api.reading import Json
from api.routing import BodyRoute, Given, ReadRoute, call_of
from api.services import Services

log = structlog.get_logger()

_ACKNOWLEDGE = """
    update topic_faults set acknowledged_at = clock_timestamp(), acknowledged_by = %s
    where id = any(%s) and acknowledged_at is null returning id"""


class Figure(BaseModel):
    """`status` is `ok`, `look` or `act`; `runbook` an anchor of the runbook; and the figure's own facts."""

    model_config = ConfigDict(extra="allow")
    runbook: str
    status: str
    message: str


class OperationsAnswer(BaseModel):
    """Lag and log are the deployment's, without counts for an auditor.

    Holds, quarantine and webhooks are an auditor's organisation's, an admin's all.
    """

    as_of: str
    read_models: Figure
    relay: Figure
    topic: Figure
    notifier: Figure
    usage: Figure
    consumers: Figure
    oldest_hold: Figure
    overdue_holds: Figure
    quarantine: Figure
    webhooks: Figure
    disk: Figure
    last_verify: Figure
    last_rebuild: Figure
    log: Figure


class AcknowledgeBody(Body):
    """Faults of the ledger's topic that an operator has seen: the `id` of each in the figure `topic`."""

    ids: Annotated[list[Annotated[int, Field(ge=1, le=MOST_EXACT)]], Field(min_length=1, max_length=1_000)]


class Acknowledged(BaseModel):
    """Which of them were open until now."""

    acknowledged: list[int]


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""
    operations = Operations(services)

    async def read_operations(call: Annotated[Call, Depends(call_of)]) -> Json:
        everywhere = call.principal.role is ADMIN
        try:
            told: dict[str, Any] = await operations.figures(None if everywhere else call.org)
        except psycopg.errors.UndefinedTable:
            raise Problem(503, "not_ready", "The read models do not exist yet: no projector has run.") from None
        return Json(told if everywhere else of_one_organisation(told))

    return [
        ReadRoute(
            "/api/v1/operations",
            read_operations,
            services,
            "Figures for operators, each with its status and its page of the runbook",
            OperationsAnswer,
        ),
        BodyRoute(
            "/api/v1/topic-faults/acknowledge",
            _acknowledge_topic_faults,
            services,
            "End the alarm about faults of the ledger's topic; what is found later raises another",
            AcknowledgeBody,
            Acknowledged,
            keyed=False,
        ),
    ]


async def _acknowledge_topic_faults(given: Given) -> tuple[dict[str, Any], None]:
    actor, ids = given.call.principal.actor, given.body.ids
    async with given.services.database.writes.connection() as connection:
        cursor = await connection.execute(_ACKNOWLEDGE, (actor, ids))
        done = sorted(row[0] for row in await cursor.fetchall())
    log.info("topic faults acknowledged", actor=actor, ids=done)
    return {"acknowledged": done}, None
