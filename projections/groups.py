"""Read model: groups with their limits and what is used of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from domain.groups.events import (
    GroupCreated,
    GroupDeleted,
    GroupEdited,
    GroupEvent,
    MembersAdded,
    MembersRemoved,
)
from domain.quotas.events import Amounts
from domain.settings.setting import Values
from projections.facts import Fact, follows
from projections.read_model import Due, ReadModel, State, Words
from projections.use_holds import change_of, turn


@dataclass(slots=True)
class GroupRow:
    """One row for each group. `limits`, `used` and `held` are objects by what is counted (image, video, tokens.{type});
    what `limits` does not name is unlimited. `every`: total, day, week or month. `used` and `held` are of the period
    that `period_key` names. Where none runs (`period_start` is null: there are none, or nothing was used since the last
    one ended) it is `idle_key`, which is empty, and another after each change of `every`. A group that was deleted
    keeps its row, with `deleted_at`. `settings`: by name, those that are set.
    """

    org: str
    id: str
    name: Words
    description: Words
    limits: Amounts
    every: str
    settings: Values
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


def opened(fact: Fact) -> GroupRow:
    """The row of a group before its first event."""
    time = fact.time
    return GroupRow(fact.org, fact.id, "", "", {}, "total", {}, 0, {}, {}, "", "", None, None, time, None, 0, 0, time)


def fold(state: State, fact: Fact) -> None:
    """Raises CannotApply where `fact` is not the next event, or about a hold that is unknown."""
    rows, key, event = state.rows(GROUPS), (fact.org, fact.id), fact.event
    row = rows.get(key) or opened(fact)
    follows(fact, row.version)
    match event:
        case GroupCreated() | GroupEdited():
            row.name, row.description, row.limits = event.name, event.description, event.limits
            row.every, row.settings = str(event.every), event.settings
            if isinstance(event, GroupCreated):
                row.created_at, row.deleted_at = fact.time, None
        case GroupDeleted():
            row.deleted_at, row.member_count = fact.time, 0
        case MembersAdded(users=users):
            row.member_count += len(users)
        case MembersRemoved(users=users):
            row.member_count -= len(users)
        case _:
            row.used, row.held = change_of(state, fact, row.period_key).amounts(row.used, row.held)
            turn(row, event)
    row.version, row.position, row.updated_at = fact.version, fact.position, fact.time
    rows.put(key, row)


GROUPS: ReadModel[GroupRow] = ReadModel(
    name="groups",
    row=GroupRow,
    key=("org", "id"),
    events={"group": get_args(GroupEvent)},
    fold=fold,
    needs=lambda needed, fact: needed.row(GROUPS, (fact.org, fact.id)),
    stream="'group/' || id",
    due=(Due("period_end", "period_end is not null"),),
    fillfactor=70,
)
