"""A full disk, PostgreSQL's, Kafka's or that of state and logs: callers are told at once, and it heals itself."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.cli.program import ROOT
from tests.faults.disk_drill import CANNOT_MOUNT
from tests.waiting import patient

LIMIT_S = 400  # the drill has limits of its own for each step, and says which was not met
TOLD_S = 10.0  # an answer after this was not given at once: a caller would be left hanging for a minute


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one service went through: each disk filled under load, and room made again."""
    folder = tmp_path_factory.mktemp("disks")
    command = [sys.executable, "-m", "tests.faults.disk_drill", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as running:
        try:
            told, errors = running.communicate(timeout=patient(LIMIT_S))
        finally:
            if running.poll() is None:
                running.terminate()  # it ends its service first
                sys.stderr.write("".join(running.communicate(timeout=patient(60))))
    if running.returncode == CANNOT_MOUNT:
        pytest.skip(f"NO DISK WAS FILLED, because none can be mounted here: {told.strip()}")
    assert running.returncode == 0, told[-4000:] + errors[-8000:]
    report: dict[str, Any] = json.loads(told.splitlines()[-1])
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return report


def refusals(seen: dict[str, Any]) -> set[str]:
    return {answer for answer in seen["answers"] if answer.startswith("5")}


@pytest.mark.timeout(patient(LIMIT_S + 20))
def test_a_full_disk_of_postgresql_is_503_and_heals_itself(drill: dict[str, Any]) -> None:
    seen = drill["postgres"]
    assert "503 disk_full" in refusals(seen)
    assert refusals(seen) <= {"503 disk_full", "503 outcome_unknown", "503 unavailable"}
    assert seen["slowest_refusal_s"] < patient(TOLD_S)
    # Below the reserve commands are refused, and PostgreSQL lives on to answer reads.
    assert seen["lived_on"]
    assert set(seen["reads"].values()) == {200}
    assert any("commands are refused" in issue for issue in seen["health"]["issues"])
    assert seen["health"]["status"] == "unhealthy"
    for told in ("commands are refused below", "PostgreSQL cannot run, because its disk is full"):
        assert len([line for line in seen["said"] if told in line]) == 1, "told once"
    assert any(line.startswith("PostgreSQL runs again") for line in seen["said"])


def test_commands_go_on_while_the_disk_of_kafka_is_full(drill: dict[str, Any]) -> None:
    seen = drill["kafka"]
    assert seen["health"]["status"] == "degraded"
    assert any("0 MB are free on the disk of Kafka" in issue for issue in seen["health"]["issues"])
    assert seen["answers"]["201"] > 0
    # The API was killed once: what was under way is not known, and the same key told.
    assert refusals(seen) <= {"503 outcome_unknown", "503 unavailable"}
    assert len([line for line in seen["said"] if "Kafka cannot run, because its disk is full" in line]) == 1
    assert any(line.startswith("Kafka runs again") for line in seen["said"])


def test_a_full_disk_of_state_and_logs_ends_nothing(drill: dict[str, Any]) -> None:
    assert refusals(drill["state"]) == set()


def test_all_disks_that_are_full_at_once_heal_themselves(drill: dict[str, Any]) -> None:
    seen = drill["together"]
    assert refusals(seen) <= {"503 disk_full", "503 outcome_unknown", "503 unavailable"}
    assert seen["slowest_refusal_s"] < patient(TOLD_S)
    for server in ("PostgreSQL", "Kafka"):
        assert len([line for line in seen["said"] if line.startswith(f"{server} cannot run")]) == 1, "told once"
        assert any(line.startswith(f"{server} runs again") for line in seen["said"])


def test_what_was_acknowledged_on_full_disks_is_there_exactly_once(drill: dict[str, Any]) -> None:
    assert drill["checked"]["operations"] > 0
    for disk in ("postgres", "kafka", "state", "together"):
        assert drill[disk]["served_after_s"] <= drill[disk]["current_after_s"] < patient(60)
