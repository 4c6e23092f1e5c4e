"""`scrip demo --exit`: a short run of the whole flow."""

import json
from pathlib import Path

from tests.cli.program import scrip


def test_a_short_demo_holds(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    first = scrip("demo", "--exit", "--generations", "40", "--data", data, timeout_s=180)
    assert first.returncode == 0, first.stdout + first.stderr
    lines = first.stdout.splitlines()
    assert [line.split(" ")[0] for line in lines[:3]] == ["kafka", "postgres", "ready"]
    assert "You need 1100 credits but only have 500. You're 600 credits short." in first.stdout
    assert "verify holds" in first.stdout
    # A second run on the same data has its own users and is compared as exactly.
    second = scrip("demo", "--exit", "--generations", "25", "--data", data, "--json", timeout_s=180)
    assert second.returncode == 0, second.stdout + second.stderr
    answer = json.loads(second.stdout)
    assert answer["differences"] == []
    assert answer["events"]["credits-reserved.v1"] == 25
    assert answer["verify"]["ok"] is True
