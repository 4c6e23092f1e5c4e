"""Organisations: set up and configure them, choose their plan, read them."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from api.http.caller import Call, Found, tag_of
from api.http.command import command, execute
from api.http.endpoint import REPLAYED, Answer, endpoint, shaped
from api.http.fields import Body, Id, Label, Whole, given_settings, with_settings
from api.http.fields import shown_settings as shown_declared
from api.http.lists import IdPrefix, Json, Page, page_of
from api.http.policy import May
from api.http.problems import Problem, invalid, refused
from api.http.services import Services
from domain.organisations.commands import ChoosePlan, ConfigureOrganisation, settings_of
from domain.organisations.events import Billing, OrganisationConfigured, PlanChosen
from domain.organisations.events import Outcome as GenerationOutcome
from domain.organisations.now import OrganisationNow, PlanNow, PlanStanding
from domain.organisations.state import Organisation
from domain.periods import cycle_at, refresh_date
from domain.refusal import StaleVersion
from domain.resources.table import RESOURCES
from domain.settings.setting import Owner
from infra.position import format_position
from infra.security.principal import Role
from infra.writer import submission
from infra.writer.submission import Outcome

NAMES = 10  # elements of a list that the domain bounds more narrowly, with a better sentence


@with_settings(Owner.ORGANISATION)
class SettingsBody(Body):
    """What is not given stays as it is; what is given replaces the setting as a whole.

    `enforce`: resources that are checked. `pay_from`: who pays, in this order: `user:{user}`, `org:{org}`,
    `group:<id>`. `settlement_policy`: percent that is charged by outcome of a failure, of what was used
    where that is reported and priced, else of the hold.
    """

    time_zone: Label | None = None
    enforce: Annotated[list[Label], Field(max_length=NAMES)] | None = None
    pay_from: Annotated[list[Label], Field(max_length=NAMES)] | None = None
    over_actual: Label | None = None
    settlement_policy: Annotated[dict[Label, Whole], Field(max_length=NAMES)] | None = None


class OrganisationBody(SettingsBody):
    """A new organisation. `plan`: starter where none is given."""

    id: Id
    plan: Id | None = None
    billing: Literal["monthly", "annual"] = "monthly"


@with_settings(Owner.ORGANISATION)
class SettingsAnswer(BaseModel):
    """The settings as they are now."""

    time_zone: str
    enforce: list[str]
    pay_from: list[str]
    over_actual: str
    settlement_policy: dict[str, int]
    position: str


class CreatedAnswer(SettingsAnswer):
    """What was set up; the plan's fields where one was named."""

    id: str
    plan: str | None = None
    plan_version: int | None = None
    billing: str | None = None
    paid_until: datetime | None = None
    tokens: dict[str, int] | None = None
    credits: int | None = None
    storage_limit: int | None = None
    refresh_date: datetime | None = None


class PlanBody(Body):
    """The plan to be on from now on; `annual` prepays twelve 30-day cycles."""

    plan: Id
    billing: Literal["monthly", "annual"] = "monthly"


class PlanAnswer(BaseModel):
    """The plan with the terms that were chosen. `refresh_date`: when the running cycle ends."""

    plan: str
    plan_version: int
    billing: str
    paid_until: datetime | None = None
    tokens: dict[str, int]
    credits: int
    storage_limit: int | None = None
    refresh_date: datetime | None = None
    position: str


def of_path(call: Call) -> Call:
    """The call for the organisation in its path. Raises Problem (403) for another's."""
    if call.id != call.org and call.principal.role is not Role.ADMIN:
        raise Problem(403, "other_organisation", "The login is not for that organisation.")
    return replace(call, org=call.id)


def settings_tag(settings: OrganisationConfigured) -> str:
    """The ETag of an organisation's settings, which are what PATCH changes."""
    return tag_of(settings)


def shown_settings(settings: OrganisationConfigured) -> dict[str, Any]:
    """Settings as they are read; alert rules have a list of their own."""
    return {
        "time_zone": settings.time_zone,
        "enforce": [*settings.enforce, *(name for name in RESOURCES.enforceable if name not in settings.known)],
        "pay_from": list(settings.pay_from),
        "over_actual": settings.over_actual,
        "settlement_policy": {outcome: settings.settlement_policy.get(outcome, 0) for outcome in GenerationOutcome},
        **shown_declared(settings.settings, Owner.ORGANISATION),
    }


def settings_command(body: SettingsBody, expected: OrganisationConfigured | None) -> ConfigureOrganisation:
    """The command for the settings that the body names."""
    return ConfigureOrganisation(
        time_zone=body.time_zone,
        enforce=tuple(body.enforce) if body.enforce is not None else None,
        pay_from=tuple(body.pay_from) if body.pay_from is not None else None,
        over_actual=body.over_actual,
        settlement_policy=body.settlement_policy,
        settings=given_settings(body, Owner.ORGANISATION),
        expected=expected,
    )


async def _look(call: Call, _body: Any) -> Call:
    """The organisation in the path, and its settings where the caller overwrites only those that it has read."""
    call = of_path(call)
    if call.if_match is None or call.if_match.strip() == "*":
        return call
    given = call.if_match.strip().removeprefix("W/")
    if not (given.startswith('"') and given.endswith('"')):
        raise invalid("If-Match", "must be the ETag of an earlier answer")
    settings = settings_of((await call.ask(OrganisationNow())).value)
    if settings_tag(settings) != given:
        raise Problem(412, StaleVersion.code, "The organisation has changed since it was read. Read it again.")
    return replace(call, found=Found(expected=settings))


async def _look_only(call: Call, _body: Any) -> Call:
    return of_path(call)


def configured(outcome: submission.Outcome) -> Answer:
    """Settings that were changed."""
    return shown_settings(outcome.one(OrganisationConfigured))


def chosen(outcome: submission.Outcome) -> Answer:
    """A plan that was chosen."""
    event = outcome.one(PlanChosen)
    cycle = cycle_at(event.anchor, outcome.time) if event.anchor and outcome.time else 0
    return shaped(PlanAnswer, event, refresh_date=refresh_date(event.anchor, cycle) if event.anchor else None)


def plan_command(body: PlanBody | OrganisationBody, plan: str) -> ChoosePlan:
    """The command that puts an organisation on a plan."""
    return ChoosePlan(plan=plan, billing=Billing(body.billing))


@command("PATCH /api/v1/organisations/{id}", May.SET_ORGANISATION, SettingsAnswer, answer=configured, look=_look)
def configure_organisation(call: Call, body: SettingsBody, _sealed: str | None) -> Any:
    """Change an organisation's settings."""
    return settings_command(body, call.found.expected)


@command("PUT /api/v1/organisations/{id}/plan", May.MANAGE_PLATFORM, PlanAnswer, answer=chosen, look=_look_only)
def choose_plan(_call: Call, body: PlanBody, _sealed: str | None) -> Any:
    """Put an organisation on a plan."""
    return plan_command(body, body.plan)


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


class OrganisationAnswer(SettingsAnswer):
    """Settings, plan, and what there is of each token type; `refresh_date`: when the 30-day cycle ends."""

    id: str
    enforceable: list[Enforceable]
    plan: str
    plan_version: int
    billing: str
    paid_until: datetime | None = None
    storage_limit: int | None = None
    cycle_start: datetime | None = None
    refresh_date: datetime | None = None
    tokens: dict[str, dict[str, int]]
    credits: dict[str, int]


@endpoint("GET /api/v1/organisations", May.READ_PLATFORM, page_of(OrganisationRow))
async def list_organisations(call: Call, page: Page, prefix: IdPrefix = "") -> dict[str, Any]:
    """The platform's organisations."""
    pages = await page.of(call, "organisations", prefix)
    (after,) = pages.after("")
    own = None if call.principal.role is Role.ADMIN else call.org
    wanted = {"after": after, "prefix": prefix, "own": own, "limit": pages.more}
    rows = await call.services.rows_of_all(_LIST, wanted)
    return pages.page(rows, ["id"])


@endpoint("GET /api/v1/organisations/{id}", May.READ_ORGANISATION, OrganisationAnswer)
async def read_organisation(call: Call, id: str) -> Json:
    """An organisation's settings and plan."""
    del id  # the guard has checked it, and the call carries it
    answer, organisation = await _organisation(call.services, of_path(call).org)
    return Json(answer, headers={"ETag": settings_tag(settings_of(organisation))})


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
    answer: dict[str, Any] = {"id": body.id, **configured(outcome), "position": format_position(outcome.position)}
    if body.plan is not None:
        planned = await _run(call, body.id, plan_command(body, body.plan), "plan")
        if planned.refusal is not None:
            raise refused(planned.refusal)
        answer |= {**chosen(planned), "position": format_position(planned.position)}
    return Json(answer, status_code=201, headers=REPLAYED if outcome.replayed else None)


async def _run(call: Call, org: str, command: Any, part: str) -> Outcome:
    return await execute(call.services, call.submission(command, org=org, part=part))


async def _organisation(services: Services, org: str) -> tuple[dict[str, Any], Organisation]:
    """The organisation now, from the write side. Raises Problem (503)."""
    organisation: Organisation = (await services.ask(org, OrganisationNow())).value
    answered = await services.ask(org, PlanNow())
    standing: PlanStanding = answered.value
    answer = shaped(
        OrganisationAnswer,
        standing,
        id=org,
        enforceable=[
            {"name": name, "label": name.capitalize(), "about": RESOURCES.by_name[name].about}
            for name in RESOURCES.enforceable
        ],
        **shown_settings(settings_of(organisation)),
        tokens={name: unit._asdict() for name, unit in standing.tokens.items()},
        credits=standing.credits._asdict(),
        position=format_position(answered.position),
    )
    return answer, organisation
