"""Read model: the history of what groups used, by quarter of an hour and period, for charts and reports (S1)."""

from datetime import datetime
from typing import NamedTuple

from domain.quotas.events import UseCounted, UseGivenBack, UseSettled
from projections.facts import Fact
from projections.groups import GROUPS
from projections.read_model import Keep, ReadModel, State
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


def fold(state: State, fact: Fact) -> None:
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
    fold=fold,
    keep=Keep.SUMS,
    shows={"day": "(at at time zone 'UTC')::date"},
    fillfactor=70,
)
