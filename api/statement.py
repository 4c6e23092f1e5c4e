"""A statement as CSV or PDF."""

from datetime import datetime
from typing import Any

from fpdf import FPDF

from api.csv_text import csv_bytes

COLUMNS = ("created_at", "type", "amount", "balance_after", "item", "reason", "actor", "id")
_WIDTHS = (38, 26, 26, 28, 52, 52, 40)


def as_csv(statement: dict[str, Any]) -> bytes:
    """Opening, movements and closing, one row each. Text that a spreadsheet would take for a formula is quoted."""
    opening = [_time(statement["from"]), "opening", "", statement["opening"], "", "", "", ""]
    movements = [[_cell(row[name]) for name in COLUMNS] for row in statement["movements"]]
    closing = [_time(statement["to"]), "closing", "", statement["closing"], "", "", "", ""]
    return csv_bytes(COLUMNS, [opening, *movements, closing])


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
            page.cell(width, 5, _short(_text(row[name]), width))
        page.ln()
    page.set_font("Helvetica", "B", 9)
    page.cell(0, 8, f"Closing balance: {statement['closing']}", new_x="LMARGIN", new_y="NEXT")
    return bytes(page.output())


def _cell(value: Any) -> str | int:
    return value if isinstance(value, int) else _text(value)


def _text(value: Any) -> str:
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
