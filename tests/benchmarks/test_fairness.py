"""The benchmark of fairness: each kind of load is answered, and the others are served beside it."""

import pytest

from benchmarks import fairness
from benchmarks.fairness import LOADS, Load
from tests.waiting import patient

SMALL = 500  # holds of the user who has many


@pytest.mark.timeout(patient(240))
def test_every_kind_of_load_runs_beside_the_others() -> None:
    """Windows of a second are too short for a figure, so the bars for times are not looked at."""
    loads = [*{load.kind: load for load in LOADS}.values(), Load("a restart", "held", restart=True)]
    figures = fairness.run(lambda _said: None, seconds=1, rounds=1, holds=SMALL, loads=loads)
    for load in loads:
        own = [each for each in figures if each.what.startswith(f"{load.what}: ")]
        of_load = {each.what.removeprefix(f"{load.what}: "): each for each in own}
        assert of_load["the others' failures"].value == 0
        assert 0 < of_load["the others' p50"].value <= of_load["the others' p99"].value
        assert of_load["its own"].met, load.what
        assert of_load["its own"].more["answered badly"] == 0, load.what
        assert ("until all have ended" in of_load) == (load.kind == "together")


def test_the_others_reserve_capture_look_and_check_in_equal_parts() -> None:
    traffic = fairness.Traffic([fairness.User(f"u{number}", "token") for number in range(3)])
    kinds = []
    for _ in range(40):
        ask = traffic.draw()
        kinds.append(ask.kind)
        if ask.kind == "reserve":
            ask.then(b'{"reservation_id":"r"}')
    assert {kind: kinds.count(kind) for kind in set(kinds)} == dict.fromkeys(
        ("reserve", "capture", "balance", "check"), 10
    )
