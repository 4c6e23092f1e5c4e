"""Concurrent generations: which limits hold for whom, and that the count is exact."""

from types import SimpleNamespace
from typing import Any

import pytest

from domain.generations.commands import CancelGeneration, ConfirmGeneration, StartGeneration
from domain.generations.count import CountEarlier, StartCounting
from domain.generations.create import CreateGeneration
from domain.generations.handlers import AssessGeneration
from domain.generations.refusals import ResourcesBusy
from domain.generations.request import Request
from domain.groups.commands import AddMembers, CreateGroup, DeleteGroup, EditGroup
from domain.kernel.work import Key, Stream, Tagged
from domain.organisations.commands import ChoosePlan, ConfigureOrganisation
from domain.organisations.refusals import NotCounted
from domain.plans.publish import PublishPlan
from domain.prices.catalogue import CATALOGUE
from domain.prices.publish import PublishPrices
from domain.quotas.events import UseHeld
from domain.registry import SCRIP
from domain.resources.running import RUNNING
from domain.settings.change import ChangeSettings
from domain.settings.setting import Owner
from tests.domain.scenario import Scenario, after

STREAM, MODEL = "counted/running", "FLUX.1 [dev]"
COUNTED = CountEarlier(resource="running", generation_ids=(), last=True)


def _create(id_: str, user: str = "ann", model: str | None = None) -> CreateGeneration:
    request = Request(user=user, operation="image" if model else "upload", model=model, bytes=None if model else 1)
    return CreateGeneration(generation_id=id_, request=request, own_id=True)


def _shop() -> Scenario:
    """An organisation that counts; nothing but the number of generations is checked."""
    scenario = Scenario().done(PublishPrices(entries=CATALOGUE, first=True)).at(after(60))
    return scenario.done(ConfigureOrganisation(enforce=("running",)), StartCounting(resource="running"), COUNTED)


def _busy(scenario: Scenario, command: Any) -> dict[str, Any]:
    """The check that failed of a generation that must wait."""
    refusal = scenario.when(command).decided.refusal
    assert isinstance(refusal, ResourcesBusy)
    assert refusal.code == "too_many_running"
    (check,) = (check for check in refusal.told["checks"] if not check["ok"])
    return dict(check)


def test_an_organisation_has_a_limit_for_all_of_its_users() -> None:
    scenario = _shop().done(ConfigureOrganisation(settings={"running_limit": 2}), _create("a"), _create("b", "bob"))
    check = _busy(scenario, _create("c", "cy"))
    assert (check["subject"], check["available"], check["limit"]) == ("running", 0, 2)
    assert check["message"] == (
        "Too many generations run for the organisation: 2 at once are the limit. Try again when one has ended."
    )
    scenario.done(StartGeneration(generation_id="a"))
    _busy(scenario, _create("c", "cy"))
    scenario.done(ConfirmGeneration(generation_id="a"), _create("c", "cy"))


def test_a_user_has_a_limit_of_their_own_else_that_of_the_plan() -> None:
    scenario = _shop().done(PublishPlan(plan="pro", name="Pro", settings={"user_running_limit": 1}))
    scenario.done(ChoosePlan(plan="pro"), ConfigureOrganisation(enforce=("running",)))
    scenario.done(_create("a"), _create("b", "bob"))
    check = _busy(scenario, _create("c"))
    assert (check["subject"], check["limit"]) == ("user:ann", 1)
    assert check["message"].startswith("Too many generations run for the user ann: 1 at once")
    scenario.done(ChangeSettings(on=Owner.USER, id="ann", settings={"running_limit": 2}), _create("c"))
    assert _busy(scenario, _create("d"))["limit"] == 2
    assert _busy(scenario, _create("d", "bob"))["limit"] == 1
    scenario.done(ChangeSettings(on=Owner.USER, id="bob", settings={"running_limit": 0}))
    assert _busy(scenario, _create("d", "bob"))["message"].startswith("No generation may run for the user bob now.")


def test_a_model_has_a_limit_for_everybody_however_it_is_spelled() -> None:
    scenario = _shop().done(ChangeSettings(on=Owner.MODEL, id=MODEL.upper(), settings={"running_limit": 1}))
    scenario.done(_create("a", model=MODEL.lower()), _create("b", "bob"))
    assert _busy(scenario, _create("c", "bob", MODEL))["subject"] == f"model:{MODEL.lower()}"
    scenario.done(CancelGeneration(generation_id="a"), _create("c", "bob", MODEL))


def test_each_live_group_of_a_user_has_a_limit() -> None:
    scenario = _shop().done(
        CreateGroup(group_id="g", name="G", settings={"running_limit": 1}),
        CreateGroup(group_id="h", name="H"),
        AddMembers(group_id="g", users=("ann", "bob")),
        AddMembers(group_id="h", users=("ann", "cy")),
        _create("a"),
        _create("b", "cy"),
    )
    assert _busy(scenario, _create("c", "bob"))["subject"] == "group:g"
    scenario.done(EditGroup(group_id="h", settings={"running_limit": 2}))
    assert _busy(scenario, _create("c", "cy"))["limit"] == 2, "those before the limit count"
    scenario.done(DeleteGroup(group_id="g"), DeleteGroup(group_id="h"), _create("c", "bob"), _create("d", "cy"))


def test_one_hold_says_all_that_it_counts_as() -> None:
    scenario = _shop().done(CreateGroup(group_id="g", name="G"), AddMembers(group_id="g", users=("ann",)))
    scenario.done(_create("a", model=MODEL))
    (held,) = (event for stream, event in scenario.ledger.log if stream == STREAM and isinstance(event, UseHeld))
    units = {"running", "running/user:ann", f"running/model:{MODEL.lower()}", "running/group:g"}
    assert held.amounts == dict.fromkeys(units, 1)
    assert dict(scenario.ledger.state(STREAM).counts) == held.amounts
    scenario.done(ConfirmGeneration(generation_id="a"))
    assert not scenario.ledger.state(STREAM).counts


def test_counting_looks_at_nothing_that_it_has_not_named() -> None:
    """What it has not named would be read one by one, while a whole batch waits."""
    scenario = Scenario().done(PublishPrices(entries=CATALOGUE, first=True)).at(after(60))
    scenario.done(ConfigureOrganisation(enforce=("running",)), CreateGroup(group_id="g", name="G"))
    scenario.done(AddMembers(group_id="g", users=("ann",)), _create("a", model=MODEL), _create("b", "bob"))
    scenario.done(StartCounting(resource="running"))
    command = CountEarlier(resource="running", generation_ids=("a", "b"), last=True)
    memory, looked = scenario.ledger.memory, list[str]()

    class Cold:
        def stream(self, key: Key) -> Stream:
            looked.append(key[1])
            return memory.streams.get(key) or memory.stream(key)

        def tagged(self, key: Key) -> Tagged:
            raise AssertionError(key)

    known = SimpleNamespace(streams={}, tags={})
    work = SCRIP.work(known, Cold(), scenario.ledger.state)
    work.begin(scenario.ledger.org, scenario.now)
    decider = SCRIP.deciders[CountEarlier]
    named = {*decider.streams(command), *decider.streams_from_state(work, command)}
    looked.clear()
    decider.decide(work, command)
    assert sum(isinstance(event, UseHeld) for _, event in work.emitted) == 2
    assert set(looked) <= named


def test_it_is_the_last_of_the_reasons_and_only_limits_are_told() -> None:
    scenario = _shop().done(ConfigureOrganisation(settings={"running_limit": 0}))
    told = scenario.ask(AssessGeneration(request=_create("a").request))
    assert [(check["resource"], check["subject"]) for check in told["checks"]] == [("running", "running")]
    scenario.done(ConfigureOrganisation(enforce=("credits", "running")))
    told = scenario.ask(AssessGeneration(request=_create("a", model=MODEL).request))
    assert (told["reason"], [check["ok"] for check in told["checks"]]) == ("insufficient_credits", [False, False])


@pytest.mark.parametrize(
    "limit",
    [
        ConfigureOrganisation(settings={"running_limit": 1}),
        CreateGroup(group_id="g", name="G", settings={"running_limit": 1}),
        ChangeSettings(on=Owner.USER, id="ann", settings={"running_limit": 1}),
        ChangeSettings(on=Owner.MODEL, id="m", settings={"running_limit": 1}),
        ChoosePlan(plan="pro"),
    ],
)
def test_no_limit_before_all_is_counted(limit: Any) -> None:
    scenario = Scenario().done(PublishPlan(plan="pro", name="Pro", settings={"user_running_limit": 1}))
    scenario.when(limit).then_refused(NotCounted(resource="running"))
    scenario.done(StartCounting(resource="running"), COUNTED, limit)


def test_people_are_told_what_it_is() -> None:
    assert RUNNING.whose(STREAM) == "those that run at once"
    assert RUNNING.place(STREAM) == ("resource", "running")
    assert [action.label for action in RUNNING.actions("too_many_running")] == ["Ask Your Admin"]
