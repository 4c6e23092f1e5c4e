"""The tables of docs/limits.md, row by row."""

import re
from typing import NamedTuple

from tests.cli.program import ROOT

PAGE = ROOT / "docs" / "limits.md"
HEAD = ["What", "Default", "Setting", "What happens at it"]
_REFUSAL = re.compile(r"`(\d{3}) ([a-z_]+)`")


class Row(NamedTuple):
    """A bound as the page tells it. `default` begins with its number; `setting` is `fixed` or a variable."""

    heading: str
    what: str
    default: str
    setting: str
    then: str

    @property
    def refusal(self) -> tuple[int, str] | None:
        """Status and code of the answer; none where nobody is refused."""
        found = _REFUSAL.search(self.then)
        return (int(found[1]), found[2]) if found else None

    @property
    def tells_when(self) -> bool:
        """Whether the answer says when to come back."""
        return "Retry-After" in self.then


def rows() -> list[Row]:
    """Every row of every table that has the page's columns."""
    found: list[Row] = []
    heading, columns = "", None
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if not line.startswith("|"):
            columns = None
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if columns is None:
            columns = cells
        elif columns == HEAD and not set(cells[0]) <= {"-", ":"}:
            assert len(cells) == len(HEAD), line
            found.append(Row(heading, *cells))
    return found
