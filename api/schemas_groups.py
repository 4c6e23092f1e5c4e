"""What calls on groups and budgets answer, as the OpenAPI document describes it. Money is decimal text in USD."""

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, Field

from api.setting_fields import with_settings
from domain.settings.setting import Owner


@with_settings(Owner.GROUP)
class GroupAnswer(BaseModel):
    """A group as it is now. Use includes what is held for generations that run; null limits and rests are unlimited.

    `status`: green below 75 % of the fullest limit, yellow below 90 %, red from there; `percent` is that share.
    `period_start` and `period_end` are null for `total`, and in lists where nothing was used in the period yet.
    `full_in_days`: until each limit is full at the mean use of the last 14 days, rounded up; 0 when it is. Null where
    nothing is limited or was used, and where use starts anew before. It is told by reads alone.
    """

    id: str
    name: str
    description: str
    image_limit: int | None
    video_limit: int | None
    token_quotas: dict[str, int]
    period: str
    period_start: datetime | None
    period_end: datetime | None
    member_count: int
    usage: dict[str, int]
    remaining: dict[str, int | None]
    token_usage: dict[str, int]
    token_remaining: dict[str, int | None]
    status: Literal["green", "yellow", "red"]
    percent: int
    full_in_days: dict[str, int | None] | None = None
    position: str


class GroupDeletedAnswer(BaseModel):
    """The group is gone; its id is not used again."""

    id: str
    deleted: bool
    position: str


class MemberResult(BaseModel):
    """What the call has changed for one user."""

    user_id: str
    status: Literal["added", "already_member", "removed", "not_a_member"]


class MembersAnswer(BaseModel):
    """One result for each user, in the order in which they were named."""

    group_id: str
    results: list[MemberResult]
    position: str


class TrackAnswer(BaseModel):
    """`group_id` and the numbers are of the group that refused, else of that with least left; null without groups."""

    allowed: bool
    error: str | None
    reason: str | None = None
    group_id: str | None
    limit: int | None
    used: int | None
    remaining: int | None
    position: str


class MemberRow(BaseModel):
    """A user in a group."""

    user_id: str
    joined_at: datetime


class UseBucket(BaseModel):
    """What a group used from `start` to the next bucket; tokens by type. A refund counts at its own time."""

    start: date
    image: int
    video: int
    tokens: dict[str, int]


class GroupUsage(BaseModel):
    """The history of a group's use from `from` to `to` (not included), beside its limits as they are now.

    Days, weeks and months are those of the organisation's `time_zone`.
    """

    group_id: str
    name: str
    period: str
    image_limit: int | None
    video_limit: int | None
    token_quotas: dict[str, int]
    bucket: Literal["day", "week", "month"]
    from_: datetime = Field(alias="from")
    to: datetime
    time_zone: str
    items: list[UseBucket]


class BudgetAnswer(BaseModel):
    """A user's month. `ceiling`: the most that the user may set, null for none; `reserved`: held for what runs.

    `percent` of the budget is used or reserved, rounded down.
    """

    user_id: str
    monthly_budget: str
    ceiling: str | None
    used_monthly: str
    reserved: str
    remaining: str
    percent: int
    currency: str
    period_start: datetime
    period_end: datetime
    remaining_formatted: str
    used_formatted: str
    position: str


class BudgetChecked(BaseModel):
    """`reason`: ok or budget_exceeded; `enforced`: whether the organisation has budgets checked."""

    allowed: bool
    reason: str
    message: str | None
    expected_cost: str
    remaining: str
    currency: str
    enforced: bool
    position: str


class CostResult(BaseModel):
    """`duplicate`: a cost of this id is recorded already and counts once. `error` and `code` say what is wrong."""

    id: str | None
    status: Literal["ok", "duplicate", "error"]
    error: str | None
    code: str | None = None
    field: str | None = None


class CostResults(BaseModel):
    """One result for each entry, in their order."""

    results: list[CostResult]
    position: str | None


class CostRow(BaseModel):
    """An attempt, or the refund of one (`kind`), whose cost is below zero. Only a success was charged."""

    id: str
    kind: Literal["recorded", "generation", "refund"]
    user_id: str
    prompt: str | None
    size: str | None
    quality: str | None
    cost: str
    currency: str
    success: bool
    image_url: str | None
    generation_time_ms: int | None
    error_message: str | None
    created_at: datetime
    position: str


class BudgetAnalytics(BaseModel):
    """What was spent from `from` to `to`. Refunds are taken off; `average_cost` is per generation, 0.00 without any."""

    user_id: str
    period: Literal["week", "month", "year"]
    from_: datetime = Field(alias="from")
    to: datetime
    total_spent: str
    total_generations: int
    successful_generations: int
    average_cost: str
    cost_by_size: dict[str, str]
    cost_by_quality: dict[str, str]
    currency: str


class BudgetAlert(BaseModel):
    """`percentage` of the month's budget is used, rounded down."""

    type: Literal["warning", "critical"]
    message: str
    percentage: int


class BudgetAlerts(BaseModel):
    """Nothing below 75 %."""

    alerts: list[BudgetAlert]
    position: str


class BudgetHealth(BaseModel):
    """healthy without an issue, degraded with fewer than 3, unhealthy from 3."""

    status: Literal["healthy", "degraded", "unhealthy"]
    issues: list[str]
