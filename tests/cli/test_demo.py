"""`scrip demo --exit`: a short run of the whole flow."""

import json
from pathlib import Path

from infra.embedded.ports import free_port
from tests.cli.program import scrip

SENTENCES = (
    "The organisation's plan has no lead_generation tokens.",
    "has reached its limit: 1 of 1 images are used or held, and this needs 1.",
    "This costs $1.08, but only $1.00 of $1.00 is left this month.",
    "This needs 10 MB, but only 5 MB of 200 MB is free. You're 5 MB short.",
    "Insufficient tokens. You need 100 tokens but only have 50. You're 50 tokens short.",
    "Insufficient credits. You need 1100 credits but only have 500. You're 600 credits short.",
    "There is no price for MiniMax MiniMax-Hailuo-02 1080P 10s.",
    "Not more than 10 requests in 60 s.",
)


def test_a_short_demo_holds(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    port = ("--port", str(free_port()))
    first = scrip("demo", "--exit", *port, "--generations", "40", "--data", data, timeout_s=180)
    assert first.returncode == 0, first.stdout + first.stderr
    lines = first.stdout.splitlines()
    assert [line.split(" ")[0] for line in lines[:3]] == ["kafka", "postgres", "ready"]
    for sentence in SENTENCES:  # S0 to S4: one refusal of each kind
        assert sentence in first.stdout
    assert "verify holds" in first.stdout
    # A second run on the same data has its own users and groups and is compared as exactly.
    second = scrip("demo", "--exit", *port, "--generations", "25", "--data", data, "--json", timeout_s=180)
    assert second.returncode == 0, second.stdout + second.stderr
    answer = json.loads(second.stdout)
    assert answer["differences"] == []
    assert answer["events"]["generation-held.v1"] == 25
    assert answer["verify"]["ok"] is True
    assert len(answer["refusals"]) == len(SENTENCES)
