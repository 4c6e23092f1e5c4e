"""Every command explains itself, and quickly."""

import re

import pytest
from typer.testing import CliRunner

from cli.app import COMMANDS, app
from tests.cli.program import scrip

NAMES = [name for commands in COMMANDS.values() for name in commands]
ROLES = {"api", "relay", "projector", "intake", "sweeper", "notifier"}
SLOW_TO_LOAD = {
    *("aiokafka", "eventsourcing", "fastapi", "faststream", "httpx", "psycopg", "pydantic", "uvicorn"),
    *("api", "client", "console", "consumers", "domain", "infra", "projections"),
}


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


def test_help_loads_no_library_that_is_slow_to_load() -> None:
    """Help is quick because only what describes the commands is loaded; what they work with comes when one runs."""
    shown = scrip("--help", PYTHONPROFILEIMPORTTIME="1")
    assert shown.returncode == 0
    loaded = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in shown.stderr.splitlines() if "|" in line}
    assert {"cli", "typer", "rich"} <= loaded
    assert loaded.isdisjoint(SLOW_TO_LOAD), sorted(loaded & SLOW_TO_LOAD)


def test_an_unknown_command_is_a_usage_error() -> None:
    answer = scrip("grant")
    assert answer.returncode == 2
    assert "No such command" in answer.stderr
