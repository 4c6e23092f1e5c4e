"""What another limit would mean for a group at this moment, before anything is changed (S1)."""

from typing import Any, Literal

from pydantic import BaseModel

from api.commands.groups import LimitsBody
from api.group_answers import COUNTED, group_answer, group_now
from api.http.caller import Call
from api.http.endpoint import endpoint
from api.http.policy import May
from api.problems import refused
from domain.groups.edit import EditGroup
from domain.groups.now import GroupUse
from domain.groups.room import room_of
from domain.groups.state import Group, stream_of
from domain.kernel.memory import Memory
from domain.periods import Every
from domain.registry import SCRIP
from infra.partitions import PLATFORM
from infra.position import format_position
from infra.writer.submission import Refused


class GroupPreview(BaseModel):
    """The group as it would be. `refused_now`: whether the next one of it would be refused.

    `members_affected`: how many members would then be refused something, all of them or none.
    """

    id: str
    image_limit: int | None
    video_limit: int | None
    token_quotas: dict[str, int]
    period: str
    usage: dict[str, int]
    remaining: dict[str, int | None]
    token_remaining: dict[str, int | None]
    status: Literal["green", "yellow", "red"]
    percent: int
    refused_now: dict[str, bool]
    member_count: int
    members_affected: int
    position: str


@endpoint("POST /api/groups/{id}/preview", May.MANAGE_GROUPS, GroupPreview, keyed=False)
async def preview_group(call: Call, body: LimitsBody) -> dict[str, Any]:
    """What other limits would mean now, without setting them.

    By the decision of the change itself, made in memory and thrown away.
    """
    answered = await group_now(call, call.id)
    use: GroupUse = answered.value
    every = Every(body.period) if body.period else None
    ledger = Memory(SCRIP, PLATFORM)
    ledger.put(call.org, stream_of(call.id), use.group)
    decided = ledger.run(EditGroup(group_id=call.id, limits=body.limits, every=every), call.org, answered.time)
    if decided.refusal is not None:
        raise refused(Refused.of(decided.refusal))
    group: Group = ledger.state(call.org, stream_of(call.id))
    counted = dict.fromkeys((*COUNTED, *group.limits, *group.quota.used, *group.quota.held))
    rooms = {what: room_of(call.id, group, what) for what in counted}
    told = group_answer(call.id, group, None, rooms, len(group.members))
    shown = {name: told[name] for name in GroupPreview.model_fields if name in told}
    refused_now = {what: not rooms[what].has(1) for what in COUNTED}
    affected = len(group.members) if any(not room.has(1) for room in rooms.values()) else 0
    more = {"refused_now": refused_now, "members_affected": affected}
    return {**shown, **more, "position": format_position(answered.position)}
