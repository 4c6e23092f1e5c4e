"""Read models `groups`, with their limits and what is used of them; `members` of groups; and the history
`group_usage` of what groups used, for charts and reports (S1).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, get_args

from domain.groups import events
from domain.quotas.events import Amounts, UseCounted, UseGivenBack, UseSettled
from domain.settings.setting import Values
from projections.facts import Fact
from projections.read_model import Due, Index, Keep, ReadModel, State, Words, always
from projections.usage import quarter
from projections.use_holds import turn, use_after


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


def fold_group(state: State, fact: Fact) -> None:
    """Raises CannotApply where `fact` is not the next event, or about a hold that is unknown."""
    row, event = state.next_row(GROUPS, (fact.org, fact.id), fact, opened), fact.event
    match event:
        case events.GroupCreated() | events.GroupEdited():
            row.name, row.description, row.limits = event.name, event.description, event.limits
            row.every, row.settings = str(event.every), event.settings
            if isinstance(event, events.GroupCreated):
                row.created_at, row.deleted_at = fact.time, None
        case events.GroupDeleted():
            row.deleted_at, row.member_count = fact.time, 0
        case events.MembersAdded(users=users):
            row.member_count += len(users)
        case events.MembersRemoved(users=users):
            row.member_count -= len(users)
        case _:
            row.used, row.held = use_after(state, fact, row.period_key, row.used, row.held)
            turn(row, event)


GROUPS: ReadModel[GroupRow] = ReadModel(
    name="groups",
    row=GroupRow,
    key=("org", "id"),
    events={"group": get_args(events.GroupEvent)},
    fold=fold_group,
    needs=lambda needed, fact: needed.row(GROUPS, (fact.org, fact.id)),
    stream="'group/' || id",
    due=(Due("period_end", "period_end is not null"),),
    fillfactor=70,
)


@dataclass(slots=True)
class MemberRow:
    """One row for each user in each group; gone when the user leaves or the group is deleted."""

    org: str
    group_id: str
    user_id: str
    joined_at: datetime
    position: int


def fold_members(state: State, fact: Fact) -> None:
    """Add and delete the rows of users who join and leave."""
    rows = state.rows(MEMBERS)
    match fact.event:
        case events.MembersAdded(users=users):
            for user in users:
                rows.put((fact.org, fact.id, user), MemberRow(fact.org, fact.id, user, fact.time, fact.position))
        case events.MembersRemoved(users=users):
            for user in users:
                rows.drop((fact.org, fact.id, user))
        case events.GroupDeleted():
            rows.drop_all((fact.org, fact.id))


MEMBERS = ReadModel(
    name="members",
    row=MemberRow,
    key=("org", "group_id", "user_id"),
    events={"group": (events.MembersAdded, events.MembersRemoved, events.GroupDeleted)},
    fold=fold_members,
    ended=always,
    deletes=True,
    indexes=(Index("org, user_id, position"),),
)


class GroupUse(NamedTuple):
    """How much of each limit a group used (settled or counted, minus given back), by quarter of an hour (`at`, UTC) and
    by period; `period` is the key of the period that it counts in, empty where there are none. A refund stands at its
    own time, in the old period.
    """

    org: str
    group_id: str
    at: datetime
    period: str
    what: str
    amount: int


def fold_use(state: State, fact: Fact) -> None:
    """Add what an event counts or gives back."""
    event, sums = fact.event, state.sums(GROUP_USAGE)
    match event:
        case UseSettled():
            period, amounts, sign = event.period, event.used, 1
        case UseCounted():
            period, amounts, sign = state.rows(GROUPS)[fact.org, fact.id].period_key, event.amounts, 1
        case UseGivenBack():
            period, amounts, sign = event.period, event.amounts, -1
    for what, amount in amounts.items():
        sums.add(GroupUse(fact.org, fact.id, quarter(fact.time), period, what, sign * amount))


GROUP_USAGE = ReadModel(
    name="group_usage",
    row=GroupUse,
    key=("org", "group_id", "at", "period", "what"),
    events={"group": (UseSettled, UseCounted, UseGivenBack)},
    fold=fold_use,
    keep=Keep.SUMS,
    shows={"day": "(at at time zone 'UTC')::date"},
    fillfactor=70,
)
