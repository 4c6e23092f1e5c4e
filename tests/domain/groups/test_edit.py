"""A group is changed, and what it has recorded stays (S1)."""

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.groups.commands import DeleteGroup, EditGroup, RemoveMembers
from domain.groups.events import GroupEdited
from domain.groups.now import Room
from domain.periods import Every, Period
from domain.quotas.events import PeriodEnded, PeriodStarted
from tests.domain.groups.facts import G1, MISSING, add, counted, create, edited, now, track
from tests.domain.scenario import NOW, Scenario


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (EditGroup(group_id="g1"), edited()),
        (EditGroup(group_id="g1", name="Others"), edited(name="Others")),
        (EditGroup(group_id="g1", description="Them"), edited(description="Them")),
        (EditGroup(group_id="g1", limits={"image": 3}), edited(limits={"image": 3})),
        (EditGroup(group_id="g1", limits={"image": None}), edited(limits={})),
        (EditGroup(group_id="g1", limits={"video": 0}), edited(limits={"image": 10, "video": 0})),
        (EditGroup(group_id="g1", limits={"tokens.chat": 7}), edited(limits={"image": 10, "tokens.chat": 7})),
    ],
)
def test_an_edit_changes_what_it_names(command: EditGroup, event: GroupEdited) -> None:
    Scenario().done(create(image=10)).when(command).then((G1, event))


def test_s1_editing_a_limit_leaves_recorded_usage_as_it_is() -> None:
    """S1-4."""
    scenario = Scenario().done(create(image=10), add("anna"), track(count=8))
    scenario.done(EditGroup(group_id="g1", limits={"image": 5}))
    assert now(scenario).rooms["image"] == Room("g1", "image", 5, 8)
    assert now(scenario).rooms["image"].remaining == 0
    scenario.done(EditGroup(group_id="g1", limits={"image": 9}))
    assert now(scenario).rooms["image"].remaining == 1


def test_another_kind_of_period_starts_use_anew() -> None:
    """From a total to days: the total ends with what was used, and the first use begins the day at that moment."""
    scenario = Scenario().done(create(image=10), add("anna"), track(count=8))
    ended = PeriodEnded(key="", used={"image": 8}, at=NOW, then=".1")
    scenario.when(EditGroup(group_id="g1", every=Every.DAY)).then((G1, ended), (G1, edited(every=Every.DAY)))
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    assert now(scenario).period == Period("2026-03-01.1", NOW, midnight)
    started = PeriodStarted(key="2026-03-01.1", start=NOW, end=midnight)
    scenario.when(track()).then((G1, started), (G1, counted()))
    scenario.when(EditGroup(group_id="g1", every=Every.DAY)).then((G1, edited(every=Every.DAY)))
    assert now(scenario).rooms["image"].used == 1


@pytest.mark.parametrize(
    "command",
    [
        EditGroup(group_id="g1", name="Others"),
        DeleteGroup(group_id="g1"),
        add("anna"),
        RemoveMembers(group_id="g1", users=("anna",)),
    ],
)
def test_only_a_group_that_is_there_can_be_changed(command: Any) -> None:
    Scenario().when(command).then_refused(MISSING)
    Scenario().done(create(), DeleteGroup(group_id="g1")).when(command).then_refused(MISSING)
    assert str(MISSING) == "There is no group g1."
