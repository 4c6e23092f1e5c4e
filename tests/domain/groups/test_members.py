"""Users are added to groups and removed, one by one and in bulk (S1)."""

from domain.groups.commands import AddMembers, RemoveMembers
from domain.groups.events import GroupLeft, MembersRemoved
from domain.groups.refusals import TooManyGroups, TooManyMembers
from domain.groups.state import MAX_GROUPS, MAX_MEMBERS, Group, Memberships, memberships_of
from tests.domain.groups.facts import ANNA, G1, add, added, create, group, track
from tests.domain.scenario import Scenario


def remove(*users: str) -> RemoveMembers:
    return RemoveMembers(group_id="g1", users=users)


def test_s1_adds_one_or_many_in_one_decision() -> None:
    """S1-2."""
    scenario = Scenario().done(create())
    scenario.when(AddMembers(group_id="g1", users=("anna",))).then(*added("anna"))
    scenario.when(add("ben", "cleo")).then(*added("ben", "cleo"))
    assert set(group(scenario).members) == {"anna", "ben", "cleo"}


def test_who_is_in_the_group_is_passed_over() -> None:
    """S1-2: in bulk, one user's result does not depend on the others; a user named twice joins once."""
    scenario = Scenario().done(create(), add("anna"))
    scenario.when(add("ben", "anna", "ben")).then(*added("ben"))
    scenario.when(add("ben", "anna")).then_nothing()
    assert scenario.ledger.state(ANNA) == Memberships(("g1",))


def test_s1_removes_one_or_many_in_one_decision() -> None:
    """S1-2."""
    scenario = Scenario().done(create(image=0), add("anna", "ben", "cleo"))
    left = GroupLeft(group_id="g1")
    scenario.when(remove("cleo", "dan", "anna", "cleo")).then(
        (G1, MembersRemoved(group_id="g1", users=("cleo", "anna"))), (memberships_of("cleo"), left), (ANNA, left)
    )
    scenario.when(remove("anna")).then_nothing()
    assert set(group(scenario).members) == {"ben"}
    scenario.when(track()).then_nothing()


def test_who_left_can_come_back() -> None:
    scenario = Scenario().done(create(), add("anna"), remove("anna"))
    scenario.when(add("anna")).then(*added("anna"))


def test_a_user_is_in_several_groups() -> None:
    scenario = Scenario().done(create(), create("g2"), add("anna"), add("anna", group_id="g2"))
    assert scenario.ledger.state(ANNA) == Memberships(("g1", "g2"))
    assert scenario.done(remove("anna")).ledger.state(ANNA) == Memberships(("g2",))


def test_a_group_has_a_bound_on_its_members() -> None:
    members = {f"u{number}": True for number in range(MAX_MEMBERS - 1)}
    scenario = Scenario().given_state(Group(exists=True, members=members), of=G1)
    refusal = TooManyMembers(group_id="g1", limit=MAX_MEMBERS)
    scenario.when(add("anna", "ben")).then_refused(refusal)
    scenario.done(add("anna", "u1", "anna"))
    scenario.when(add("ben")).then_refused(refusal)
    scenario.when(add("anna")).then_nothing()
    assert str(refusal) == "The group g1 may have at most 10000 members."


def test_a_user_has_a_bound_on_groups_and_is_named() -> None:
    """One user at the bound refuses the whole command, and the refusal says who."""
    groups = tuple(f"x{number}" for number in range(MAX_GROUPS))
    scenario = Scenario().done(create()).given_state(Memberships(groups), of=ANNA)
    refusal = TooManyGroups(user="anna", limit=MAX_GROUPS)
    scenario.when(add("ben", "anna")).then_refused(refusal)
    assert str(refusal) == "The user anna may be in at most 100 groups."
    scenario.given_state(Memberships(groups[1:]), of=ANNA).done(add("ben", "anna"))
