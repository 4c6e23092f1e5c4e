"""What a plan grants at the start of every 30-day cycle: never twice, never missed (S3)."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.credits.address import stream_of
from domain.credits.commands import Capture, Debit, Release, Reserve
from domain.credits.events import AllowanceGranted, GrantExpired, ReservationCaptured, ReservationReleased
from domain.kernel.domain import LetTimePass
from domain.organisations.commands import ChoosePlan
from domain.periods import CYCLE
from tests.domain.organisations.offers import LEADS, TO_PRO, TO_STARTER, allotted, leads, offering, published, standing
from tests.domain.scenario import NOW, Scenario, after

UNIT = "tokens.lead_generation"
SWEEP = LetTimePass(stream=stream_of(LEADS))
FIRST = allotted(UNIT, 50).grant
ZONES = ("America/New_York", "Europe/Berlin", "Pacific/Auckland", "Asia/Kolkata")
YEAR_MINUTES = 365 * 24 * 60


def spent(amount: int, debit: str = "d1") -> Debit:
    return Debit(address=LEADS, debit_id=debit, amount=amount)


def test_at_the_refresh_date_the_rest_ends_and_the_next_cycle_begins() -> None:
    """S3-3: balances reset at the refresh date by themselves."""
    scenario = Scenario().done(TO_PRO, spent(20)).at(after(days=30))
    scenario.when(SWEEP).then(
        due=(
            (LEADS, GrantExpired(grant=FIRST._replace(amount=30))),
            (LEADS, allotted(UNIT, 50, cycle=1, at=after(days=30))),
        )
    )
    assert leads(scenario).available == 50
    assert leads(scenario).next_due == after(days=60)


def test_nothing_is_granted_before_the_refresh_date_nor_twice_after_it() -> None:
    scenario = Scenario().done(TO_PRO).at(after(-0.000001, days=30))
    scenario.when(SWEEP).then_nothing()
    scenario.at(after(days=30)).done(SWEEP)
    scenario.when(SWEEP).then_nothing()
    scenario.at(after(days=59)).when(SWEEP).then_nothing()


def test_after_months_of_silence_the_running_cycle_is_granted_and_the_skipped_ones_are_counted() -> None:
    """S3-3."""
    scenario = Scenario().done(TO_PRO).at(after(days=30 * 7 + 3))
    scenario.when(SWEEP).then(
        due=(
            (LEADS, GrantExpired(grant=FIRST)),
            (LEADS, allotted(UNIT, 50, cycle=7, skipped=6, at=after(days=30 * 7 + 3))),
        )
    )
    assert standing(scenario).refresh_date == after(days=30 * 8)
    assert leads(scenario).available == 50


def test_a_refused_command_after_the_refresh_date_writes_the_renewal_all_the_same() -> None:
    decided = Scenario().done(TO_PRO).at(after(days=31)).when(spent(51)).decided
    assert decided.refusal is not None
    assert [type(event) for _, event in decided.events] == [GrantExpired, AllowanceGranted]


def test_a_plan_that_changes_in_a_later_cycle_grants_what_that_cycle_lacks() -> None:
    """The renewal comes first, so that what it grants counts."""
    scenario = (
        offering(published("big", lead_generation=80)).done(TO_PRO).at(after(days=95)).done(ChoosePlan(plan="big"))
    )
    grants = [event for _, event in scenario.ledger.log if isinstance(event, AllowanceGranted)]
    named = [event.grant for event in grants if event.grant.grant.startswith(f"plan.{UNIT}.")]
    assert [(part.grant, part.amount) for part in named] == [
        (f"plan.{UNIT}.0.0", 50),
        (f"plan.{UNIT}.3.0", 50),
        (f"plan.{UNIT}.3.50", 30),
    ]
    assert leads(scenario).available == 80


def test_no_two_grants_of_plans_have_the_same_name() -> None:
    """A grant can be voided by its name, also after many changes in one cycle and over cycles."""
    scenario = offering(published("big", lead_generation=80), published("small", lead_generation=30))
    for day, plan in ((0, "small"), (1, "pro"), (2, "big"), (31, "small"), (32, "pro"), (33, "big"), (65, "big")):
        scenario.at(after(days=day)).done(ChoosePlan(plan=plan))
    names = [event.grant.grant for _, event in scenario.ledger.log if isinstance(event, AllowanceGranted)]
    assert len(names) == len(set(names)) > 6


def test_while_there_is_no_allowance_cycles_pass_unnoticed_and_the_next_one_counts_from_the_same_start() -> None:
    scenario = Scenario().done(TO_PRO).at(after(days=5)).done(TO_STARTER).at(after(days=200))
    scenario.done(SWEEP)
    assert leads(scenario).available == 0
    scenario.done(TO_PRO)
    assert [part.expires_at for part in leads(scenario).grants] == [after(days=210)]


def test_the_held_part_of_an_ended_cycle_ends_when_the_hold_does() -> None:
    """Ledger rule: a held part of an expired grant expires when the hold ends; work that was held for is still paid."""
    hold = Reserve(address=LEADS, reservation_id="r1", amount=20, ttl_s=86_400)
    scenario = Scenario().done(TO_PRO).at(after(days=29.5)).done(hold).at(after(days=30)).done(SWEEP)
    assert (leads(scenario).available, leads(scenario).reserved, leads(scenario).expired) == (50, 20, 30)
    held = FIRST._replace(amount=20)
    scenario.when(Release(address=LEADS, reservation_id="r1")).then(
        (LEADS, ReservationReleased(reservation_id="r1", amount=20, returned=(held,))),
        (LEADS, GrantExpired(grant=held)),
    )
    assert leads(scenario).available == 50


def test_a_hold_over_the_refresh_date_is_paid_by_the_cycle_in_which_it_was_made() -> None:
    hold = Reserve(address=LEADS, reservation_id="r1", amount=20, ttl_s=86_400)
    scenario = Scenario().done(TO_PRO).at(after(days=29.5)).done(hold).at(after(days=30))
    scenario.done(Capture(address=LEADS, reservation_id="r1", debit_id="d1", amount=15))
    (charged,) = (event for _, event in scenario.ledger.log if isinstance(event, ReservationCaptured))
    assert [part.grant for part in charged.slices] == [f"plan.{UNIT}.0.0"]
    assert (leads(scenario).available, leads(scenario).expired) == (50, 35)


def test_a_debt_below_zero_is_repaid_by_the_next_cycle() -> None:
    scenario = Scenario().done(TO_PRO).given_state(leads(Scenario().done(TO_PRO))._replace(credit_limit=30), LEADS)
    scenario.done(spent(70)).at(after(days=30)).when(SWEEP).then(
        due=((LEADS, allotted(UNIT, 50, cycle=1, at=after(days=30), repaid=20)),)
    )
    assert leads(scenario).available == 30


@settings(max_examples=25, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    minutes=st.lists(st.integers(0, YEAR_MINUTES), min_size=1, max_size=40),
    acts=st.lists(st.sampled_from(["sweep", "spend", "look", "up", "down", "starter"]), min_size=40, max_size=40),
)
def test_twelve_months_touched_at_any_time(zone: str, minutes: list[int], acts: list[str]) -> None:
    """S3-3: twelve months over plans in four time zones with daylight-saving changes: every cycle starts once.

    A cycle is 30 x 24 hours wherever one lives: it is counted in UTC, so that no change of clocks moves a refresh date.
    """
    start = datetime(2026, 1, 15, 9, 30, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    scenario = offering(published("big", lead_generation=80)).at(start).done(TO_PRO)
    wanted = 50
    for number, (minute, act) in enumerate(zip(sorted(minutes), acts, strict=False)):
        scenario.at(start + timedelta(minutes=minute))
        match act:
            case "spend":
                scenario.when(spent(7, f"d{number}"))
            case "look":
                assert standing(scenario).refresh_date == start + (timedelta(minutes=minute) // CYCLE + 1) * CYCLE
            case "up":
                scenario.done(ChoosePlan(plan="big"))
                wanted = 80
            case "down":
                scenario.done(TO_PRO)
                wanted = 50
            case "starter":
                scenario.done(TO_STARTER)
                wanted = 0
            case _:
                scenario.done(SWEEP)
        assert standing(scenario).tokens["lead_generation"].allowance == wanted
    _check_cycles(scenario, start)


def _check_cycles(scenario: Scenario, start: datetime) -> None:
    grants = [
        event
        for stream, event in scenario.ledger.log
        if stream == stream_of(LEADS) and isinstance(event, AllowanceGranted)
    ]
    by_cycle: dict[int, int] = {}
    for event in grants:
        by_cycle[event.cycle] = by_cycle.get(event.cycle, 0) + event.grant.amount
        assert event.grant.expires_at == start + (event.cycle + 1) * CYCLE
        assert event.grant.granted_at >= start + event.cycle * CYCLE
    assert all(amount in (50, 80) for amount in by_cycle.values()), "each cycle once, at most the largest plan of it"
    assert sorted(by_cycle) == list(dict.fromkeys(event.cycle for event in grants)), "in order"
    account = leads(scenario)
    assert account.granted == sum(by_cycle.values())


@settings(max_examples=25, deadline=None)
@given(zone=st.sampled_from(ZONES), hours=st.lists(st.integers(0, 365 * 24), min_size=1, max_size=60))
def test_every_cycle_of_a_year_is_granted_or_counted(zone: str, hours: list[int]) -> None:
    """Without changes of the plan, granted and skipped cycles are all there were up to the last touch."""
    start = datetime(2026, 3, 28, 23, 45, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    scenario = Scenario().at(start).done(TO_PRO)
    for hour in sorted(hours):
        scenario.at(start + timedelta(hours=hour)).done(SWEEP)
        assert leads(scenario).available == 50
    events = [event for stream, event in scenario.ledger.log if stream == stream_of(LEADS)]
    grants = [event for event in events if isinstance(event, AllowanceGranted)]
    touched = {timedelta(hours=hour) // CYCLE for hour in hours} | {0}
    assert [event.cycle for event in grants] == sorted(touched)
    assert len(grants) + sum(event.skipped for event in grants) == max(touched) + 1


@pytest.mark.parametrize("zone", ZONES)
def test_the_refresh_date_is_the_anchor_and_n_times_thirty_days(zone: str) -> None:
    start = datetime(2026, 3, 1, 0, 30, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    scenario = Scenario().at(start).done(TO_PRO)
    seen = []
    for day in range(0, 360, 10):
        scenario.at(start + timedelta(days=day))
        seen.append(standing(scenario).refresh_date)
    assert seen == [start + timedelta(days=30 * number) for number in range(1, 13) for _ in range(3)]
    assert NOW.tzinfo is UTC
