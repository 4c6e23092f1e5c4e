"""What a command says: tables and progress for a person, one JSON document for a program.

Standard output carries the result, standard error everything else. Whatever is shown is data: never read as markup or
as the name of an emoji, and a character that would steer a terminal or reverse the text is shown as its code.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from domain.text import UNSEEN
from domain.text import on_one_line as visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.text import Text

PIPED_WIDTH = 160  # what a file or another program gets: cells are rarely folded then


def say(line: str) -> None:
    """A line on standard output, seen at once also through a pipe."""
    typer.echo(visible(line))


def complain(text: str) -> None:
    """A line on standard error; a text of several lines stays one."""
    for line in text.split("\n"):
        typer.echo(visible(line), err=True)


def say_json(value: Any) -> None:
    """The one document that `--json` promises, on standard output."""
    typer.echo(UNSEEN.sub(_in_json, json.dumps(value, indent=1, ensure_ascii=False, default=str)))


def _in_json(found: re.Match[str]) -> str:
    """What may stand raw in JSON, but would steer a terminal: the same character, as JSON writes it."""
    return found[0] if found[0] == "\n" else json.dumps(found[0])[1:-1]


def console(*, stderr: bool = False) -> Console:
    """A place for formatted output: plain text where it is not a terminal, and no markup or emoji in any text.

    Colours only on a terminal, or with FORCE_COLOR; none with NO_COLOR or TERM=dumb.
    """
    from rich.console import Console

    piped = not (sys.stderr if stderr else sys.stdout).isatty()
    # FORCE_COLOR asks for the result in colours, not for a bar in a file that is drawn ten times a second.
    plain = False if stderr and piped else None
    made = Console(stderr=stderr, highlight=False, markup=False, emoji=False, force_terminal=plain)
    if piped and "COLUMNS" not in os.environ:
        made.width = PIPED_WIDTH
    return made


def cell(value: object, style: str = "") -> Text:
    """A value as a table or panel shows it: as it is, and numbers with their thousands apart."""
    from rich.text import Text

    return Text(visible(_shown(value)), style=style)


def say_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; numbers are set to the right with their thousands apart."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    listed = [list(row) for row in rows]
    table = Table(title=cell(title), title_justify="left", header_style="bold", box=SIMPLE_HEAD)
    for index, column in enumerate(columns):
        numeric = bool(listed) and all(isinstance(row[index], int | None) for row in listed)
        table.add_column(cell(column), justify="right" if numeric else "left", overflow="fold")
    for row in listed:
        table.add_row(*map(cell, row))
    console().print(table)


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


@contextmanager
def status(text: str) -> Iterator[Callable[[str], None]]:
    """Show on standard error what is being done, where that is a terminal; the block may call it with a newer text."""
    with console(stderr=True).status(cell(text)) as shown:
        yield lambda newer: shown.update(cell(newer))


def progress() -> Progress:
    """A progress bar with count and rate, on standard error."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeElapsedColumn(),
        console=console(stderr=True),
        transient=False,
    )
