"""What the doctor finds: a code, which is an anchor of docs/runbook.md, what was seen, what it means, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cli.doctor.codes import CODES


class Severity(StrEnum):
    """`wrong`: something does not work or could lose credits. `look`: somebody should look at it."""

    WRONG = "wrong"
    LOOK = "look"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be; `seen` is one sentence with the figures."""

    code: str
    seen: str
    severity: Severity = Severity.WRONG

    def as_json(self) -> dict[str, Any]:
        """The finding with its meaning and action."""
        known = CODES[self.code]
        return {
            "code": self.code,
            "severity": self.severity.value,
            "seen": self.seen,
            "meaning": known.meaning,
            "action": known.action,
            "runbook": f"docs/runbook.md#{self.code}",
        }


def look(code: str, seen: str) -> Finding:
    """A finding that somebody should look at."""
    return Finding(code, seen, Severity.LOOK)
