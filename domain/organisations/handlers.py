"""How commands and questions on organisations are handled: which streams and tags their decisions see."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from domain.execution import Answerer, Handler, View
from domain.organisations.choose import ChoosePlan, choose_plan, plan_accounts, take_effect
from domain.organisations.configure import ConfigureOrganisation, configure
from domain.organisations.now import OrganisationNow, PlanNow, organisation_now, plan_now, standing_accounts
from domain.organisations.state import STREAM
from domain.plans import state as plans


def _stream(_command: Any) -> tuple[str, ...]:
    return (STREAM,)


def _configure(view: View, command: ConfigureOrganisation, now: datetime) -> Iterable[tuple[str, Any]]:
    return [(STREAM, event) for event in configure(view.state(STREAM), command, now)]


def _plan_accounts(view: View, command: ChoosePlan) -> tuple[str, ...]:
    return plan_accounts(view.org, view.state(STREAM), view.platform(plans.STREAM).plans.get(command.plan))


def _choose(view: View, command: ChoosePlan, now: datetime) -> Iterable[tuple[str, Any]]:
    return take_effect(view, choose_plan(view.state(STREAM), view.platform(plans.STREAM), command, now), now)


HANDLERS: dict[type, Handler] = {
    ConfigureOrganisation: Handler(_stream, _configure),
    ChoosePlan: Handler(_stream, _choose, platform=(plans.STREAM,), further=_plan_accounts),
}

ANSWERERS: dict[type, Answerer] = {
    OrganisationNow: Answerer(_stream, organisation_now),
    PlanNow: Answerer(_stream, plan_now, platform=(plans.STREAM,), further=standing_accounts),
}
