"""Read model: who is in which group."""

from dataclasses import dataclass
from datetime import datetime

from projections.facts import Fact
from projections.table import Table


@dataclass(slots=True)
class MemberRow:
    """One user's row in one group (members.sql)."""

    org: str
    group_id: str
    user_id: str
    joined_at: datetime
    position: int


TABLE = Table(
    "members",
    MemberRow,
    {"org": "text", "group_id": "text", "user_id": "text", "joined_at": "timestamptz", "position": "int8"},
    key=3,
)


def joined(fact: Fact, user: str) -> MemberRow:
    """The row of a user who has just been added to the group of `fact`."""
    return MemberRow(fact.org, fact.id, user, fact.time, fact.position)
