"""A statement as CSV or PDF."""

import csv
import io
from datetime import datetime
from typing import Any

from fpdf import FPDF

COLUMNS = ("created_at", "type", "amount", "balance_after", "item", "reason", "actor", "id")
_WIDTHS = (38, 26, 26, 28, 52, 52, 40)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(statement: dict[str, Any]) -> bytes:
    """Opening, movements and closing, one row each. Text that a spreadsheet would take for a formula is quoted."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerow([_time(statement["from"]), "opening", "", statement["opening"], "", "", "", ""])
    for row in statement["movements"]:
        writer.writerow([_cell(row, name) for name in COLUMNS])
    writer.writerow([_time(statement["to"]), "closing", "", statement["closing"], "", "", "", ""])
    return out.getvalue().encode()


def as_pdf(statement: dict[str, Any]) -> bytes:
    """The same as a document to print."""
    page = FPDF(orientation="landscape", format="A4")
    page.set_creation_date(statement["to"])
    page.set_title(f"Statement {statement['address']}")
    page.add_page()
    page.set_font("Helvetica", "B", 14)
    page.cell(0, 8, _latin(f"Statement of {statement['address']}"), new_x="LMARGIN", new_y="NEXT")
    page.set_font("Helvetica", "", 9)
    period = f"{_time(statement['from']) or 'the beginning'} to {_time(statement['to'])}"
    page.cell(0, 6, _latin(f"Period: {period}. Amounts in whole credits."), new_x="LMARGIN", new_y="NEXT")
    page.cell(0, 6, f"Opening balance: {statement['opening']}", new_x="LMARGIN", new_y="NEXT")
    page.set_font("Helvetica", "B", 8)
    for name, width in zip(COLUMNS, _WIDTHS, strict=False):
        page.cell(width, 6, name.replace("_", " "), border="B")
    page.ln()
    page.set_font("Helvetica", "", 8)
    for row in statement["movements"]:
        for name, width in zip(COLUMNS, _WIDTHS, strict=False):
            page.cell(width, 5, _short(_text(row, name), width))
        page.ln()
    page.set_font("Helvetica", "B", 9)
    page.cell(0, 8, f"Closing balance: {statement['closing']}", new_x="LMARGIN", new_y="NEXT")
    return bytes(page.output())


def _cell(row: dict[str, Any], name: str) -> str | int:
    value = row[name]
    if isinstance(value, int):
        return value
    text = _text(row, name)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _text(row: dict[str, Any], name: str) -> str:
    value = row[name]
    return _time(value) if isinstance(value, datetime) else "" if value is None else str(value)


def _time(value: datetime | None) -> str:
    return value.isoformat(timespec="seconds").replace("+00:00", "Z") if value else ""


def _short(text: str, width: int) -> str:
    """Text that fits a column: about 1.7 mm a character."""
    room = int(width / 1.7)
    line = " ".join(text.split())
    return _latin(line if len(line) <= room else line[: room - 3] + "...")


def _latin(text: str) -> str:
    """The standard fonts of PDF have Latin letters only; others become question marks."""
    return text.encode("latin-1", "replace").decode("latin-1")
