"""Reads a usage file as `scrip import` does: checked whole, then row by row."""

from pathlib import Path

from cli.importing.forms import Form
from cli.importing.rows import Checked, Reading, UsageRow, check_rows, rows_of
from cli.importing.source import usage_file


def rows_in(folder: Path, text: str | bytes, form: Form, **columns: str) -> list[UsageRow]:
    """The rows of a file of this content. Raises WrongFile."""
    file = folder / "usage.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    reading = Reading(form, "acme", **columns)
    with usage_file(file) as opened:
        check_rows(opened, reading)
        return list(rows_of(opened, reading))


def checked(folder: Path, text: str | bytes, form: Form, **columns: str) -> Checked:
    """What the check of a file of this content says. Raises WrongFile."""
    file = folder / "usage.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with usage_file(file) as opened:
        return check_rows(opened, Reading(form, "acme", **columns))
