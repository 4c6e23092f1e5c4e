"""What an audit found, ready to be shown to a person or sent as JSON."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Progress = Callable[[str, int, int], None]  # section, done so far, of how many (0: not known)


class Differs(Exception):
    """The first thing that is not as it must be: where it is, what should be there, what is."""

    def __init__(self, where: str, expected: object, found: object) -> None:
        super().__init__(f"{where}: expected {expected}, found {found}")
        self.where = where
        self.expected = expected
        self.found = found


@dataclass(slots=True)
class Section:
    """One part of the audit: how much of what was checked, and the first difference, if any."""

    name: str
    checked: dict[str, int] = field(default_factory=dict)
    difference: Differs | None = None
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return self.difference is None

    def count(self, what: str, more: int = 1) -> None:
        self.checked[what] = self.checked.get(what, 0) + more

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "name": self.name,
            "ok": self.ok,
            "checked": dict(self.checked),
            "seconds": round(self.seconds, 3),
        }
        if self.difference is not None:
            found["first_difference"] = {
                "where": self.difference.where,
                "expected": _shown(self.difference.expected),
                "found": _shown(self.difference.found),
            }
        return found


@dataclass(slots=True)
class Report:
    """The whole audit, as of `positions`: partition to the last position that was checked."""

    log_id: str
    positions: dict[int, int]
    sections: list[Section]

    @property
    def ok(self) -> bool:
        return all(section.ok for section in self.sections)

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "log": self.log_id,
            "positions": {str(partition): position for partition, position in self.positions.items()},
            "sections": [section.as_json() for section in self.sections],
        }


def _shown(value: object) -> object:
    return value if isinstance(value, str | int | bool | None) else str(value)
