"""The list of commands, and what happens when one cannot do its work."""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Any

import typer

from cli.commands.demo import demo
from cli.commands.develop import bench, docs
from cli.commands.doctor import doctor
from cli.commands.import_usage import import_usage
from cli.commands.operate import rebuild, unblock, verify
from cli.commands.reads import balance, events, explain
from cli.commands.roles import api, intake, notifier, prepare, projector, relay, sweeper
from cli.commands.start import config, token, up
from cli.commands.test import test

Command = Callable[..., None]

COMMANDS: dict[str, dict[str, Command]] = {
    "Start": {"up": up, "demo": demo, "token": token, "config": config},
    "Operate and audit": {
        "import": import_usage,
        "balance": balance,
        "events": events,
        "explain": explain,
        "verify": verify,
        "rebuild": rebuild,
        "doctor": doctor,
        "unblock": unblock,
    },
    "Develop": {"test": test, "bench": bench, "docs": docs},
    "Roles, one process each": {
        "prepare": prepare,
        "api": api,
        "relay": relay,
        "projector": projector,
        "intake": intake,
        "sweeper": sweeper,
        "notifier": notifier,
    },
}

# What these do not know themselves goes on to pytest.
PASSES_ON: dict[str, dict[str, Any]] = {"test": {"allow_extra_args": True, "ignore_unknown_options": True}}

app = typer.Typer(
    name="scrip",
    help="Scrip: the event-sourced credit ledger. Start with `scrip demo`.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for panel, commands in COMMANDS.items():
    for name, function in commands.items():
        app.command(name, rich_help_panel=panel, context_settings=PASSES_ON.get(name))(function)


def main() -> None:
    """Run a command; what can be expected to go wrong is one sentence on standard error and exit status 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 must not end a command
    try:
        app(prog_name="scrip")
    except Exception as error:
        from cli.failure import sentence
        from cli.output import complain

        said = sentence(error)
        if said is None:
            raise
        complain(f"scrip: {said}")
        sys.exit(1)
