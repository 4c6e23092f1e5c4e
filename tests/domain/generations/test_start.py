"""A worker begins, or the generation is called off before; and whatever ends it does so once."""

import pytest

from domain.credits.commands import Capture, Extend, Release
from domain.credits.refusals import HeldByGeneration
from domain.generations.commands import CancelGeneration, ConfirmGeneration, FailGeneration, StartGeneration
from domain.generations.events import GenerationCancelled, GenerationStarted
from domain.generations.refusals import AlreadyStarted, GenerationEnded, NoSuchGeneration
from domain.organisations.events import Outcome
from tests.domain.generations.facts import (
    BUDGET,
    FORECAST,
    GROUP,
    JOB,
    MB,
    STORAGE,
    TOKENS,
    chat,
    confirm,
    released,
    running,
    shop,
    use_released,
)
from tests.domain.scenario import ALICE

CANCEL, START = CancelGeneration(generation_id="j1"), StartGeneration(generation_id="j1")


def fail(outcome: Outcome = Outcome.PROVIDER_ERROR, **more: object) -> FailGeneration:
    """It failed."""
    return FailGeneration(generation_id="j1", outcome=outcome, **more)  # type: ignore[arg-type]


def test_called_off_before_a_worker_begins() -> None:
    """S4-1, S4-4."""
    scenario = running()
    scenario.when(CANCEL).then(
        (JOB, GenerationCancelled(generation_id="j1")),
        (FORECAST, released(4)),
        (GROUP, use_released(image=1, forecast=4)),
        (BUDGET, use_released(usd=40_000)),
        (STORAGE, use_released(bytes=5 * MB)),
        (TOKENS, released(7)),
        (ALICE, released(100)),
    )


def test_a_worker_begins_once_and_then_nobody_calls_it_off() -> None:
    """S4-4."""
    scenario = running(request=chat())
    scenario.when(START).then((JOB, GenerationStarted(generation_id="j1")))
    scenario.when(START).then_refused(AlreadyStarted(generation_id="j1"))
    scenario.when(CANCEL).then_refused(AlreadyStarted(generation_id="j1"))


def test_a_part_begins_it_too() -> None:
    """S4-4."""
    running(request=chat()).done(confirm(final=False)).when(CANCEL).then_refused(AlreadyStarted(generation_id="j1"))


@pytest.mark.parametrize("end", [CANCEL, fail(), ConfirmGeneration(generation_id="j1")])
def test_it_ends_once(end: object) -> None:
    """S4-1: whatever ended it, nothing ends it again."""
    scenario = running(request=chat()).done(end)
    status = scenario.ledger.state(JOB).status.value
    for again in (CANCEL, fail(), confirm(), START):
        scenario.when(again).then_refused(GenerationEnded(generation_id="j1", status=status))


@pytest.mark.parametrize("command", [CANCEL, fail(), START])
def test_one_that_never_was(command: object) -> None:
    """S4-1."""
    shop().when(command).then_refused(NoSuchGeneration(generation_id="j1"))


@pytest.mark.parametrize(
    "command",
    [
        Capture(address=ALICE, reservation_id="j1", debit_id="d"),
        Release(address=ALICE, reservation_id="j1"),
        Extend(address=ALICE, reservation_id="j1", ttl_s=1),
    ],
)
def test_its_holds_end_only_with_it(command: object) -> None:
    """S4-1: not one by one, as those of plain reservations."""
    running(request=chat()).when(command).then_refused(HeldByGeneration(generation_id="j1"))
