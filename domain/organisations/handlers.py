"""How commands and questions on organisations are handled: which streams and tags their decisions see."""

from typing import Any

from domain.kernel.domain import Answerer, Decider, Module
from domain.kernel.work import StreamKind, Work
from domain.organisations.choose import ChoosePlan, choose_plan, plan_accounts
from domain.organisations.configure import ConfigureOrganisation, configure
from domain.organisations.events import EVENTS
from domain.organisations.now import OrganisationNow, PlanNow, organisation_now, plan_now, standing_accounts
from domain.organisations.state import STREAM, Organisation, due, evolve, organisation_of
from domain.plans import state as plans
from domain.plans.state import catalogue_of


def _stream(_command: Any) -> tuple[str, ...]:
    return (STREAM,)


def _plan_accounts(work: Work, command: ChoosePlan) -> tuple[str, ...]:
    return plan_accounts(work.org, organisation_of(work), catalogue_of(work).plans.get(command.plan))


DECIDERS: dict[type, Decider] = {
    ConfigureOrganisation: Decider(_stream, configure),
    ChoosePlan: Decider(_stream, choose_plan, platform=(plans.STREAM,), streams_from_state=_plan_accounts),
}

ANSWERERS: dict[type, Answerer] = {
    OrganisationNow: Answerer(_stream, organisation_now),
    PlanNow: Answerer(_stream, plan_now, platform=(plans.STREAM,), streams_from_state=standing_accounts),
}

KINDS: dict[str, StreamKind] = {
    STREAM: StreamKind(
        initial=Organisation(),
        evolve=evolve,
        next_due=lambda organisation: organisation.next_due,
        due=due,
        entries=lambda _organisation: 1,
        schema=1,
    ),
}


MODULE = Module(deciders=DECIDERS, answerers=ANSWERERS, kinds=KINDS, events=EVENTS)
