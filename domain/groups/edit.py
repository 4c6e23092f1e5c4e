"""Change a group's name, description, limits, period or settings (S1)."""

from dataclasses import dataclass, field

from domain.groups.events import GroupEdited
from domain.groups.rules import check_limits, check_texts, existing
from domain.groups.state import group_of, stream_of
from domain.kernel.work import Work
from domain.periods import Every
from domain.quotas.quota import restarted
from domain.settings.change import Given, changed
from domain.settings.setting import Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class EditGroup:
    """What is none stays as it is. `limits` and `settings` are changes: a number sets one, None removes it."""

    group_id: str
    name: str | None = None
    description: str | None = None
    limits: dict[str, int | None] = field(default_factory=dict)
    every: Every | None = None
    settings: Given = field(default_factory=dict)


def edit(work: Work, command: EditGroup) -> None:
    """Recorded use stays as it is (S1), also above a new limit; only another kind of period starts it anew.

    Raises NoSuchGroup, InvalidGroup, InvalidSetting, NotCounted.
    """
    stream, group = stream_of(command.group_id), group_of(work, command.group_id)
    existing(group, command.group_id)
    limits: dict[str, int | None] = {**group.limits, **command.limits}
    edited = GroupEdited(
        group_id=command.group_id,
        name=group.name if command.name is None else command.name,
        description=group.description if command.description is None else command.description,
        limits={what: limit for what, limit in limits.items() if limit is not None},
        every=command.every or group.every,
        settings=changed(work, Owner.GROUP, group.settings, command.settings),
    )
    check_texts(edited.name, edited.description)
    check_limits(edited.limits)
    if edited.every is not group.every:
        work.emit(stream, restarted(group.quota, work.now))
    work.emit(stream, edited)
