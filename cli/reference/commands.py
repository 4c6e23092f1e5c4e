"""The page of the command line, from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import typer.core

from cli.reference.markdown import head, table

INTRODUCTION = """`./scrip` sets itself up on first use and runs a command. Every command explains itself with
`--help`, and those that answer something take `--json`. What can be expected to go wrong is one
sentence on standard error and exit status 1; wrong usage is exit status 2."""


def page(program: typer.core.TyperGroup) -> str:
    """The whole page, with the commands under the panels that their help shows."""
    parts = [head("Command line", INTRODUCTION)]
    for panel, commands in groupby(program.commands.items(), lambda command: _panel(command[1])):
        parts.append(f"## {panel}\n")
        for name, command in commands:
            parts += _command(name, command)
    return "\n".join(parts)


def _panel(command: Any) -> str:
    panel: str = command.rich_help_panel
    return panel


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    named = " ".join(_argument(each) for each in arguments)
    yield f"### scrip {name} {{: #scrip-{name} }}\n"
    yield f"{_plain(command.help)}\n"
    yield f"`scrip {' '.join(filter(None, (name, named, '[OPTIONS]' if options else '')))}`\n"
    rows = [(f"`{_argument(each)}`", _plain(each.help), "") for each in arguments]
    rows += [(f"`{_option(each)}`", _plain(each.help), _default(each)) for each in options]
    if rows:
        yield table(("option", "meaning", "default"), rows)


def _argument(parameter: Any) -> str:
    shown = str(parameter.metavar or parameter.name.upper())
    return shown if parameter.required else f"[{shown}]"


def _option(parameter: Any) -> str:
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    if parameter.is_flag:
        return names
    return f"{names} {parameter.metavar or parameter.name.upper()}"


def _default(parameter: Any) -> str:
    told = []
    if not parameter.required and parameter.default not in (None, "", False, ()) and not callable(parameter.default):
        told.append(f"`{parameter.default}`")
    if parameter.required:
        told.append("required")
    if parameter.envvar:
        told.append(f"or `{parameter.envvar}`")
    return ", ".join(told)


def _plain(text: str | None) -> str:
    return " ".join((text or "").split())
