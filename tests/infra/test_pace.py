"""Rates that are kept in memory: what may be spent at once, how it comes back, and what is remembered."""

import pytest

from infra.security import rates
from infra.security.rates import Pace

ANN, BOB = ("acme", "user:ann"), ("acme", "user:bob")


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of `Pace`."""
    made = Clock()
    monkeypatch.setattr(rates, "monotonic", made)
    return made


def test_so_many_at_once_and_then_one_after_the_other(clock: Clock) -> None:
    ten = Pace(10, 60)
    for _ in range(10):
        assert ten.wait_s(ANN) == 0
        ten.spend(ANN)
    assert ten.wait_s(ANN) == pytest.approx(6)
    assert ten.wait_s(BOB) == 0
    clock.now += 6.001
    assert ten.wait_s(ANN) == 0
    ten.spend(ANN)
    assert ten.wait_s(ANN) == pytest.approx(6, abs=0.01)
    clock.now += 60
    assert (ten.wait_s(ANN), ten.has_spent(ANN), ten.has_spent(BOB)) == (0, False, False)


def test_what_is_spent_beyond_the_limit_is_waited_for_too(clock: Clock) -> None:
    ten = Pace(10, 60)
    for _ in range(15):
        ten.spend(ANN)
    assert ten.wait_s(ANN) == pytest.approx(36)
    assert ten.has_spent(ANN)


def test_its_memory_is_bounded(clock: Clock) -> None:
    few = Pace(1, 60, most_known=3)
    for number in range(10):
        few.spend(("acme", f"user:{number}"))
    assert len(few) == 3
    assert few.wait_s(("acme", "user:9")) > 0
    assert few.wait_s(("acme", "user:0")) == 0  # forgotten
