"""Read model: the history of what groups used, by quarter of an hour and period, for charts and reports (S1)."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from domain.groups.events import GroupEvent
from domain.quotas.events import UseCounted, UseGivenBack, UseSettled
from projections.facts import Fact
from projections.table import Table
from projections.usage import quarter


class GroupUse(NamedTuple):
    """One quarter's row of one thing that is counted (group_usage.sql)."""

    org: str
    group_id: str
    at: datetime
    period: str
    what: str
    amount: int


TABLE = Table(
    "group_usage",
    GroupUse,
    {"org": "text", "group_id": "text", "at": "timestamptz", "period": "text", "what": "text", "amount": "int8"},
    key=5,
)


def changes(fact: Fact, event: GroupEvent, current: str) -> Iterator[GroupUse]:
    """What an event adds to the history; `current` is the key of the group's period."""
    match event:
        case UseSettled():
            period, amounts, sign = event.period, event.used, 1
        case UseCounted():
            period, amounts, sign = current, event.amounts, 1
        case UseGivenBack():
            period, amounts, sign = event.period, event.amounts, -1
        case _:
            return
    at = quarter(fact.time)
    for what, amount in amounts.items():
        yield GroupUse(fact.org, fact.id, at, period, what, sign * amount)
