"""Read model: groups with their limits and what is used of them."""

from dataclasses import dataclass
from datetime import datetime

from domain.groups.events import (
    GroupCreated,
    GroupDeleted,
    GroupEdited,
    GroupEvent,
    MembersAdded,
    MembersRemoved,
)
from domain.quotas.events import Amounts
from projections.facts import Fact, follows
from projections.rows import Rows
from projections.table import Table
from projections.use_holds import UseHold, change


@dataclass(slots=True)
class GroupRow:
    """One group's row (groups.sql)."""

    org: str
    id: str
    name: str
    description: str
    limits: Amounts
    every: str
    member_count: int
    used: Amounts
    held: Amounts
    period_key: str
    idle_key: str
    period_start: datetime | None
    period_end: datetime | None
    created_at: datetime
    deleted_at: datetime | None
    version: int
    position: int
    updated_at: datetime


TABLE = Table(
    "groups",
    GroupRow,
    {"org": "text", "id": "text", "name": "text", "description": "text", "limits": "jsonb", "every": "text"}
    | {"member_count": "int8", "used": "jsonb", "held": "jsonb", "period_key": "text", "idle_key": "text"}
    | dict.fromkeys(("period_start", "period_end", "created_at", "deleted_at"), "timestamptz")
    | {"version": "int8", "position": "int8", "updated_at": "timestamptz"},
    key=2,
)


def opened(fact: Fact) -> GroupRow:
    """The row of a group before its first event."""
    time = fact.time
    return GroupRow(fact.org, fact.id, "", "", {}, "total", 0, {}, {}, "", "", None, None, time, None, 0, 0, time)


def apply(row: GroupRow, holds: Rows[UseHold], fact: Fact, event: GroupEvent) -> None:
    """Fold one event. Raises CannotApply where it is not the next one, or about a hold that is unknown."""
    follows(fact, row.version)
    match event:
        case GroupCreated() | GroupEdited():
            row.name, row.description, row.limits = event.name, event.description, event.limits
            row.every = str(event.every)
            if isinstance(event, GroupCreated):
                row.created_at, row.deleted_at = fact.time, None
        case GroupDeleted():
            row.deleted_at, row.member_count = fact.time, 0
        case MembersAdded(users=users):
            row.member_count += len(users)
        case MembersRemoved(users=users):
            row.member_count -= len(users)
        case _:
            row.used, row.held = change(holds, row, fact, event).amounts(row.used, row.held)
    row.version, row.position, row.updated_at = fact.version, fact.position, fact.time
