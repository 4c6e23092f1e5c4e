"""Change a group's name, description, limits or period (S1)."""

from dataclasses import dataclass, field
from datetime import datetime

from domain.groups.events import GroupEdited, GroupEvent
from domain.groups.rules import check_limits, check_texts, existing
from domain.groups.state import Group
from domain.periods import Every
from domain.quotas.quota import restarted


@dataclass(frozen=True, slots=True, kw_only=True)
class EditGroup:
    """What is none stays as it is. `limits` are changes: a number sets a limit, none removes it."""

    group_id: str
    name: str | None = None
    description: str | None = None
    limits: dict[str, int | None] = field(default_factory=dict)
    every: Every | None = None


def edit(group: Group, command: EditGroup, now: datetime) -> tuple[GroupEvent, ...]:
    """Recorded use stays as it is (S1), also above a new limit; only another kind of period starts it anew.

    Raises NoSuchGroup, InvalidGroup.
    """
    existing(group, command.group_id)
    changed: dict[str, int | None] = {**group.limits, **command.limits}
    edited = GroupEdited(
        group_id=command.group_id,
        name=group.name if command.name is None else command.name,
        description=group.description if command.description is None else command.description,
        limits={what: limit for what, limit in changed.items() if limit is not None},
        every=command.every or group.every,
    )
    check_texts(edited.name, edited.description)
    check_limits(edited.limits)
    return (edited,) if edited.every is group.every else (restarted(group.quota, now), edited)
