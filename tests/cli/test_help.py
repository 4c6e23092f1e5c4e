"""Every command explains itself, and quickly."""

import re
import time

import pytest
from typer.testing import CliRunner

from cli.app import COMMANDS, app
from tests.cli.program import scrip

NAMES = [name for commands in COMMANDS.values() for name in commands]
ROLES = {"api", "relay", "projector", "intake", "sweeper", "notifier"}


def test_all_commands_are_listed() -> None:
    shown = scrip("--help")
    assert shown.returncode == 0
    for name in NAMES:
        assert re.search(rf"^│ {name}\s+\S", shown.stdout, re.MULTILINE), name


@pytest.mark.parametrize("name", NAMES)
def test_each_command_has_help(name: str) -> None:
    shown = CliRunner().invoke(app, [name, "--help"], prog_name="scrip", env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert f"Usage: scrip {name}" in shown.stdout
    if name not in ROLES:
        assert "--json" in shown.stdout


def test_help_answers_in_half_a_second() -> None:
    # The best of three: what else the machine does meanwhile is not our doing.
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        scrip("--help")
        seconds.append(time.monotonic() - started)
    assert min(seconds) < 0.5


def test_an_unknown_command_is_a_usage_error() -> None:
    answer = scrip("grant")
    assert answer.returncode == 2
    assert "No such command" in answer.stderr
