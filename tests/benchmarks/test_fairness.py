"""The benchmark of fairness: each kind of load is answered, and the others are served beside it."""

from collections.abc import Sequence

import pytest

from benchmarks import fairness
from benchmarks.fairness import LOADS, Load
from benchmarks.figures import Figure
from cli.failure import Failure
from tests.waiting import patient

SMALL = 500  # holds of the user who has many


@pytest.mark.timeout(patient(240))
def test_every_kind_of_load_runs_beside_the_others() -> None:
    """Windows of a second are too short for a figure, so the bars for times are not looked at."""
    kinds = [*{load.kind: load for load in LOADS}.values(), Load("restart", "a restart", "held", restart=True)]
    loads = [each._replace(rounds=1, holds=SMALL) for each in kinds]
    figures = fairness.measured(lambda _said: None, 1, loads)
    for load in loads:
        own = [each for each in figures if each.what.startswith(f"{load.title}: ")]
        of_load = {each.what.removeprefix(f"{load.title}: "): each for each in own}
        assert of_load["the others' failures"].value == 0
        assert 0 < of_load["the others' p50"].value <= of_load["the others' p99"].value
        assert of_load["its own"].met, load.title
        assert of_load["its own"].more["answered badly"] == 0, load.title
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


def test_a_load_is_run_alone_with_all_of_its_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = list[list[Load]]()

    def note(_report: object, _seconds: int, loads: Sequence[Load]) -> list[Figure]:
        measured.append(list(loads))
        return []

    monkeypatch.setattr(fairness, "measured", note)
    fairness.run(lambda _said: None, load="together")
    fairness.run(lambda _said: None)
    (alone,), all_ = measured
    assert alone.title.startswith("100,000 holds that end together")
    assert [load.name for load in all_] == [load.name for load in LOADS]
    assert len({load.name for load in all_}) == len({load.title for load in all_}) == len(LOADS)
    assert all(load.holds <= whole.holds for load, whole in zip(all_, LOADS, strict=True))
    with pytest.raises(Failure, match="There is no load other; there are held, held-restart"):
        fairness.run(lambda _said: None, load="other")
