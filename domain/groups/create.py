"""Create a group with its limits (S1)."""

from dataclasses import dataclass, field

from domain.groups.events import GroupCreated, Limits
from domain.groups.refusals import GroupExists
from domain.groups.rules import check_limits, check_texts
from domain.groups.state import group_of, stream_of
from domain.kernel.work import Work
from domain.periods import Every
from domain.settings.change import Given, changed
from domain.settings.setting import Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateGroup:
    """`limits` 0 (blocks) to 10^12 by `image`, `video`, `tokens.{type}`; what they do not name is unlimited.

    `settings`: those of the group that resources declare.
    """

    group_id: str
    name: str
    description: str = ""
    limits: Limits = field(default_factory=dict)
    every: Every = Every.TOTAL
    settings: Given = field(default_factory=dict)


def create(work: Work, command: CreateGroup) -> None:
    """The id of a deleted group is not used again, for its history stays. Raises GroupExists, InvalidGroup,
    InvalidSetting, NotCounted.
    """
    check_texts(command.name, command.description)
    check_limits(command.limits)
    if group_of(work, command.group_id).exists:
        raise GroupExists(group_id=command.group_id)
    created = GroupCreated(
        group_id=command.group_id,
        name=command.name,
        description=command.description,
        limits=command.limits,
        every=command.every,
        settings=changed(work, Owner.GROUP, {}, command.settings),
    )
    work.emit(stream_of(command.group_id), created)
