"""Refused checks beyond a rate are counted and told with the next one, not published one by one."""

import asyncio

import pytest

from infra import decisions
from infra.decisions import Decision, RefusedChecks
from infra.security import rates
from infra.settings import Settings


def refuse(checks: RefusedChecks, org: str, user: str, times: int) -> None:
    for _ in range(times):
        checks.refused_check(org, user, "image", None, "insufficient_credits", 1, f"user:{user}")


def published(checks: RefusedChecks) -> list[Decision]:
    """What waits to be published."""
    found = []
    while not checks._queue.empty():
        found.append(checks._queue.get_nowait()[2])
    return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the rates, in its only element."""
    now = [1_000.0]
    monkeypatch.setattr(rates, "monotonic", lambda: now[0])
    return now


def test_a_user_who_asks_for_ever(clock: list[float]) -> None:
    """The attack: 17,827 records in ten seconds by asking alone."""

    async def whole() -> None:
        checks = RefusedChecks(Settings(kafka=""))
        refuse(checks, "acme", "u1", 17_827)
        told = published(checks)
        assert (len(told), checks.left_out, checks.dropped) == (60, 17_767, 0)
        assert {each.left_out for each in told} == {0}
        refuse(checks, "acme", "u2", 1)  # nobody else is quieter for it
        assert len(published(checks)) == 1
        clock[0] += 61
        refuse(checks, "acme", "u1", 2)
        assert [each.left_out for each in published(checks)] == [17_767, 0]

    asyncio.run(whole())


def test_an_organisation_that_asks_for_ever(clock: list[float]) -> None:
    async def whole() -> None:
        checks = RefusedChecks(Settings(kafka=""))
        for number in range(100):
            refuse(checks, "acme", f"u{number}", 60)
        assert (len(published(checks)), checks.left_out) == (3_000, 3_000)
        refuse(checks, "globex", "u1", 1)
        assert len(published(checks)) == 1

    asyncio.run(whole())


def test_what_is_known_of_those_left_out_is_bounded(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "MOST_COUNTED", 3)

    async def whole() -> None:
        checks = RefusedChecks(Settings(kafka=""))
        for number in range(10):
            refuse(checks, "acme", f"u{number}", 61)
        assert (len(checks._untold), checks.left_out) == (3, 10)

    asyncio.run(whole())
