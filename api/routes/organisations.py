"""Organisations: their settings and plans; set up by the platform's admins, or there from their first use."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from api.commands.organisations import (
    CreatedAnswer,
    OrganisationBody,
    chosen,
    configured,
    of_path,
    plan_command,
    settings_command,
    settings_tag,
    shown_settings,
)
from api.current import ask
from api.http.caller import Call
from api.http.command import execute
from api.http.endpoint import REPLAYED, MinPosition, endpoint
from api.http.policy import May
from api.paging import CursorText, IdPrefix, Limit
from api.problems import Problem, refused
from api.reading import Json, cursors, seen
from api.schemas import page_of
from api.services import Services
from api.setting_fields import with_settings
from domain.organisations.configure import settings_of
from domain.organisations.now import OrganisationNow, PlanNow, PlanStanding
from domain.organisations.state import Organisation
from domain.refusal import StaleVersion
from domain.resources.table import RESOURCES
from domain.settings.setting import Owner
from infra.position import format_position
from infra.security.principal import Role
from infra.writer.submission import Outcome

_LIST = """
    select org as id, plan, plan_version, billing, paid_until, time_zone, created_at, updated_at
    from read.organisations
    where org > %(after)s and starts_with(org, %(prefix)s) and (%(own)s::text is null or org = %(own)s)
    order by org limit %(limit)s"""


class OrganisationRow(BaseModel):
    """An organisation in a list."""

    id: str
    plan: str
    plan_version: int
    billing: str
    paid_until: datetime | None = None
    time_zone: str
    created_at: datetime
    updated_at: datetime


class Enforceable(BaseModel):
    """A resource that an organisation may have checked; `label` and `about` are for people."""

    name: str
    label: str
    about: str


@with_settings(Owner.ORGANISATION)
class OrganisationAnswer(BaseModel):
    """Settings, plan, and what there is of each token type; `refresh_date`: when the 30-day cycle ends."""

    id: str
    time_zone: str
    enforce: list[str]
    enforceable: list[Enforceable]
    pay_from: list[str]
    over_actual: str
    settlement_policy: dict[str, int]
    plan: str
    plan_version: int
    billing: str
    paid_until: datetime | None = None
    storage_limit: int | None = None
    cycle_start: datetime | None = None
    refresh_date: datetime | None = None
    tokens: dict[str, dict[str, int]]
    credits: dict[str, int]
    position: str


@endpoint("GET /api/v1/organisations", May.READ_PLATFORM, page_of(OrganisationRow))
async def list_organisations(
    call: Call, prefix: IdPrefix = "", limit: Limit = 50, cursor: CursorText = None, min_position: MinPosition = None
) -> Json:
    """The platform's organisations."""
    await seen(call, min_position)
    pages = cursors(call, "organisations", prefix)
    after = pages.decode(cursor, str)[0] if cursor else ""
    own = None if call.principal.role is Role.ADMIN else call.org
    wanted = {"after": after, "prefix": prefix, "own": own, "limit": limit + 1}
    rows = await call.services.rows_of_all(_LIST, wanted)
    return Json(pages.page(rows, limit, lambda row: [row["id"]], lambda row: row))


@endpoint("GET /api/v1/organisations/{id}", May.READ_ORGANISATION, OrganisationAnswer)
async def read_organisation(call: Call, id: str) -> Json:
    """An organisation's settings and plan."""
    del id  # the guard has checked it, and the call carries it
    told, organisation = await _organisation(call.services, of_path(call).org)
    return Json(told, headers={"ETag": settings_tag(settings_of(organisation))})


@endpoint("POST /api/v1/organisations", May.MANAGE_PLATFORM, CreatedAnswer, status=201)
async def create_organisation(call: Call, body: OrganisationBody) -> Json:
    """Set an organisation up.

    Settings first, then the plan; both under the caller's key, so that a repetition goes on where it broke off.
    """
    first = settings_command(body, settings_of(Organisation()))
    outcome = await _run(call, body.id, first, "settings")
    if outcome.refusal is not None:
        if outcome.refusal.code == StaleVersion.code:
            raise Problem(409, "exists", f"The organisation {body.id} is set up already.", id=body.id)
        raise refused(outcome.refusal)
    told: dict[str, Any] = {"id": body.id, **configured(outcome)}
    if body.plan is not None:
        planned = await _run(call, body.id, plan_command(body, body.plan), "plan")
        if planned.refusal is not None:
            raise refused(planned.refusal)
        told |= chosen(planned)
    return Json(told, status_code=201, headers=REPLAYED if outcome.replayed else None)


async def _run(call: Call, org: str, command: Any, part: str) -> Outcome:
    return await execute(call.services, call.submission(command, org=org, part=part))


async def _organisation(services: Services, org: str) -> tuple[dict[str, Any], Organisation]:
    """The organisation now, from the write side. Raises Problem (503)."""
    organisation: Organisation = (await ask(services, org, OrganisationNow())).value
    answered = await ask(services, org, PlanNow())
    standing: PlanStanding = answered.value
    told = {
        "id": org,
        "enforceable": [
            {"name": name, "label": name.capitalize(), "about": RESOURCES.by_name[name].about}
            for name in RESOURCES.enforceable
        ],
        **shown_settings(settings_of(organisation)),
        "plan": standing.plan,
        "plan_version": standing.plan_version,
        "billing": standing.billing,
        "paid_until": standing.paid_until,
        "storage_limit": standing.storage_limit,
        "cycle_start": standing.cycle_start,
        "refresh_date": standing.refresh_date,
        "tokens": {name: unit._asdict() for name, unit in standing.tokens.items()},
        "credits": standing.credits._asdict(),
        "position": format_position(answered.position),
    }
    return told, organisation
