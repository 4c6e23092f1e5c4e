"""Twelve months of budgets through the real decisions, in time zones with daylight saving: every month starts once."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from domain.budgets.commands import BudgetNow, CheckBudget, RecordCost
from domain.budgets.state import DEFAULT_BUDGET, stream_of
from domain.kernel.domain import LetTimePass
from domain.organisations.events import OrganisationConfigured, OverActual
from domain.organisations.state import STREAM as ORGANISATION
from domain.quotas.events import PeriodEnded, PeriodStarted
from tests.domain.scenario import Scenario

ANNA = stream_of("anna")
ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Pacific/Auckland")
MONTHS = [f"2026-{month:02}" for month in range(1, 13)]
STEP = timedelta(hours=7, minutes=13)  # so that uses fall at all times of the day, and at the edges of months


def configured(zone: str) -> OrganisationConfigured:
    return OrganisationConfigured(
        time_zone=zone, enforce=(), pay_from=(), over_actual=OverActual.REFUSE, settlement_policy={}
    )


def started(scenario: Scenario) -> list[PeriodStarted]:
    return [event for _, event in scenario.ledger.log if isinstance(event, PeriodStarted)]


def ended(scenario: Scenario) -> list[PeriodEnded]:
    return [event for _, event in scenario.ledger.log if isinstance(event, PeriodEnded)]


@pytest.mark.parametrize("zone", ZONES)
def test_s2_every_month_of_a_year_starts_once(zone: str) -> None:
    """S2-4: calendar months in the organisation's zone; what each had used is what was spent in it by local time."""
    local = ZoneInfo(zone)
    scenario = Scenario().given(configured(zone), of=ORGANISATION)
    moment, end = datetime(2026, 1, 1, tzinfo=local).astimezone(UTC), datetime(2027, 1, 1, tzinfo=local)
    spent = dict.fromkeys(MONTHS, 0)
    number = 0
    while moment < end:
        number += 1
        scenario.at(moment).done(RecordCost(user="anna", cost_id=f"c{number}", usd=number, success=True))
        spent[moment.astimezone(local).strftime("%Y-%m")] += number
        moment += STEP
    scenario.at(end).done(LetTimePass(stream=ANNA), LetTimePass(stream=ANNA))
    periods = started(scenario)
    assert [period.key for period in periods] == MONTHS
    assert [(event.key, event.used) for event in ended(scenario)] == [(key, {"usd": spent[key]}) for key in MONTHS]
    assert all(before.end == after.start for before, after in pairwise(periods))
    for month, period in enumerate(periods, 1):
        assert period.start == datetime(2026, month, 1, tzinfo=local)
    assert periods[-1].end == end


@for_all(
    steps=st.lists(
        st.tuples(st.integers(1, 30 * 24), st.sampled_from(("spend", "look", "pass")), st.sampled_from(ZONES)),
        max_size=40,
    )
)
def test_whatever_touches_it_a_month_starts_once_and_ends_once(steps: list[tuple[int, str, str]]) -> None:
    """S2-4: the key is decided once, with the zone of that moment; silence, looking and new zones change nothing of it.

    All that was spent is in exactly one month.
    """
    scenario, moment, spent = Scenario(), datetime(2026, 1, 1, tzinfo=UTC), 0
    for number, (hours, action, zone) in enumerate(steps):
        moment += timedelta(hours=hours)
        scenario.at(moment).given(configured(zone), of=ORGANISATION)
        if action == "spend":
            scenario.done(RecordCost(user="anna", cost_id=f"c{number}", usd=1, success=True))
            spent += 1
        elif action == "pass":
            scenario.done(LetTimePass(stream=ANNA))
        else:
            use = scenario.ask(BudgetNow(user="anna"))
            assert use.period.start <= moment < use.period.end
            assert use.remaining == DEFAULT_BUDGET - use.used
            assert scenario.ask(CheckBudget(user="anna", expected=use.remaining)).allowed
    starts, ends = started(scenario), ended(scenario)
    keys = [period.key for period in starts]
    assert keys == sorted(set(keys))
    assert [period.key for period in ends] == keys[: len(ends)]
    assert len(starts) - len(ends) in {0, 1}
    assert all(before.end <= after.start for before, after in pairwise(starts))
    rest = scenario.ledger.state(ANNA).quota.used.get("usd", 0)
    assert spent == rest + sum(event.used.get("usd", 0) for event in ends)
