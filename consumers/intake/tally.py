"""Counts of what became of usage events."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """`applied` now, `repeated` (applied earlier), `refused`, and these by reason; copies within a batch count once."""

    received: int = 0
    applied: int = 0
    repeated: int = 0
    refused: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def refuse(self, reasons: Iterable[str]) -> None:
        """Count refusals."""
        for reason in reasons:
            self.refused += 1
            self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def add(self, other: "Tally") -> None:
        """Add another's counts."""
        self.received += other.received
        self.applied += other.applied
        self.repeated += other.repeated
        self.refused += other.refused
        for reason, count in other.reasons.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + count
