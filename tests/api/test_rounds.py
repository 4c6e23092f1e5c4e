"""Turns at the event loop: counted in rounds of the loop, without clocks."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from api.rounds import Rounds, Stretches
from infra.turns import CALLER, Caller
from tests.waiting import patient

A, A2, B = ("a", "x"), ("a", "y"), ("b", "x")


def run(work: Coroutine[Any, Any, None]) -> None:
    async def within() -> None:
        async with asyncio.timeout(patient(20)):
            await work

    asyncio.run(within())


async def in_rounds(rounds: Rounds, begun: list[str]) -> list[list[str]]:
    """What began in each round of the loop, until nothing is left."""
    seen = [list(begun)]
    for _ in range(50):
        before = len(begun)
        await asyncio.sleep(0)
        seen.append(begun[before:])
    assert not rounds.busy
    return [each for each in seen if each]


@pytest.fixture(autouse=True)
def no_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.rounds.LONGEST_REST_S", 0.0)


def test_few_begin_in_a_round_and_callers_take_turns() -> None:
    async def work() -> None:
        rounds, begun = Rounds(at_once=2), list[str]()

        async def one(name: str, caller: Caller) -> None:
            if not rounds.take(caller):
                await rounds.wait(caller)
            begun.append(name)

        names = [*((f"a{number}", A) for number in range(5)), ("y", A2), ("b", B)]
        tasks = [asyncio.create_task(one(*each)) for each in names]
        await asyncio.sleep(0)
        assert await in_rounds(rounds, begun) == [["a0", "a1", "y", "b"], ["a2", "a3"], ["a4"]]
        await asyncio.gather(*tasks)
        assert rounds.take(B)

    run(work())


def test_longer_work_has_a_round_for_each_stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.rounds.STRETCH_S", -1.0)

    async def work() -> None:
        rounds, done = Rounds(at_once=2), list[str]()

        async def long(name: str, caller: Caller) -> None:
            CALLER.set(caller)
            stretches = Stretches(rounds)
            for number in range(3):
                done.append(f"{name}{number}")
                await stretches.pause()

        async def short(name: str) -> None:
            if not rounds.take(B):
                await rounds.wait(B)
            done.append(name)

        tasks = [asyncio.create_task(long("l", A)), asyncio.create_task(long("m", A2))]
        tasks += [asyncio.create_task(short(f"b{number}")) for number in range(3)]
        await asyncio.sleep(0)
        found = await in_rounds(rounds, done)
        assert found[0] == ["l0", "m0", "b0", "b1"]
        assert [each for each in found[1:] if any(name.startswith("b") for name in each)] == [["b2"]]
        assert all(len(each) == 1 for each in found[1:])
        await asyncio.gather(*tasks)

    run(work())


def test_who_is_cancelled_leaves_room() -> None:
    async def work() -> None:
        rounds = Rounds(at_once=1)
        assert rounds.take(A)
        assert not rounds.take(A)
        gone = asyncio.create_task(rounds.wait(A))
        stays = asyncio.create_task(rounds.wait(A2))
        await asyncio.sleep(0)
        gone.cancel()
        await stays
        await in_rounds(rounds, [])
        assert rounds.take(A)

    run(work())


def test_who_is_alone_has_no_turns_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.rounds.ALONE_S", -1.0)

    async def work() -> None:
        rounds = Rounds(at_once=2)
        assert all(rounds.take(A) for _ in range(9))
        monkeypatch.setattr("api.rounds.ALONE_S", 1_000.0)
        assert rounds.take(A2)
        assert not rounds.take(A)
        assert not rounds.take(A2)

    run(work())


def test_others_find_the_loop_idle_between_the_rounds_of_who_has_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.rounds.LONGEST_REST_S", 1_000.0)
    monkeypatch.setattr("api.rounds.REST", 1.0)
    clock = iter(range(10**6))
    monkeypatch.setattr("api.rounds.monotonic", lambda: next(clock) / 1_000)  # every look takes some of it

    async def work() -> None:
        rounds, rests = Rounds(at_once=1), list[float]()
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "call_later", lambda seconds, call, *given: rests.append(seconds))
        assert rounds.take(A)
        assert not rounds.take(A)
        waiting = [asyncio.create_task(rounds.wait(A)) for _ in range(2)]
        for _ in range(9):
            await asyncio.sleep(0)
        assert [task.done() for task in waiting] == [True, False]
        assert rests == [0.001]
        assert rounds.take(B)
        for task in waiting:
            task.cancel()

    run(work())


def test_a_login_that_has_none_in_the_round_finds_room_beyond_its_organisations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.rounds.LONGEST_REST_S", 1_000.0)

    async def work() -> None:
        rounds = Rounds(at_once=2)
        assert [rounds.take(A) for _ in range(3)] == [True, True, False]
        assert [rounds.take(A2) for _ in range(2)] == [True, False]
        assert rounds.take(("a", "z"))
        assert not rounds.take(("a", "last")), "twice as many is all that begins of an organisation"
        assert [rounds.take(B) for _ in range(3)] == [True, True, False]

    run(work())


@pytest.mark.parametrize(("logins", "rests"), [(1, True), (2, True), (4, False)])
def test_other_logins_find_the_loop_idle_where_a_few_wait_for_much(
    monkeypatch: pytest.MonkeyPatch, logins: int, *, rests: bool
) -> None:
    monkeypatch.setattr("api.rounds.LONGEST_REST_S", 1_000.0)
    monkeypatch.setattr("api.rounds.REST", 1e9)

    async def work() -> None:
        rounds, rested = Rounds(at_once=4), list[float]()
        loop = asyncio.get_running_loop()
        rounds.take(("b", "early"))
        rounds._rests_until = 0.0  # other organisations are quiet
        rounds.take(A2)
        rounds._rests_until = 0.0
        monkeypatch.setattr(loop, "call_later", lambda seconds, call, *given: rested.append(seconds))
        callers = [("a", f"login{number % logins}") for number in range(12)]
        waiting = [asyncio.create_task(rounds.wait(caller)) for caller in callers]
        for _ in range(9):
            await asyncio.sleep(0)
        assert bool(rested) == rests
        assert [task.done() for task in waiting].count(True) == (4 if rests else 12)
        for task in waiting:
            task.cancel()

    run(work())
