"""Where a group stands: use, room, period and status (S1)."""

from datetime import UTC, datetime

import pytest

from domain.groups.commands import DeleteGroup
from domain.groups.now import GroupNow, Room, Status, status
from domain.organisations.events import OrganisationConfigured, OverActual
from domain.organisations.state import STREAM as ORGANISATION
from domain.periods import Every, Period
from domain.quotas.events import UseHeld
from domain.refusal import Refusal
from tests.domain.groups.facts import G1, MISSING, add, create, group, now, track
from tests.domain.scenario import Scenario, after


def test_only_a_group_that_is_there_can_be_asked_for() -> None:
    for scenario in (Scenario(), Scenario().done(create(), DeleteGroup(group_id="g1"))):
        with pytest.raises(Refusal) as refused:
            scenario.ask(GroupNow(group_id="g1"))
        assert refused.value == MISSING


def test_s1_usage_remaining_and_members_are_known_at_once() -> None:
    """S1-4."""
    scenario = Scenario().done(create(image=10), add("anna", "ben"), track(count=3), track("video", 2, "ben"))
    scenario.given(UseHeld(generation_id="j1", amounts={"image": 4}, expires_at=after(60)), of=G1)
    use = now(scenario)
    assert len(use.group.members) == 2
    assert use.rooms == {"image": Room("g1", "image", 10, 7), "video": Room("g1", "video", None, 2)}
    assert [room.remaining for room in use.rooms.values()] == [3, None]
    assert use.period is None
    assert now(scenario.at(after(60))).rooms["image"].remaining == 7


def test_a_period_in_which_nothing_was_used_is_shown_as_it_would_begin() -> None:
    """Its bounds are those of the organisation's time zone."""
    settings = OrganisationConfigured(
        time_zone="Pacific/Auckland", enforce=(), pay_from=(), over_actual=OverActual.REFUSE, settlement_policy={}
    )
    scenario = Scenario().given(settings, of=ORGANISATION).done(create(every=Every.MONTH))
    march = Period("2026-03", datetime(2026, 2, 28, 11, tzinfo=UTC), datetime(2026, 3, 31, 11, tzinfo=UTC))
    assert now(scenario).period == march
    scenario.done(add("anna"), track())
    assert now(scenario).period == march
    assert now(scenario.at(march.end)).rooms["image"].used == 0
    assert group(scenario).quota.used == {"image": 1}  # a question writes nothing


@pytest.mark.parametrize(
    ("used", "limit", "colour"),
    [
        (0, 100, "green"),
        (74, 100, "green"),
        (75, 100, "yellow"),
        (89, 100, "yellow"),
        (90, 100, "red"),
        (120, 100, "red"),
        (0, 0, "red"),
        (2, 3, "green"),
        (3, 4, "yellow"),
        (9, 10, "red"),
        (10**15, None, "green"),
    ],
)
def test_s1_progress_is_green_below_75_percent_yellow_below_90_and_then_red(
    used: int, limit: int | None, colour: str
) -> None:
    """S1-4."""
    assert status(used, limit) == Status(colour)


@pytest.mark.parametrize(("images", "videos", "colour"), [(7, 1, "green"), (7, 3, "yellow"), (9, 3, "red")])
def test_s1_a_group_has_the_status_of_its_fuller_limit(images: int, videos: int, colour: str) -> None:
    scenario = Scenario().done(create(image=10, video=4), add("anna"), track(count=images), track("video", videos))
    assert now(scenario).status == colour
