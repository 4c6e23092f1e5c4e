"""What a command says: tables and progress for a person, one JSON document for a program."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

PIPED_WIDTH = 160  # what a file or another program gets: cells are rarely folded then


def say(line: str) -> None:
    """A line on standard output, seen at once also through a pipe."""
    typer.echo(line)


def complain(line: str) -> None:
    """A line on standard error."""
    typer.echo(line, err=True)


def say_json(value: Any) -> None:
    """The one document that `--json` promises, on standard output."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False, default=str))


def console(*, stderr: bool = False) -> Console:
    """A place for formatted output; plain text where it is not a terminal."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = PIPED_WIDTH
    return made


def say_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; numbers are set to the right with their thousands apart."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    listed = [list(row) for row in rows]
    table = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD)
    for index, column in enumerate(columns):
        numeric = bool(listed) and all(isinstance(row[index], int | None) for row in listed)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in listed:
        table.add_row(*(_shown(cell) for cell in row))
    console().print(table)


def _shown(cell: object) -> str:
    if cell is None:
        return ""
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


def progress() -> Progress:
    """A progress bar with count and rate, on standard error."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        console=console(stderr=True),
        transient=False,
    )
