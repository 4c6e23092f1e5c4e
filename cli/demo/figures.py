"""The figures that a demo shows and compares: of users, groups and organisations."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple


class Level(NamedTuple):
    """How much of a limit, or of what was granted, is used for good, and how much is held for work that runs."""

    used: int
    limit: int
    held: int = 0

    @property
    def left(self) -> int:
        """What is still free."""
        return self.limit - self.used - self.held

    @property
    def percent(self) -> int:
        """How much of the limit is used, rounded down; all of a limit of 0."""
        return self.used * 100 // self.limit if self.limit else 100

    def as_json(self) -> dict[str, int]:
        """For programs."""
        return {"used": self.used, "held": self.held, "limit": self.limit, "left": self.left}


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFigures:
    """What one user has: credits and tokens against what was granted, bytes, and micro-USD of the month."""

    org: str
    user: str
    credits: Level
    tokens: Level
    storage: Level
    budget: Level


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFigures:
    """What a group's members have generated."""

    org: str
    group: str
    members: int
    image: Level
    video: Level


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganisationFigures:
    """The plan, what there is of each token type (held or not), and until when: then the plan grants anew."""

    org: str
    plan: str
    tokens: dict[str, int]


Figures = UserFigures | GroupFigures | OrganisationFigures


def as_json(figures: Figures) -> dict[str, Any]:
    """For programs."""
    values = {part.name: getattr(figures, part.name) for part in fields(figures)}
    return {name: value.as_json() if isinstance(value, Level) else value for name, value in values.items()}


def difference(found: Figures, must: Figures) -> str | None:
    """Where the figures are not what they must be, in words; none where they are."""
    wrong = [
        f"{part.name} is {_shown(getattr(found, part.name))}, but must be {_shown(getattr(must, part.name))}"
        for part in fields(must)
        if getattr(found, part.name) != getattr(must, part.name)
    ]
    owner = " ".join(str(getattr(must, name)) for name in ("org", "user", "group") if hasattr(must, name))
    return f"{owner}: {'; '.join(wrong)}" if wrong else None


def _shown(value: object) -> str:
    if isinstance(value, Level):
        return f"{value.used} used and {value.held} held of {value.limit}"
    return str(value)
