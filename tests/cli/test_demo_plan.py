"""The demo's plan: the same for the same seed, with every fate, and only with what has a price."""

from cli.demo.outcome import Result, count_differences
from cli.demo.plan import CHARGED, EXPIRING, Fate, make_plan
from domain.prices.catalogue import CATALOGUE


def test_the_seed_decides() -> None:
    assert make_plan("r", 50, 7) == make_plan("r", 50, 7)
    assert make_plan("r", 50, 7) != make_plan("r", 50, 8)


def test_every_fate_occurs() -> None:
    plan = make_plan("r", 20, 1)
    assert len(plan.generations) == 20
    assert {generation.fate for generation in plan.generations} == set(Fate)
    assert len(make_plan("r", 1, 1).generations) == 1


def test_only_priced_models_are_asked_for() -> None:
    models = {entry.model for entry in CATALOGUE if entry.credits}
    for generation in make_plan("r", 300, 1).generations:
        assert generation.model in models
        assert not (generation.by_user and generation.fate in EXPIRING)
        assert generation.user in make_plan("r", 300, 1).users[generation.org]


def test_a_count_that_is_off_is_a_difference() -> None:
    plan = make_plan("r", 40, 1)
    fates = [generation.fate for generation in plan.generations]
    expired = sum(fate in EXPIRING for fate in fates)
    result = Result(
        events={
            "credits-reserved.v1": 40,
            "reservation-captured.v1": sum(fate in CHARGED for fate in fates),
            "reservation-released.v1": fates.count(Fate.FAILS),
            "reservation-expired.v1": expired,
        },
        quarantined={"reservation_ended": fates.count(Fate.TOO_LATE)},
    )
    assert count_differences(plan, result) == []
    result.events["reservation-captured.v1"] += 1
    result.quarantined = {}
    first, second = count_differences(plan, result)
    assert first.startswith("reservation-captured.v1: ")
    assert second.startswith("in quarantine: 0, but must be ")
