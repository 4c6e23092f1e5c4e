"""Read model: the history of what groups used, by quarter of an hour and period, for charts and reports (S1)."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from domain.groups.events import GroupEvent
from domain.quotas.events import UseCounted, UseGivenBack, UseSettled
from projections.facts import Fact
from projections.read_model import ReadModel
from projections.usage import quarter


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


GROUP_USAGE = ReadModel(
    name="group_usage",
    row=GroupUse,
    key=("org", "group_id", "at", "period", "what"),
    shows={"day": "(at at time zone 'UTC')::date"},
    fillfactor=70,
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
