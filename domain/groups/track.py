"""Count use against every group of a user at once (S1): of images and videos made elsewhere, or of plan tokens."""

from dataclasses import dataclass

from domain.groups.refusals import GroupLimit, InvalidGroup
from domain.groups.room import Room, groups_of, room_of, tightest
from domain.groups.rules import GENERATIONS, MAX_LIMIT
from domain.groups.state import stream_of
from domain.kernel.work import Work
from domain.organisations.state import organisation_of
from domain.quotas.events import UseCounted
from domain.quotas.quota import begin, fits


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackGeneration:
    """Count `count` (1 to 10^12) generations of a user; `what` is `image` or `video`."""

    user: str
    what: str
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TightestGroup:
    """Ask which of a user's groups has least left for what is counted, for example after a `TrackGeneration`."""

    user: str
    what: str


def track(work: Work, command: TrackGeneration) -> None:
    """Nothing happens for a user in no group, who is not limited. Raises InvalidGroup, and what `count_use` raises."""
    if command.what not in GENERATIONS:
        raise InvalidGroup(field="type", reason="must be image or video")
    if not 1 <= command.count <= MAX_LIMIT:
        raise InvalidGroup(field="count", reason=f"must be from 1 to {MAX_LIMIT}", limit=MAX_LIMIT)
    count_use(work, command.user, command.what, command.count)


def count_use(work: Work, user: str, what: str, count: int, ref: str | None = None) -> None:
    """Count `count` of what on all groups of the user, or on none where one has no room; that one is named.

    `ref`: what the use was for. Raises GroupLimit, TotalTooLarge.
    """
    groups = groups_of(work, user)
    rooms = (room_of(group_id, group, what) for group_id, group in groups)
    short = tightest(room for room in rooms if not room.has(count))
    if short is not None and short.limit is not None:
        raise GroupLimit(
            group_id=short.group_id,
            what=what,
            limit=short.limit,
            used=short.used,
            remaining=short.remaining or 0,
        )
    for _, group in groups:
        fits(group.quota, {what: count})
    zone = organisation_of(work).time_zone
    for group_id, group in groups:
        stream = stream_of(group_id)
        begin(work, stream, group.quota, group.every, zone)
        work.emit(stream, UseCounted(amounts={what: count}, user=user, ref=ref))


def tightest_group(work: Work, question: TightestGroup | TrackGeneration) -> Room | None:
    """The answer to `TightestGroup`, and what a `TrackGeneration` has left: none for a user in no group."""
    return tightest(room_of(group_id, group, question.what) for group_id, group in groups_of(work, question.user))
