"""The short campaign of the suite: every kind of process is killed under load, and nothing is lost or done twice."""

import os
import secrets
from collections import Counter
from pathlib import Path

from tests.faults.campaign import run

SEED = "SCRIP_CAMPAIGN_SEED"
LEAST_KILLS = 20
PAUSE_S = 0.1  # the other tests run beside it
PROCESSES = {"api", "relay", "intake", "projector", "sweeper", "postgres", "kafka"}


def test_what_was_acknowledged_is_there_exactly_once_whatever_is_killed(tmp_path: Path) -> None:
    killed = run(tmp_path / "data", int(os.environ.get(SEED) or secrets.randbelow(10**9)), pause_s=PAUSE_S)
    assert len(killed) >= LEAST_KILLS
    assert set(Counter(killed)) == PROCESSES
