"""What a benchmark measures, how it is shown and where it is kept."""

import csv
import os
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "results.csv"
Report = Callable[[str], None]  # takes a sentence on what is being measured now
HEADER = ("date", "commit", "machine", "python", "bench", "what", "value", "unit", "bar", "met")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. `bar` says in words what it should reach, `met` whether it does, where there is a bar.

    `more`: further numbers of the same unit that are shown beside it, by name.
    """

    bench: str
    what: str
    value: float
    unit: str
    bar: str = ""
    met: bool | None = None
    more: Mapping[str, float] = field(default_factory=dict)


def shown(value: float) -> str:
    """A number formatted for people."""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


def keep(figures: Sequence[Figure]) -> None:
    """Append the figures to results.csv, with the commit and the machine that they belong to."""
    new = not RESULTS.exists()
    with RESULTS.open("a", newline="") as file:
        rows = csv.writer(file)
        if new:
            rows.writerow(HEADER)
        for figure in figures:
            met = "" if figure.met is None else ("yes" if figure.met else "no")
            rows.writerow(
                [
                    datetime.now(UTC).date().isoformat(),
                    _commit(),
                    f"{platform.machine()} {len(os.sched_getaffinity(0))} cores",
                    platform.python_version(),
                    figure.bench,
                    figure.what,
                    f"{figure.value:.4g}" if figure.value < 100 else f"{figure.value:.0f}",
                    figure.unit,
                    figure.bar,
                    met,
                ]
            )


def _commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S607 - git from the PATH
    return found.stdout.strip() or "unknown"


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
