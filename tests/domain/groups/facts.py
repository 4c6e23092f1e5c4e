"""Facts and commands about groups that these tests have in common."""

from collections.abc import Sequence
from typing import Any

from domain.groups.commands import AddMembers, CreateGroup, TrackGeneration
from domain.groups.events import GroupEdited, GroupJoined, MembersAdded
from domain.groups.now import GroupNow, GroupUse
from domain.groups.refusals import NoSuchGroup
from domain.groups.state import Group, memberships_of, stream_of
from domain.periods import Every
from domain.quotas.events import UseCounted
from tests.domain.scenario import Scenario

G1, G2 = stream_of("g1"), stream_of("g2")
ANNA = memberships_of("anna")


MISSING = NoSuchGroup(group_id="g1")


def create(group_id: str = "g1", every: Every = Every.TOTAL, **limits: int) -> CreateGroup:
    return CreateGroup(group_id=group_id, name="Team", limits=limits, every=every)


def add(*users: str, group_id: str = "g1") -> AddMembers:
    return AddMembers(group_id=group_id, users=users)


def added(*users: str, group_id: str = "g1") -> Sequence[tuple[str, Any]]:
    """The facts of an `add`."""
    joined = [(memberships_of(user), GroupJoined(group_id=group_id)) for user in users]
    return [(stream_of(group_id), MembersAdded(group_id=group_id, users=users)), *joined]


def track(what: str = "image", count: int = 1, user: str = "anna") -> TrackGeneration:
    return TrackGeneration(user=user, what=what, count=count)


def counted(what: str = "image", count: int = 1, user: str = "anna") -> UseCounted:
    return UseCounted(amounts={what: count}, user=user)


def group(scenario: Scenario, group_id: str = "g1") -> Group:
    state: Group = scenario.ledger.state(stream_of(group_id))
    return state


def now(scenario: Scenario, group_id: str = "g1") -> GroupUse:
    use: GroupUse = scenario.ask(GroupNow(group_id=group_id))
    return use


def edited(**changes: Any) -> GroupEdited:
    facts = {"name": "Team", "description": "", "limits": {"image": 10}, "every": Every.TOTAL, **changes}
    return GroupEdited(group_id="g1", **facts)
