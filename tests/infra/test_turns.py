"""Turns: fair by organisation and login, bounded, and no place is lost whatever happens to those who wait."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

import pytest
from psycopg_pool import PoolTimeout, TooManyRequests

from infra.turns import Caller, TooManyWaiting, Turns
from tests.waiting import patient

A, A2, B, C = ("a", "x"), ("a", "y"), ("b", "x"), ("c", "x")


def run(work: Coroutine[Any, Any, None]) -> None:
    async def within() -> None:
        async with asyncio.timeout(patient(20)):
            await work

    asyncio.run(within())


async def settle() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


def is_empty(turns: Turns) -> bool:
    return not (turns.used or turns.waiting or turns._lines or turns._waiting_of or turns._orgs or turns._logins)


@pytest.mark.parametrize(("places", "of_org", "of_login"), [(8, 6, 4), (4, 3, 2), (3, 2, 1), (2, 1, 1), (1, 1, 1)])
def test_one_has_a_part_of_the_places(places: int, of_org: int, of_login: int) -> None:
    turns = Turns(places)
    assert [turns.take(A) for _ in range(places)].count(True) == of_login
    assert [turns.take(A2) for _ in range(places)].count(True) == min(of_org - of_login, of_login)
    assert turns.take(B) is (places > 1)


def test_they_take_turns_by_organisation_and_login() -> None:
    async def work() -> None:
        turns, order = Turns(1), []

        async def one(caller: Caller) -> None:
            await turns.enter(caller)
            order.append(caller)
            await asyncio.sleep(0)
            turns.leave(caller)

        assert turns.take(C)
        waiting = [asyncio.create_task(one(caller)) for caller in [A] * 4 + [A2] * 2 + [B] * 2]
        await settle()
        turns.leave(C)
        await asyncio.gather(*waiting)
        assert order == [A, B, A2, B, A, A2, A, A]
        assert is_empty(turns)

    run(work())


def test_who_may_have_no_more_does_not_hold_up_the_next() -> None:
    async def work() -> None:
        turns = Turns(8)
        assert [turns.take(A) for _ in range(5)] == [True] * 4 + [False]
        late = asyncio.create_task(turns.wait(A))
        await settle()
        assert [turns.take(B) for _ in range(4)] == [True] * 4
        of_c = asyncio.create_task(turns.wait(C))
        await settle()
        turns.leave(B)
        await of_c
        assert not late.done()
        turns.leave(A)
        await late

    run(work())


def test_waiting_has_bounds() -> None:
    async def work() -> None:
        turns = Turns(1)
        turns.waiting_of_login, turns.waiting_of_org, turns.most_waiting = 2, 3, 4
        turns.refuse_after_s = 0.02
        assert turns.take(C)
        tasks = [asyncio.create_task(turns.wait(caller)) for caller in (A, A, A2)]
        await settle()
        for caller, whose in ((A, "login"), (A2, "organisation")):
            began = monotonic()
            with pytest.raises(TooManyWaiting, match=whose):
                await turns.wait(caller)
            assert monotonic() - began >= 0.015, "a refusal at once invites the next try"
        tasks.append(asyncio.create_task(turns.wait(B)))
        await settle()
        with pytest.raises(TooManyRequests, match="4 requests wait") as full:
            await turns.wait(C)
        assert not isinstance(full.value, TooManyWaiting)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        turns.leave(C)
        assert is_empty(turns)

    run(work())


def test_who_waits_too_long_is_refused_and_leaves_no_trace() -> None:
    async def work() -> None:
        turns = Turns(1, wait_s=0.02)
        assert turns.take(A)
        with pytest.raises(PoolTimeout):
            await turns.wait(B)
        turns.leave(A)
        assert is_empty(turns)

    run(work())


def test_a_place_given_to_who_is_cancelled_goes_to_the_next() -> None:
    """Given and cancelled in one step of the loop, in both orders."""

    async def work(first: str) -> None:
        turns = Turns(1)
        assert turns.take(C)
        gone, next_ = asyncio.create_task(turns.wait(A)), asyncio.create_task(turns.wait(B))
        await settle()
        steps: list[Callable[[], object]] = [gone.cancel, lambda: turns.leave(C)]
        for step in steps if first == "cancelled" else reversed(steps):
            step()
        await next_
        with pytest.raises(asyncio.CancelledError):
            await gone
        turns.leave(B)
        assert is_empty(turns)

    for first in ("cancelled", "given"):
        run(work(first))


@pytest.mark.parametrize("seed", range(20))
def test_no_place_is_lost(seed: int) -> None:
    """Many callers who work, fail, are cancelled at any moment, or wait too long."""
    chance = random.Random(seed)
    callers = [(org, login) for org in "abc" for login in "xyz"]

    async def work() -> None:
        turns = Turns(chance.choice([1, 2, 4, 8]), wait_s=chance.choice([0.001, 5.0]))
        turns.waiting_of_login, turns.refuse_after_s = chance.choice([2, 100]), 0.0
        busy: Counter[Caller] = Counter()

        async def one(caller: Caller) -> None:
            await turns.enter(caller)
            busy[caller] += 1
            try:
                assert busy[caller] <= turns.of_login
                assert sum(count for (org, _), count in busy.items() if org == caller[0]) <= turns.of_org
                assert busy.total() <= turns.used <= turns.places  # a place is theirs before they know
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                if chance.random() < 0.1:
                    raise ValueError
            finally:
                busy[caller] -= 1
                turns.leave(caller)

        tasks = []
        for _ in range(300):
            tasks.append(asyncio.create_task(one(chance.choice(callers))))
            if chance.random() < 0.5:
                await asyncio.sleep(0)
            if chance.random() < 0.4:
                chance.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            assert task.cancelled() or not isinstance(task.exception(), AssertionError)
        assert is_empty(turns)

    run(work())
