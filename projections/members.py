"""Read model: who is in which group."""

from dataclasses import dataclass
from datetime import datetime

from domain.groups.events import GroupDeleted, MembersAdded, MembersRemoved
from projections.facts import Fact
from projections.read_model import Index, ReadModel, State, always


@dataclass(slots=True)
class MemberRow:
    """One row for each user in each group; gone when the user leaves or the group is deleted."""

    org: str
    group_id: str
    user_id: str
    joined_at: datetime
    position: int


def fold(state: State, fact: Fact) -> None:
    """Add and delete the rows of users who join and leave."""
    rows = state.rows(MEMBERS)
    match fact.event:
        case MembersAdded(users=users):
            for user in users:
                rows.put((fact.org, fact.id, user), MemberRow(fact.org, fact.id, user, fact.time, fact.position))
        case MembersRemoved(users=users):
            for user in users:
                rows.drop((fact.org, fact.id, user))
        case GroupDeleted():
            rows.drop_all((fact.org, fact.id))


MEMBERS = ReadModel(
    name="members",
    row=MemberRow,
    key=("org", "group_id", "user_id"),
    events={"group": (MembersAdded, MembersRemoved, GroupDeleted)},
    fold=fold,
    ended=always,
    deletes=True,
    indexes=(Index("org, user_id, position"),),
)
