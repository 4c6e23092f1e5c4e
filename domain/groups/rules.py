"""Rules that several commands on groups share: which groups exist, and which values a group may have."""

from domain.groups.events import Limits
from domain.groups.refusals import InvalidGroup, NoSuchGroup
from domain.groups.state import Group

MAX_LIMIT = 10**12
MAX_LIMITS = 100  # things that one group limits
MAX_NAME = 255
MAX_DESCRIPTION = 2_000

GENERATIONS = frozenset({"image", "video"})
TOKENS = "tokens."


def existing(group: Group, group_id: str) -> Group:
    """The group, or a refusal. Raises NoSuchGroup."""
    if not group.live:
        raise NoSuchGroup(group_id=group_id)
    return group


def check_texts(name: str, description: str) -> None:
    """A name is 1 to 255 characters, a description at most 2,000. Raises InvalidGroup."""
    if not name.strip() or len(name) > MAX_NAME:
        raise InvalidGroup(field="name", reason=f"must have 1 to {MAX_NAME} characters", limit=MAX_NAME)
    if len(description) > MAX_DESCRIPTION:
        reason = f"must have at most {MAX_DESCRIPTION} characters"
        raise InvalidGroup(field="description", reason=reason, limit=MAX_DESCRIPTION)


def check_limits(limits: Limits) -> None:
    """Limits are 0 (blocks) to 10^12, for images, videos and types of tokens. Raises InvalidGroup."""
    for what, limit in limits.items():
        if what not in GENERATIONS and (not what.startswith(TOKENS) or what == TOKENS):
            raise InvalidGroup(field=what, reason="is nothing that a group limits")
        if not 0 <= limit <= MAX_LIMIT:
            raise InvalidGroup(field=f"{what}_limit", reason=f"must be from 0 to {MAX_LIMIT}", limit=MAX_LIMIT)
    if len(limits) > MAX_LIMITS:
        raise InvalidGroup(field="limits", reason=f"must be at most {MAX_LIMITS}", limit=MAX_LIMITS)
