"""Use that is held, counted and given back, in periods: what is held and used is always what the facts add up to."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from domain.periods import NEVER, Every, Period
from domain.quotas.events import (
    PeriodEnded,
    PeriodStarted,
    QuotaEvent,
    UseCounted,
    UseExpired,
    UseExtended,
    UseGivenBack,
    UseHeld,
    UseReleased,
    UseSettled,
)
from domain.quotas.quota import Quota, begun, due, evolve, minus, plus, restarted, running

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)
MARCH = PeriodStarted(key="2026-03", start=datetime(2026, 3, 1, tzinfo=UTC), end=APRIL)
LATER = NOW + timedelta(hours=1)


def folded(*events: QuotaEvent) -> Quota:
    quota = Quota()
    for event in events:
        quota = evolve(quota, event)
    return quota


def held(generation_id: str = "j1", image: int = 2, expires_at: datetime = LATER) -> UseHeld:
    return UseHeld(generation_id=generation_id, amounts={"image": image}, expires_at=expires_at)


def settled(used: int, returned: int, *, final: bool = True, generation_id: str = "j1") -> UseSettled:
    return UseSettled(
        generation_id=generation_id,
        used={"image": used} if used else {},
        returned={"image": returned} if returned else {},
        final=final,
    )


def figures(quota: Quota) -> tuple[int, int, int]:
    """What is used, held, and in how many holds."""
    return quota.used.get("image", 0), quota.held.get("image", 0), len(quota.holds)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((held(),), (0, 2, 1)),
        ((held(), UseReleased(generation_id="j1", amounts={"image": 2})), (0, 0, 0)),
        ((held(), UseExpired(generation_id="j1", amounts={"image": 2})), (0, 0, 0)),
        ((held(), settled(2, 0)), (2, 0, 0)),
        ((held(), settled(1, 1)), (1, 0, 0)),
        ((held(), settled(5, 0)), (5, 0, 0)),  # more came about than was held: it is recorded as it is
        ((held(), settled(1, 0, final=False)), (1, 1, 1)),
        ((held(), settled(1, 0, final=False), settled(1, 0)), (2, 0, 0)),
        ((held(), UseExtended(generation_id="j1", expires_at=LATER, grown={"image": 3})), (0, 5, 1)),
        ((held(), held("j2", 3), settled(2, 0)), (2, 3, 1)),
        ((UseCounted(amounts={"image": 4}),), (4, 0, 0)),
        ((UseCounted(amounts={"image": 4}), UseGivenBack(amounts={"image": 3}, period="")), (1, 0, 0)),
        ((UseCounted(amounts={"image": 4}), UseGivenBack(amounts={"image": 9}, period="")), (0, 0, 0)),
    ],
)
def test_what_is_used_and_held(events: tuple[QuotaEvent, ...], expected: tuple[int, int, int]) -> None:
    assert figures(folded(*events)) == expected
    assert figures(folded(MARCH, *_in_period(events))) == expected


def _in_period(events: tuple[QuotaEvent, ...]) -> list[QuotaEvent]:
    return [
        UseGivenBack(amounts=event.amounts, period="2026-03") if isinstance(event, UseGivenBack) else event
        for event in events
    ]


def test_a_new_period_has_nothing_used_and_nothing_held() -> None:
    """S2-4: a new month starts with nothing used; what was held in the old one counts there."""
    quota = folded(MARCH, UseCounted(amounts={"image": 4}), held(expires_at=APRIL + timedelta(hours=1)))
    ended = PeriodEnded(key="2026-03", used={"image": 4})
    assert due(quota, APRIL) == (ended,)
    quota = evolve(quota, ended)
    assert figures(quota) == (0, 0, 1)
    started = begun(quota, Every.MONTH, "UTC", APRIL)
    assert started == (PeriodStarted(key="2026-04", start=APRIL, end=datetime(2026, 5, 1, tzinfo=UTC)),)
    quota = evolve(evolve(quota, started[0]), held("j2", 1))
    assert figures(quota) == (0, 1, 2)
    assert figures(evolve(quota, settled(2, 0))) == (0, 1, 1)
    assert figures(evolve(quota, UseReleased(generation_id="j1", amounts={"image": 2}))) == (0, 1, 1)
    quota = evolve(quota, UseCounted(amounts={"image": 2}))
    assert figures(evolve(quota, UseGivenBack(amounts={"image": 1}, period="2026-03"))) == (2, 1, 2)
    assert figures(evolve(quota, UseGivenBack(amounts={"image": 1}, period="2026-04"))) == (1, 1, 2)
    grown = evolve(quota, UseExtended(generation_id="j1", expires_at=LATER, grown={"image": 3}))
    assert figures(grown) == (2, 1, 2)
    assert grown.holds["j1"].amounts == {"image": 5}


def test_a_period_begins_with_the_first_use_in_it_and_only_once() -> None:
    assert begun(Quota(), Every.TOTAL, "UTC", NOW) == ()
    assert begun(Quota(), Every.MONTH, "UTC", NOW) == (MARCH,)
    assert begun(folded(MARCH), Every.MONTH, "UTC", NOW) == ()
    assert running(Quota(), Every.MONTH, "UTC", NOW) == running(folded(MARCH), Every.MONTH, "Asia/Tokyo", NOW)


def test_holds_end_before_the_period_in_the_order_of_their_ends() -> None:
    """A hold that ends at the end of its period was never used in it."""
    late, early = held("j1", 1, APRIL), held("j2", 2, LATER)
    assert due(folded(MARCH, late, early), APRIL) == (
        UseExpired(generation_id="j2", amounts={"image": 2}),
        UseExpired(generation_id="j1", amounts={"image": 1}),
        PeriodEnded(key="2026-03", used={}),
    )


def test_nothing_is_due_a_moment_before() -> None:
    quota = folded(MARCH, held())
    assert due(quota, LATER - timedelta(microseconds=1)) == ()
    assert due(quota, LATER) == (UseExpired(generation_id="j1", amounts={"image": 2}),)


def test_another_kind_of_period_starts_use_anew_at_that_moment() -> None:
    """From months to days and back: no key twice, no overlap, and holds from before count in none of the new."""
    quota = folded(MARCH, UseCounted(amounts={"image": 4}), held())
    assert restarted(quota, NOW) == PeriodEnded(key="2026-03", used={"image": 4}, at=NOW, then=".1")
    quota = evolve(quota, restarted(quota, NOW))
    day = begun(quota, Every.DAY, "UTC", NOW)
    midnight = datetime(2026, 3, 11, tzinfo=UTC)
    assert day == (PeriodStarted(key="2026-03-10.1", start=NOW, end=midnight),)
    quota = evolve(quota, day[0])
    assert figures(quota) == (0, 0, 1)
    quota = evolve(quota, restarted(quota, LATER))
    month = begun(quota, Every.MONTH, "UTC", LATER)
    assert month == (PeriodStarted(key="2026-03.2", start=LATER, end=APRIL),)
    quota = evolve(evolve(quota, month[0]), PeriodEnded(key="2026-03.2", used={}, then=".2"))
    assert running(quota, Every.MONTH, "UTC", APRIL) == Period("2026-04.2", APRIL, datetime(2026, 5, 1, tzinfo=UTC))


def test_a_total_that_starts_anew_is_another_period_than_the_first() -> None:
    """What was held under the first total does not lower what the second one holds."""
    quota = folded(held("j1", 5))
    quota = evolve(quota, restarted(quota, NOW))
    quota = evolve(quota, restarted(quota, NOW))
    quota = evolve(quota, held("j2", 3))
    assert figures(evolve(quota, UseReleased(generation_id="j1", amounts={"image": 5}))) == (0, 3, 1)
    assert figures(evolve(quota, UseGivenBack(amounts={"image": 1}, period=""))) == (0, 3, 2)


def test_differences_are_never_below_zero() -> None:
    assert minus({"image": 3, "video": 1}, {"image": 5, "usd": 1}) == {"video": 1}
    assert plus({"image": 3}, {"image": 5, "usd": 1}) == {"image": 8, "usd": 1}
    before = {"image": 3}
    assert minus(before, {}) is before
    assert plus(before, {}) is before


# An action makes the events that a decider might, from the state and two numbers.
Action = Callable[[Quota, datetime, int, int], tuple[QuotaEvent, ...]]
EVERY = (Every.TOTAL, Every.DAY, Every.MONTH)


def _some_hold(quota: Quota, pick: int) -> str:
    return sorted(quota.holds)[pick % len(quota.holds)]


def _hold(quota: Quota, now: datetime, pick: int, amount: int) -> tuple[QuotaEvent, ...]:
    if f"j{pick}" in quota.holds:
        return ()
    return (held(f"j{pick}", amount, now + timedelta(hours=1 + pick * amount)),)


def _settle(quota: Quota, _now: datetime, pick: int, amount: int) -> tuple[QuotaEvent, ...]:
    key = _some_hold(quota, pick)
    final = pick % 2 == 0 or amount >= quota.holds[key].amounts.get("image", 0)
    used = {"image": amount}
    returned = minus(quota.holds[key].amounts, used) if final else {}
    return (UseSettled(generation_id=key, used=used, returned=returned, final=final, period=quota.holds[key].period),)


def _release(quota: Quota, _now: datetime, pick: int, _amount: int) -> tuple[QuotaEvent, ...]:
    key = _some_hold(quota, pick)
    return (UseReleased(generation_id=key, amounts=quota.holds[key].amounts),)


def _extend(quota: Quota, now: datetime, pick: int, amount: int) -> tuple[QuotaEvent, ...]:
    key = _some_hold(quota, pick)
    ends = max(quota.holds[key].expires_at, now + timedelta(hours=amount))
    return (UseExtended(generation_id=key, expires_at=ends, grown={"image": amount} if pick % 2 else {}),)


ACTIONS: tuple[tuple[Action, bool], ...] = (  # with whether it needs a hold
    (_hold, False),
    (_hold, False),
    (_settle, True),
    (_release, True),
    (_extend, True),
    (lambda _quota, _now, _pick, amount: (UseCounted(amounts={"image": amount}),), False),
    (lambda quota, _now, _pick, amount: (UseGivenBack(amounts={"image": amount}, period=quota.key),), False),
    (lambda quota, now, _pick, _amount: (restarted(quota, now),), False),
)


@for_all(
    steps=st.lists(
        st.tuples(
            st.sampled_from(ACTIONS), st.integers(0, 20), st.integers(1, 50), st.sampled_from((0, 0, 1, 9, 30, 400))
        ),
        max_size=60,
    ),
    every=st.sampled_from(EVERY),
)
def test_held_is_the_sum_of_the_holds_of_the_period(
    steps: list[tuple[tuple[Action, bool], int, int, int]], every: Every
) -> None:
    """After any facts: nothing negative, `next_due` exact, and what was due is due no more."""
    quota, now, keys = Quota(), NOW, []
    for (action, needs_hold), pick, amount, hours in steps:
        now += timedelta(hours=hours)
        happened = due(quota, now)
        for event in happened:
            quota = evolve(quota, event)
        assert due(quota, now) == ()
        for event in () if needs_hold and not quota.holds else action(quota, now, pick, amount):
            every = EVERY[pick % 3] if isinstance(event, PeriodEnded) else every
            for start in () if isinstance(event, PeriodEnded) else begun(quota, every, "Europe/Berlin", now):
                assert start.start <= now < start.end
                keys.append(start.key)
                quota = evolve(quota, start)
            if isinstance(event, UseGivenBack):
                event = UseGivenBack(amounts=event.amounts, period=quota.key)  # noqa: PLW2901 - as of the begun period
            quota = evolve(quota, event)
        _check(quota, now)
    assert len(set(keys)) == len(keys)


def _check(quota: Quota, now: datetime) -> None:
    current = [hold for hold in quota.holds.values() if hold.period == quota.key]
    assert quota.held.get("image", 0) == sum(hold.amounts.get("image", 0) for hold in current)
    assert all(amount > 0 for amounts in (quota.used, quota.held) for amount in amounts.values())
    ends = [hold.expires_at for hold in quota.holds.values()]
    exact = min([*ends, quota.period.end if quota.period else NEVER])
    assert quota.next_due == exact
    assert bool(due(quota, now)) == (exact <= now)
