"""A deleted group limits nobody, and its history stays (S1)."""

from domain.groups.commands import DeleteGroup
from domain.groups.events import GroupDeleted, GroupLeft
from domain.groups.state import memberships_of
from domain.quotas.events import UseHeld, UseSettled
from tests.domain.groups.facts import ANNA, G1, add, create, group, track
from tests.domain.scenario import Scenario, after


def test_deleting_a_group_frees_its_members() -> None:
    """S1-1."""
    scenario = Scenario().done(create(image=0), add("ben", "anna"))
    left = GroupLeft(group_id="g1")
    scenario.when(DeleteGroup(group_id="g1")).then(
        (G1, GroupDeleted(group_id="g1")), (ANNA, left), (memberships_of("ben"), left)
    )
    scenario.when(track()).then_nothing()
    assert not group(scenario).members


def test_what_a_deleted_group_holds_ends_as_ever() -> None:
    held = UseHeld(generation_id="j1", amounts={"image": 1}, expires_at=after(60))
    scenario = Scenario().done(create(image=1)).given(held, of=G1).done(DeleteGroup(group_id="g1"))
    scenario.given(UseSettled(generation_id="j1", used={"image": 1}, returned={}), of=G1)
    assert (group(scenario).quota.used, len(group(scenario).quota.holds)) == ({"image": 1}, 0)
