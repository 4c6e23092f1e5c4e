"""The demo's last screen: everything is there and nothing is cut, also on a small terminal."""

import io
from typing import Any

import pytest
from rich.console import Console

from cli.demo.caller import Tally
from cli.demo.figures import GroupFigures, Level, UserFigures
from cli.demo.outcome import Result
from cli.demo.plan import BUSY, make_plan
from cli.demo.refusals import CASES, GROUP, Case, Refusal
from cli.demo.show import Shown, screen
from domain.generations.request import MB
from domain.plans.catalogue import TOKEN_COSTS

SHORT_OF_CREDITS = "Insufficient credits. You need 1100 credits but only have 500. You're 600 credits short."


def _shown() -> Shown:
    plan = make_plan("a1b2c3", 400, 1)
    users = [
        UserFigures(
            org=org,
            user=user,
            credits=Level(117_900, 240_000),
            tokens=Level(13_500, 25_000),
            storage=Level(1_208 * MB, 4_100 * MB),
            budget=Level(12_480_000, 25_000_000),
        )
        for org, names in plan.users.items()
        for user in names
    ]
    groups = [
        GroupFigures(org=BUSY[0], group="team.a1b2c3", members=5, image=Level(74, 100), video=Level(75, 100)),
        GroupFigures(org=BUSY[0], group=f"{GROUP}.a1b2c3", members=1, image=Level(1, 1), video=Level(0, 1)),
    ]
    tokens = {name: {"balance": 1_485, "allocated": 1_000} for name in TOKEN_COSTS}
    organisations: list[dict[str, Any]] = [
        {"id": "demo-agency", "plan": "enterprise", "refresh_date": "2026-12-21T10:00:00Z", "tokens": tokens},
        {"id": "demo-lab", "plan": "starter", "refresh_date": None, "tokens": {}},
    ]
    events = {"generation-held.v1": 400, "generation-settled-late.v1": 19}
    refusals = [Refusal(case.code, case.status, case.org, f"{case.name}.a1b2c3", SHORT_OF_CREDITS) for case in CASES]
    result = Result(users=users, groups=groups, organisations=organisations, events=events)
    return Shown(plan, Tally(planned=400), result, refusals)


def _printed(width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(screen(_shown(), width))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 120, 160])
def test_all_five_systems_are_on_it_and_nothing_is_cut(width: int) -> None:
    text = _printed(width)
    for system in ("S0", "S1", "S2", "S3", "S4"):
        assert f" {system}  " in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert "1,208 of 4 GB" in text
    assert "$12.48 of $25.00" in text
    assert "1,485 of 1,000" in text
    assert "2026-12-21" in text
    assert "122,100" in text  # the credits that are left
    assert "19 settled late" in text


def test_it_is_one_screen_at_120_columns() -> None:
    assert len(_printed(120).splitlines()) <= 60


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.code)
def test_each_refusal_is_on_it(case: Case) -> None:
    assert case.code in _printed(120)


def test_how_full_a_group_is_has_its_colour() -> None:
    """S1-4: green below 75 %, yellow below 90 %, red from 90 %."""
    text = _printed(120)

    def row(part: str) -> str:
        return next(line for line in text.splitlines() if part in line)

    assert "green" in row("74 of 100")
    assert "yellow" in row("75 of 100")
    assert "red" in row("1 of 1 ")
