"""Tables as CSV that no spreadsheet takes for formulas, with a byte order mark for those that ask for it.

Without the mark Excel takes UTF-8 for the code page of its machine. With it, plain readers (Python's `csv`, awk) have
it in the name of the first column; pandas and DuckDB read both. So programs get none, and the console's files have one.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
MARK = b"\xef\xbb\xbf"
Bom = Annotated[bool, Query(description="csv: begin with a byte order mark, by which Excel knows UTF-8.")]
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")  # an amount below zero is no formula


def csv_bytes(columns: Sequence[str], rows: Iterable[Sequence[str | int | None]], *, bom: bool = False) -> bytes:
    """A header and one line for each row; none is an empty cell. Text that looks like a formula is quoted."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(map(_cell, columns))
    writer.writerows(map(_cell, row) for row in rows)
    return (MARK if bom else b"") + out.getvalue().encode()


def csv_response(
    name: str, columns: Sequence[str], rows: Iterable[Sequence[str | int | None]], *, bom: bool
) -> Response:
    """The table as an answer that a browser saves under `name`."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(csv_bytes(columns, rows, bom=bom), media_type="text/csv; charset=utf-8", headers=headers)


def _cell(value: str | int | None) -> str | int:
    if isinstance(value, str) and value.startswith(_FORMULA) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return "" if value is None else value
