"""What has happened so far in a demo, and how it is shown while it happens."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cli.demo.plan import Fate

if TYPE_CHECKING:
    from rich.table import Table


SHOWN = {
    Fate.SUCCEEDS: "completed",
    Fate.SUCCEEDS_TWICE: "completed, told twice",
    Fate.FAILS: "failed",
    Fate.NEVER_SETTLED: "never settled",
    Fate.TOO_LATE: "settled late",
}


@dataclass(slots=True)
class Tally:
    """Counts of one demo."""

    planned: int
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None
    last_held: float | None = None
    held: int = 0
    running: int = 0
    requests: int = 0
    messages: int = 0
    settled: Counter[Fate] = field(default_factory=Counter)

    @property
    def seconds(self) -> float:
        """How long the traffic has taken."""
        return (self.ended or time.monotonic()) - self.began

    @property
    def rate(self) -> float:
        """Generations begun per second, while they were begun."""
        span = (self.last_held or time.monotonic()) - self.began
        return self.held / span if span > 0 else 0.0

    def was_held(self) -> None:
        """A generation has its holds."""
        self.held += 1
        self.last_held = time.monotonic()

    def as_table(self) -> Table:
        """The figures of this moment."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        table.title = f"{self.seconds:.1f} s, {self.rate:.0f} generations/s, {self.messages} messages"
        table.title_justify = "left"
        settled = {name: self.settled[fate] for fate, name in SHOWN.items()}
        for name, count in {"held": self.held, "generating now": self.running, **settled}.items():
            table.add_row(name, ProgressBar(total=self.planned, completed=count, width=40), f"{count}/{self.planned}")
        return table
