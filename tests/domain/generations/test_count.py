"""A resource that counts while a generation is open, in a domain of the test's own: seats of a studio and its users."""

from typing import Any

import pytest

from domain.credits.events import ReservationExtended
from domain.generations.commands import CancelGeneration, ConfirmGeneration, ExtendGeneration, FailGeneration
from domain.generations.count import CountEarlier, StartCounting
from domain.generations.create import CreateGeneration
from domain.generations.events import GenerationExtended, GenerationHeld, Held
from domain.generations.handlers import AssessGeneration
from domain.generations.refusals import ResourcesBusy, ResourcesShort
from domain.generations.request import Request
from domain.generations.settlement import Reported
from domain.kernel.domain import LetTimePass
from domain.kernel.work import Work
from domain.organisations.commands import ConfigureOrganisation
from domain.organisations.events import Outcome
from domain.organisations.refusals import NotCounted
from domain.organisations.state import organisation_of
from domain.quotas.counted import Counted, CountingCompleted, CountingStarted
from domain.quotas.events import UseExpired, UseExtended, UseHeld, UseReleased
from domain.refusal import RefusalKind
from domain.registry import scrip
from domain.resources.counted import CountedResource, Limits
from domain.resources.resource import ASK_ADMIN
from domain.resources.table import RESOURCES, Resources
from domain.settings.setting import Owner, Setting
from tests.domain.credits.facts import granted
from tests.domain.scenario import Scenario, after


class Seats(CountedResource):
    """As many as the organisation says, for all of its users together."""

    name = "seats"
    reason = "no_seat"
    short = "all seats are taken"
    ways_out = (ASK_ADMIN,)
    settings = (Setting(name="seats", on=Owner.ORGANISATION, about="Seats."),)

    def limits(self, work: Work, user: str, _model: str | None) -> Limits:
        return {"seats": organisation_of(work).settings.get("seats"), f"seats/{user}": None}


DOMAIN = scrip(Resources(*RESOURCES.all, Seats()))
COUNTED, ENDS, LATER = "counted/seats", after(900), after(1_000)
ONE = {"seats": 1, "seats/alice": 1}
HOLD = Held("seats", COUNTED, ONE)


def _create(id_: str = "j", **request: Any) -> CreateGeneration:
    asked = Request(user="alice", operation="image", **request)
    return CreateGeneration(generation_id=id_, request=asked, own_id=True)


def _shop() -> Scenario:
    scenario = Scenario(DOMAIN).given(granted(1_000, "g"), of="account/user:alice:tokens")
    return scenario.done(ConfigureOrganisation(enforce=("tokens", "seats")))


def _counting(limit: int | None = 1) -> Scenario:
    scenario = _shop().done(
        StartCounting(resource="seats"), CountEarlier(resource="seats", generation_ids=(), last=True)
    )
    return scenario.done(ConfigureOrganisation(settings={"seats": limit}))


def _seats(scenario: Scenario, command: Any) -> list[Any]:
    """What an accepted command does to the seats."""
    before = len(scenario.ledger.log)
    scenario.done(command)
    return [event for home, event in scenario.ledger.log[before:] if home == COUNTED]


def _taken(scenario: Scenario) -> int:
    counted: Counted = scenario.ledger.state(COUNTED)
    assert counted.counts.get("seats", 0) == counted.counts.get("seats/alice", 0) == len(counted.quota.holds)
    return counted.counts.get("seats", 0)


def test_nothing_is_written_before_there_is_a_limit() -> None:
    scenario = _shop()
    assert _seats(scenario, _create()) == []
    assert scenario.ask(AssessGeneration(request=_create().request))["checks"][-1]["resource"] == "tokens"


def test_it_is_held_as_soon_as_counting_has_started() -> None:
    scenario = _shop().done(StartCounting(resource="seats"))
    assert _seats(scenario, _create()) == [UseHeld(generation_id="j", amounts=ONE, expires_at=ENDS)]
    assert _taken(scenario) == 1


def test_over_the_limit_is_busy_and_leaves_nothing() -> None:
    scenario = _counting(1).done(_create("one"))
    decided = scenario.when(_create("two")).decided
    assert isinstance(decided.refusal, ResourcesBusy)
    sentence = "All seats are taken. This needs 1, but only 0 of 1 is left."
    assert decided.refusal == ResourcesBusy(
        "no_seat", sentence, decided.refusal.told, {"user_id": "alice", "operation": "image", "model": None}
    )
    assert (decided.refusal.code, decided.refusal.kind) == ("no_seat", RefusalKind.BUSY)
    assert decided.refusal.told["checks"][-1] == {
        "resource": "seats", "subject": "seats", "ok": False, "reason": "no_seat", "needed": 1, "available": 0,
        "limit": 1, "deficit": 1, "message": "All seats are taken. This needs 1, but only 0 of 1 is left.",
        "formatted": {"needed": "1", "available": "0", "limit": "1", "deficit": "1"},
    }  # fmt: skip
    assert decided.events == ()
    scenario.done(CancelGeneration(generation_id="one"), _create("two"))
    assert _taken(scenario) == 1


def test_what_is_short_for_good_comes_first_and_is_a_fact() -> None:
    scenario = _counting(0)
    decided = scenario.when(_create(options={"complexity": "complex", "count": 100})).decided
    assert isinstance(decided.refusal, ResourcesShort)
    assert not isinstance(decided.refusal, ResourcesBusy)
    assert decided.refusal.code == "insufficient_tokens"
    assert [check["ok"] for check in decided.refusal.told["checks"]] == [False, False]


def test_where_it_is_not_enforced_it_is_counted_all_the_same() -> None:
    scenario = _counting(0).done(ConfigureOrganisation(enforce=("tokens",)), _create("one"))
    assert _taken(scenario) == 1
    assert scenario.done(ConfigureOrganisation(enforce=("tokens", "seats"))).when(_create("two")).decided.refusal


@pytest.mark.parametrize(
    "ending",
    [
        CancelGeneration(generation_id="j"),
        ConfirmGeneration(generation_id="j"),
        FailGeneration(generation_id="j", outcome=Outcome.TIMED_OUT),
    ],
)
def test_it_ends_with_the_generation(ending: Any) -> None:
    scenario = _counting().done(_create())
    assert _seats(scenario, ending) == [UseReleased(generation_id="j", amounts=ONE)]
    assert _taken(scenario) == 0
    settled = [event for _, event in scenario.ledger.log if hasattr(event, "returned")]
    assert all("seats" not in event.returned for event in settled)


def test_a_part_leaves_it_held() -> None:
    scenario = _counting().done(_create(options={"count": 2}))
    reported = Reported(succeeded=1, tokens=100)
    assert _seats(scenario, ConfirmGeneration(generation_id="j", reported=reported, final=False)) == []
    assert scenario.ledger.state("generation/j").holds[-1] == HOLD
    assert _taken(scenario) == 1
    scenario.done(ConfirmGeneration(generation_id="j"))
    assert _taken(scenario) == 0


def test_it_is_extended_expires_and_costs_nothing_late() -> None:
    scenario = _counting().done(_create())
    longer = UseExtended(generation_id="j", expires_at=LATER)
    assert _seats(scenario, ExtendGeneration(generation_id="j", ttl_s=1_000)) == [longer]
    scenario.at(after(1_001))
    expired = UseExpired(generation_id="j", amounts=ONE)
    assert _seats(scenario, LetTimePass(stream="generation/j")) == [expired]
    assert _taken(scenario) == 0
    assert _seats(scenario, ConfirmGeneration(generation_id="j")) == []


def test_an_expired_one_makes_room_in_the_decision_that_needs_it() -> None:
    scenario = _counting(1).done(_create("one")).at(after(901)).done(_create("two"))
    assert _taken(scenario) == 1


def test_a_limit_waits_until_those_that_are_open_are_counted() -> None:
    """As a caller that was killed after each step would leave it: the next one goes on."""
    scenario = _shop().done(_create("one"), _create("two"), _create("three"), CancelGeneration(generation_id="two"))
    limit = ConfigureOrganisation(settings={"seats": 2})
    scenario.when(limit).then_refused(NotCounted(resource="seats"))
    scenario.when(StartCounting(resource="seats")).then((COUNTED, CountingStarted()))
    scenario.when(StartCounting(resource="seats")).then()
    scenario.done(_create("four"))
    scenario.when(limit).then_refused(NotCounted(resource="seats"))
    scenario.done(CountEarlier(resource="seats", generation_ids=("one", "two", "four"), last=False))
    assert _taken(scenario) == 2
    scenario.when(limit).then_refused(NotCounted(resource="seats"))
    scenario.done(CountEarlier(resource="seats", generation_ids=("one", "three", "nobody"), last=True))
    assert _taken(scenario) == 3
    assert scenario.done(limit).when(_create("five")).decided.refusal
    scenario.done(ConfirmGeneration(generation_id="one"))
    assert _taken(scenario) == 2
    assert isinstance(scenario.when(_create("five")).decided.refusal, ResourcesBusy)
    scenario.done(CancelGeneration(generation_id="three"), _create("five"))


def test_an_earlier_one_gets_the_hold_beside_its_others() -> None:
    scenario = _shop().done(_create("one"), StartCounting(resource="seats"))
    ((_, held),) = [(home, event) for home, event in scenario.ledger.log if isinstance(event, GenerationHeld)]
    scenario.when(CountEarlier(resource="seats", generation_ids=("one",), last=True)).then(
        ("generation/one", GenerationExtended(generation_id="one", expires_at=ENDS, holds=(*held.holds, HOLD))),
        ("account/user:alice:tokens", ReservationExtended(reservation_id="one", expires_at=ENDS, grown=0, slices=())),
        (COUNTED, UseHeld(generation_id="one", amounts=ONE, expires_at=ENDS)),
        (COUNTED, CountingCompleted()),
    )


def test_one_that_has_expired_unwritten_is_not_counted() -> None:
    scenario = _shop().done(_create("one"), StartCounting(resource="seats")).at(after(901))
    scenario.done(CountEarlier(resource="seats", generation_ids=("one",), last=True))
    assert _taken(scenario) == 0


def test_what_is_no_such_resource_is_not_counted() -> None:
    with pytest.raises(KeyError, match="tokens"):
        _shop().when(StartCounting(resource="tokens"))
