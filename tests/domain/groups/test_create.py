"""A group is created with its limits (S1)."""

from typing import Any

import pytest

from domain.groups.commands import CreateGroup, DeleteGroup, EditGroup
from domain.groups.events import GroupCreated
from domain.groups.refusals import GroupExists, InvalidGroup
from domain.groups.state import MAX_DESCRIPTION, MAX_LIMIT, MAX_LIMITS
from domain.periods import Every
from tests.domain.groups.facts import G1, create
from tests.domain.scenario import Scenario


def test_s1_a_group_has_name_description_and_separate_limits() -> None:
    """S1-1."""
    command = CreateGroup(
        group_id="g1", name="Team", description="All of us", limits={"image": 0, "video": 5}, every=Every.WEEK
    )
    created = GroupCreated(
        group_id="g1", name="Team", description="All of us", limits={"image": 0, "video": 5}, every=Every.WEEK
    )
    Scenario().when(command).then((G1, created))


def test_an_id_is_used_once_even_after_deletion() -> None:
    scenario = Scenario().done(create())
    refusal = GroupExists(group_id="g1")
    scenario.when(create()).then_refused(refusal)
    scenario.done(DeleteGroup(group_id="g1")).when(create()).then_refused(refusal)
    assert str(refusal) == "There is, or was, a group g1 already."


@pytest.mark.parametrize(
    ("values", "field", "limit"),
    [
        ({"name": ""}, "name", 255),
        ({"name": " "}, "name", 255),
        ({"name": "x" * 256}, "name", 255),
        ({"description": "x" * (MAX_DESCRIPTION + 1)}, "description", MAX_DESCRIPTION),
        ({"limits": {"image": -1}}, "image_limit", MAX_LIMIT),
        ({"limits": {"video": MAX_LIMIT + 1}}, "video_limit", MAX_LIMIT),
        ({"limits": {"music": 1}}, "music", None),
        ({"limits": {"tokens.": 1}}, "tokens.", None),
        ({"limits": {f"tokens.t{number}": 1 for number in range(MAX_LIMITS + 1)}}, "limits", MAX_LIMITS),
    ],
)
def test_values_are_in_bounds(values: dict[str, Any], field: str, limit: int | None) -> None:
    """S1-6: input validation; the refusal names the field and its bound, for a new group and for an edited one."""
    created = Scenario().when(CreateGroup(**{"group_id": "g1", "name": "Team", **values}))
    changed = Scenario().done(create()).when(EditGroup(group_id="g1", **values))
    for result in (created, changed):
        refusal = result.decided.refusal
        assert isinstance(refusal, InvalidGroup)
        assert (refusal.field, refusal.limit) == (field, limit)
        assert str(refusal).startswith(f"{field}: ")
        assert not result.decided.events


def test_values_at_their_bounds_pass() -> None:
    most = create(image=MAX_LIMIT, video=0)
    Scenario().done(most, EditGroup(group_id="g1", name="x" * 255, description="x" * MAX_DESCRIPTION))
