"""How commands and questions on organisations are handled: which streams and tags their decisions see."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from domain.kernel.domain import Answerer, Decider, Module
from domain.kernel.work import StreamKind, Work
from domain.organisations.choose import ChoosePlan, choose_plan, plan_accounts, take_effect
from domain.organisations.configure import ConfigureOrganisation, configure
from domain.organisations.events import EVENTS
from domain.organisations.now import OrganisationNow, PlanNow, organisation_now, plan_now, standing_accounts
from domain.organisations.state import STREAM, Organisation, due, evolve
from domain.plans import state as plans


def _stream(_command: Any) -> tuple[str, ...]:
    return (STREAM,)


def _configure(work: Work, command: ConfigureOrganisation, now: datetime) -> Iterable[tuple[str, Any]]:
    return [(STREAM, event) for event in configure(work.state(STREAM), command, now)]


def _plan_accounts(work: Work, command: ChoosePlan) -> tuple[str, ...]:
    return plan_accounts(work.org, work.state(STREAM), work.platform(plans.STREAM).plans.get(command.plan))


def _choose(work: Work, command: ChoosePlan, now: datetime) -> Iterable[tuple[str, Any]]:
    return take_effect(work, choose_plan(work.state(STREAM), work.platform(plans.STREAM), command, now), now)


DECIDERS: dict[type, Decider] = {
    ConfigureOrganisation: Decider(_stream, _configure),
    ChoosePlan: Decider(_stream, _choose, platform=(plans.STREAM,), streams_from_state=_plan_accounts),
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
        refresh=lambda organisation: organisation,
        entries=lambda _organisation: 1,
        schema=1,
    ),
}


MODULE = Module(deciders=DECIDERS, answerers=ANSWERERS, kinds=KINDS, events=EVENTS)
