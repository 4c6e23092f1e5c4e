"""How often each role hung since the service was started: noted in the data folder for `scrip doctor`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

SUFFIX = ".hung"


class Hung(NamedTuple):
    """A role or server that was ended because it hung: how often, and when last (seconds since 1970)."""

    name: str
    times: int
    last: float


def forget(run: Path) -> None:
    """Begin anew. `run`: the folder of that name in the data folder."""
    for note in run.glob(f"*{SUFFIX}"):
        note.unlink(missing_ok=True)


def count(run: Path, name: str) -> None:
    """Note that it hung once more; on a full disk nothing is noted."""
    note = run / f"{name}{SUFFIX}"
    with suppress(OSError), note.open("a") as lines:
        lines.write("hung\n")


def hung(data: Path) -> list[Hung]:
    """What hung since the service in the data folder was started, by name."""
    return [
        Hung(note.stem, note.read_text().count("\n"), note.stat().st_mtime)
        for note in sorted((data / "run").glob(f"*{SUFFIX}"))
    ]
