"""Count use against every group of a user at once (S1): of images and videos made elsewhere, or of plan tokens."""

from dataclasses import dataclass
from datetime import datetime

from domain.groups.refusals import GroupLimit, InvalidGroup
from domain.groups.room import Room, groups_of, room_of, tightest
from domain.groups.rules import GENERATIONS, MAX_LIMIT
from domain.groups.state import stream_of
from domain.kernel.work import Work
from domain.quotas.events import PeriodStarted, UseCounted
from domain.quotas.quota import begun, fits


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


def track(
    work: Work, command: TrackGeneration, zone: str, now: datetime
) -> tuple[tuple[str, PeriodStarted | UseCounted], ...]:
    """Events by stream; none for a user in no group, who is not limited. Raises InvalidGroup, GroupLimit."""
    if command.what not in GENERATIONS:
        raise InvalidGroup(field="type", reason="must be image or video")
    if not 1 <= command.count <= MAX_LIMIT:
        raise InvalidGroup(field="count", reason=f"must be from 1 to {MAX_LIMIT}", limit=MAX_LIMIT)
    return count_use(work, command.user, command.what, command.count, zone, now)


def count_use(
    work: Work, user: str, what: str, count: int, zone: str, now: datetime, ref: str | None = None
) -> tuple[tuple[str, PeriodStarted | UseCounted], ...]:
    """Count `count` of what on all groups of the user, or on none where one has no room; that one is named.

    `zone`: the organisation's time zone, `ref`: what the use was for.
    Raises GroupLimit, TotalTooLarge.
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
    counted = UseCounted(amounts={what: count}, user=user, ref=ref)
    events: list[tuple[str, PeriodStarted | UseCounted]] = []
    for group_id, group in groups:
        stream = stream_of(group_id)
        events += [(stream, started) for started in begun(group.quota, group.every, zone, now)]
        events.append((stream, counted))
    return tuple(events)


def tightest_group(work: Work, question: TightestGroup) -> Room | None:
    """The answer to `TightestGroup`: none for a user in no group."""
    return tightest(room_of(group_id, group, question.what) for group_id, group in groups_of(work, question.user))
