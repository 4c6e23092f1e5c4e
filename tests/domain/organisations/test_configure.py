"""Change an organisation's settings."""

from dataclasses import replace

import pytest

from domain.organisations.commands import ConfigureOrganisation, settings_of
from domain.organisations.events import FIRST_RESOURCES, OrganisationConfigured, Outcome, OverActual
from domain.organisations.now import OrganisationNow
from domain.organisations.refusals import InvalidSetting
from domain.organisations.state import Organisation
from domain.refusal import StaleVersion
from tests.domain.scenario import Scenario
from tests.resource_names import Resource

DEFAULTS = settings_of(Organisation())


def configured(scenario: Scenario, command: ConfigureOrganisation) -> OrganisationConfigured:
    ((stream, event),) = scenario.when(command).decided.events
    assert stream == "organisation"
    assert isinstance(event, OrganisationConfigured)
    return event


def test_the_defaults_are_those_of_the_contract() -> None:
    assert (
        OrganisationConfigured(
            time_zone="UTC",
            enforce=FIRST_RESOURCES,  # and what came later: test_change.py
            pay_from=("user:{user}",),
            over_actual=OverActual.REFUSE,
            settlement_policy={},
        )
        == DEFAULTS
    )


@pytest.mark.parametrize(
    ("command", "after"),
    [
        (ConfigureOrganisation(), DEFAULTS),
        (ConfigureOrganisation(time_zone="Pacific/Auckland"), replace(DEFAULTS, time_zone="Pacific/Auckland")),
        (ConfigureOrganisation(enforce=()), replace(DEFAULTS, enforce=(), known=tuple(Resource))),
        (
            ConfigureOrganisation(enforce=("plan", "credits", "plan")),
            replace(DEFAULTS, enforce=(Resource.CREDITS, Resource.PLAN), known=tuple(Resource)),
        ),
        (
            ConfigureOrganisation(pay_from=("user:{user}", "group:g1", "org:{org}")),
            replace(DEFAULTS, pay_from=("user:{user}", "group:g1", "org:{org}")),
        ),
        (ConfigureOrganisation(over_actual="available"), replace(DEFAULTS, over_actual=OverActual.AVAILABLE)),
        (
            ConfigureOrganisation(settlement_policy={"timed_out": 100, "input_blocked": 0}),
            replace(DEFAULTS, settlement_policy={Outcome.INPUT_BLOCKED: 0, Outcome.TIMED_OUT: 100}),
        ),
        (
            ConfigureOrganisation(alert_rules={"budget": {"warning": 75, "on": True}}),
            replace(DEFAULTS, alert_rules={"budget": {"warning": 75, "on": True}}),
        ),
    ],
)
def test_what_is_not_named_stays(command: ConfigureOrganisation, after: OrganisationConfigured) -> None:
    scenario = Scenario()
    assert configured(scenario, command) == after
    assert settings_of(scenario.ask(OrganisationNow())) == after
    assert configured(scenario, ConfigureOrganisation()) == after


@pytest.mark.parametrize(
    ("command", "field", "limit"),
    [
        (ConfigureOrganisation(time_zone="Mars/Olympus"), "time_zone", None),
        (ConfigureOrganisation(time_zone=""), "time_zone", None),
        (ConfigureOrganisation(time_zone="Europe"), "time_zone", None),
        (ConfigureOrganisation(time_zone="../../etc/passwd"), "time_zone", None),
        (ConfigureOrganisation(enforce=("credits", "love")), "enforce", None),
        (ConfigureOrganisation(pay_from=()), "pay_from", 5),
        (ConfigureOrganisation(pay_from=tuple(f"group:g{number}" for number in range(6))), "pay_from", 5),
        (ConfigureOrganisation(pay_from=("user:bob",)), "pay_from", None),
        (ConfigureOrganisation(pay_from=("group:a b",)), "pay_from", None),
        (ConfigureOrganisation(pay_from=("org:{org}", "org:{org}")), "pay_from", None),
        (ConfigureOrganisation(over_actual="maybe"), "over_actual", None),
        (ConfigureOrganisation(settlement_policy={"boredom": 1}), "settlement_policy", None),
        (ConfigureOrganisation(settlement_policy={"other": 101}), "settlement_policy.other", 100),
        (ConfigureOrganisation(settlement_policy={"other": -1}), "settlement_policy.other", 100),
        (ConfigureOrganisation(alert_rules={"r": {"t": -1}}), "alert_rules.r.t", 10**12),
        (ConfigureOrganisation(alert_rules={f"r{number}": {} for number in range(51)}), "alert_rules", 50),
    ],
)
def test_refuses_what_cannot_be_meant(command: ConfigureOrganisation, field: str, limit: int | None) -> None:
    decided = Scenario().when(command).decided
    assert isinstance(decided.refusal, InvalidSetting)
    assert (decided.refusal.field, decided.refusal.limit, decided.events) == (field, limit, ())


def test_refuses_what_was_written_against_settings_that_have_changed() -> None:
    scenario = Scenario().done(ConfigureOrganisation(time_zone="Asia/Tokyo"))
    command = ConfigureOrganisation(over_actual="available", expected=DEFAULTS)
    scenario.when(command).then_refused(StaleVersion(what="organisation", current="changed"))
    scenario.done(replace(command, expected=replace(DEFAULTS, time_zone="Asia/Tokyo")))
