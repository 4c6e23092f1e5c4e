"""The users that somebody pasted or whose file was chosen: read, and looked up before anything is done with them."""

import csv
import re
from collections import Counter
from typing import NamedTuple

from console.visit import Visit

USERS = "/api/v1/users"
ASKED_AT_ONCE = 200
MOST = 1_000  # in one call of the API
HEADINGS = ("user_id", "userid", "user", "id")
_BETWEEN = re.compile(r"[\s,;]+")


class Named(NamedTuple):
    """`ready` may be added: each once, the `unknown` among them too, who exist from their first use."""

    ready: list[str]
    unknown: list[str]
    repeated: list[str]
    invalid: list[str]
    already: list[str]

    @property
    def known(self) -> list[str]:
        """Those of `ready` that Scrip has seen before."""
        return [name for name in self.ready if name not in self.unknown]


def names_in(given: str) -> list[str]:
    """The ids in a text: by lines, commas, semicolons or spaces; of a CSV with a heading the column of users.

    Repetitions are kept, so that they can be told.
    """
    lines = given.splitlines()
    heading = [cell.strip().strip('"').lower() for cell in re.split("[,;\t]", lines[0])] if lines else []
    column = next((heading.index(name) for name in HEADINGS if name in heading), None)
    if column is None:
        return [name for name in (part.strip("\"'") for part in _BETWEEN.split(given)) if name]
    delimiter = next((mark for mark in (";", "\t") if mark in lines[0]), ",")
    rows = csv.reader(lines[1:], delimiter=delimiter)
    return [row[column].strip() for row in rows if len(row) > column and row[column].strip()]


async def looked_up(visit: Visit, names: list[str], members: set[str]) -> Named:
    """Which of the names are known, double, in the group already, or can be nobody's."""
    times = Counter(names)
    unknown: list[str] = []
    invalid: list[str] = [name for name in times if "," in name]  # the question is asked by commas
    asked = [name for name in times if name not in invalid]
    for start in range(0, len(asked), ASKED_AT_ONCE):
        answer = await visit.api.get(USERS, ids=",".join(asked[start : start + ASKED_AT_ONCE]))
        unknown += answer["unknown"]
        invalid += answer["invalid"]
    already = [name for name in times if name in members]
    ready = [name for name in times if name not in invalid and name not in members]
    return Named(
        ready=ready,
        unknown=[name for name in unknown if name not in members],
        repeated=[name for name, count in times.items() if count > 1],
        invalid=invalid,
        already=already,
    )
