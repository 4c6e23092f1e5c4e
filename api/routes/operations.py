"""What an operator looks at first: lag, the topic, holds, quarantine, webhooks, the last verify and rebuild."""

from typing import Annotated, Any

import psycopg
import structlog
from pydantic import BaseModel, ConfigDict, Field

from api.fields import MOST_EXACT, Body
from api.http.caller import Call
from api.http.endpoint import endpoint
from api.http.policy import ADMIN, May
from api.operations import figures_of, of_one_organisation
from api.problems import Problem
from api.reading import Json

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


@endpoint("GET /api/v1/operations", May.READ_PLATFORM, OperationsAnswer)
async def read_operations(call: Call) -> Json:
    """Figures for operators, each with its status and its page of the runbook."""
    everywhere = call.principal.role is ADMIN
    try:
        told: dict[str, Any] = await figures_of(call.services, None if everywhere else call.org)
    except psycopg.errors.UndefinedTable:
        raise Problem(503, "not_ready", "The read models do not exist yet: no projector has run.") from None
    return Json(told if everywhere else of_one_organisation(told))


@endpoint("POST /api/v1/topic-faults/acknowledge", May.MANAGE_PLATFORM, Acknowledged, keyed=False)
async def acknowledge_topic_faults(call: Call, body: AcknowledgeBody) -> dict[str, Any]:
    """End the alarm about faults of the ledger's topic; what is found later raises another."""
    actor = call.principal.actor
    ids = body.ids
    async with call.services.database.writes.connection() as connection:
        cursor = await connection.execute(_ACKNOWLEDGE, (actor, ids))
        done = sorted(row[0] for row in await cursor.fetchall())
    log.info("topic faults acknowledged", actor=actor, ids=done)
    return {"acknowledged": done}
