"""The demo's plan: the same for the same seed, with every fate, and what must come out of it is known beforehand."""

from collections import Counter
from dataclasses import replace

import pytest

from cli.demo.figures import GroupFigures, Level, Needs, Price, difference
from cli.demo.outcome import Result, count_differences
from cli.demo.plan import (
    BUSY,
    CHARGED,
    EXPIRING,
    IN_CREDITS,
    IN_MONEY,
    ITEMS,
    OF_THE_PLAN,
    STUDIO,
    Fate,
    Plan,
    budget_of,
    make_plan,
)

PRICE = Price(credits=100, tokens=10, usd=40_000, plan_tokens=3, token_type="forecast")
PRICES = {item.key: PRICE for item in ITEMS}


def test_the_seed_decides() -> None:
    assert make_plan("r", 50, 7) == make_plan("r", 50, 7)
    assert make_plan("r", 50, 7) != make_plan("r", 50, 8)


def test_every_fate_occurs() -> None:
    plan = make_plan("r", 20, 1)
    assert len(plan.generations) == 20
    assert {generation.fate for generation in plan.generations} == set(Fate)
    assert len(make_plan("r", 1, 1).generations) == 1


def test_all_kinds_of_things_are_asked_for() -> None:
    """S0 chat by tokens, S2 images by money, S3 features by plan tokens, S4 models by credits."""
    asked = {generation.item.key for generation in make_plan("r", 400, 1).generations}
    for kind in (IN_CREDITS, IN_MONEY, OF_THE_PLAN):
        assert asked & {item.key for item in kind}
    assert any(generation.item.operation == "chat" for generation in make_plan("r", 400, 1).generations)
    assert len({item.key for item in ITEMS}) == len(ITEMS)


def test_nobody_asks_more_often_with_their_own_token_than_the_rate_limit_allows() -> None:
    generations = make_plan("r", 400, 1, own_requests=10).generations
    own = Counter((each.org, each.user) for each in generations if each.by_user)
    assert set(own.values()) == {10}
    assert sum(each.by_user for each in make_plan("r", 400, 1, own_requests=0).generations) > 150


def test_nobody_asks_for_more_than_their_budget() -> None:
    spent: Counter[tuple[str, str]] = Counter()
    for each in make_plan("r", 8_000, 1).generations:
        spent[each.org, each.user] += each.item.usd
    assert all(amount <= budget_of(user) for (_, user), amount in spent.items())
    assert max(spent.values()) > 10_000_000  # the raised budget is needed


def _plan(*fates: Fate) -> Plan:
    """One user of the studio who asks for the same image with each of these fates."""
    plan = make_plan("r", 1, 1)
    item = IN_MONEY[0]
    user = plan.users[STUDIO][0]
    first = replace(plan.generations[0], org=STUDIO, user=user, item=item, stored=7)
    each = tuple(replace(first, id=f"g{number}", fate=fate) for number, fate in enumerate(fates))
    return Plan("r", each, plan.users)


def test_only_what_succeeds_is_charged_once_and_late_ones_too() -> None:
    needs = Needs(_plan(*Fate), PRICES)
    user = needs.user(STUDIO, needs.users()[0].user)
    assert len(CHARGED) == 3
    assert (user.credits.used, user.tokens.used, user.storage.used, user.budget.used) == (300, 30, 21, 120_000)
    assert needs.group(STUDIO).image == Level(3, 5)
    assert needs.group(STUDIO).video.used == 0
    assert needs.plan_tokens(STUDIO, charged_only=True) == {"forecast": 9}
    assert needs.plan_tokens(STUDIO, charged_only=False) == {"forecast": 15}


@pytest.mark.parametrize("seed", range(5))
def test_everybody_is_given_enough_for_all_that_they_ask_for(seed: int) -> None:
    """Held all at once, whatever succeeds: nothing of the traffic may be refused."""
    plan = make_plan("r", 300, seed)
    needs = Needs(plan, PRICES)
    for user in needs.users():
        own = [each for each in plan.generations if (each.org, each.user) == (user.org, user.user)]
        assert user.credits.limit >= 100 * len(own)
        assert user.tokens.limit >= 10 * len(own)
        assert user.storage.limit >= sum(each.item.most_bytes for each in own)
        assert all(each.stored <= each.item.most_bytes for each in own)
    for org in BUSY:
        group = needs.group(org)
        images = [each for each in plan.generations if each.org == org and each.item.operation == "image"]
        assert group.image.limit >= len(images)


def test_a_figure_that_is_off_is_a_difference() -> None:
    must = GroupFigures(org="o", group="g", members=2, image=Level(3, 5), video=Level(0, 5))
    assert difference(must, must) is None
    said = difference(replace(must, image=Level(4, 5, 1)), must)
    assert said == "o g: image is 4 used and 1 held of 5, but must be 3 used and 0 held of 5"


def test_a_count_that_is_off_is_a_difference() -> None:
    plan = make_plan("r", 40, 1)
    fates = Counter(generation.fate for generation in plan.generations)
    expired = sum(fates[fate] for fate in EXPIRING)
    events = {
        "generation-held.v1": 40,
        "generation-started.v1": 40 - expired,
        "generation-completed.v1": fates[Fate.SUCCEEDS] + fates[Fate.SUCCEEDS_TWICE],
        "generation-failed.v1": fates[Fate.FAILS],
        "generation-expired.v1": expired,
        "generation-settled-late.v1": fates[Fate.TOO_LATE],
    }
    result = Result(events=events)
    assert count_differences(plan, result) == []
    result.events["generation-completed.v1"] += 1
    result.quarantined = {"generation_ended": 1}
    first, second = count_differences(plan, result)
    assert first.startswith("generation-completed.v1: ")
    assert second == "in quarantine: {'generation_ended': 1}, but must be nothing"
