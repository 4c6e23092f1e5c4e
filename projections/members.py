"""Read model: who is in which group."""

from dataclasses import dataclass
from datetime import datetime

from projections.facts import Fact
from projections.read_model import Index, ReadModel


@dataclass(slots=True)
class MemberRow:
    """One row for each user in each group; gone when the user leaves or the group is deleted."""

    org: str
    group_id: str
    user_id: str
    joined_at: datetime
    position: int


MEMBERS = ReadModel(
    name="members", row=MemberRow, key=("org", "group_id", "user_id"), indexes=(Index("org, user_id, position"),)
)


def joined(fact: Fact, user: str) -> MemberRow:
    """The row of a user who has just been added to the group of `fact`."""
    return MemberRow(fact.org, fact.id, user, fact.time, fact.position)
