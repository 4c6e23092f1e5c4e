"""The examples of storage, groups, budgets, and of the limited use that they share."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from domain.budgets.events import BudgetSet, CostRecorded
from domain.groups.events import (
    GroupCreated,
    GroupDeleted,
    GroupEdited,
    GroupJoined,
    GroupLeft,
    MembersAdded,
    MembersRemoved,
)
from domain.periods import Every
from domain.quotas.counted import CountingCompleted, CountingStarted
from domain.quotas.events import (
    PeriodEnded,
    PeriodStarted,
    UseCounted,
    UseExpired,
    UseExtended,
    UseGivenBack,
    UseHeld,
    UseReleased,
    UseSettled,
)
from domain.settings.setting import SettingsChanged
from domain.storage.events import ContentDeleted, ContentStored, StorageLimitSet

MARCH = datetime(2026, 2, 28, 11, tzinfo=UTC)  # in Auckland
APRIL = datetime(2026, 3, 31, 11, tzinfo=UTC)
ENDS = datetime(2026, 3, 1, 12, 15, 0, 250000, tzinfo=UTC)

LIMITS: dict[str, Any] = {
    "period-started.v1": PeriodStarted(key="2026-03", start=MARCH, end=APRIL),
    "period-ended.v1": PeriodEnded(key="2026-03", used={"image": 7, "tokens.forecast": 12}, at=ENDS, then=".1"),
    "use-held.v1": UseHeld(generation_id="job-7", amounts={"image": 2, "video": 1}, expires_at=ENDS),
    "use-extended.v1": UseExtended(generation_id="job-7", expires_at=APRIL, grown={"usd": 40_000}),
    "use-settled.v1": UseSettled(
        generation_id="job-7", used={"usd": 80_000}, returned={"usd": 40_000}, final=False, period="2026-03"
    ),
    "use-released.v1": UseReleased(generation_id="job-7", amounts={"bytes": 5_242_880}),
    "use-expired.v1": UseExpired(generation_id="job-7", amounts={"bytes": 10_485_760}),
    "use-counted.v1": UseCounted(amounts={"tokens.forecast": 4}, user="u_42", ref="0190a1b5"),
    "use-given-back.v1": UseGivenBack(amounts={"image": 1}, period="2026-03.1", ref="job-7"),
    "content-stored.v1": ContentStored(
        content_id="pic-9", bytes=4_812_345, generation_id="job-7", sealed="k1.c2VhbGVk"
    ),
    "content-deleted.v1": ContentDeleted(content_id="pic-9", bytes=4_812_345),
    "storage-limit-set.v1": StorageLimitSet(limit=209_715_200),
    "group-created.v1": GroupCreated(
        group_id="g1", name="Team", description="All of us", limits={"image": 100, "video": 0}, every=Every.WEEK
    ),
    "counting-started.v1": CountingStarted(),
    "counting-completed.v1": CountingCompleted(),
    "settings-changed.v1": SettingsChanged(settings={"running_limit": 2}),
    "group-edited.v1": GroupEdited(
        group_id="g1", name="Team", description="", limits={"tokens.forecast": 50}, every=Every.TOTAL
    ),
    "group-deleted.v1": GroupDeleted(group_id="g1"),
    "members-added.v1": MembersAdded(group_id="g1", users=("u_42", "u_43")),
    "members-removed.v1": MembersRemoved(group_id="g1", users=("u_43",)),
    "group-joined.v1": GroupJoined(group_id="g1"),
    "group-left.v1": GroupLeft(group_id="g1"),
    "budget-set.v1": BudgetSet(monthly=25_000_000, ceiling=1_000_000_000),
    "cost-recorded.v1": CostRecorded(
        cost_id="c-1",
        usd=40_000,
        success=True,
        size="1024x1024",
        quality="standard",
        generation_time_ms=4_200,
        sealed="k1.c2VhbGVk",
    ),
}
LIMITS |= {
    "group-created.v1.2": replace(LIMITS["group-created.v1"], settings={"running_limit": 5}),
    "group-edited.v1.2": replace(LIMITS["group-edited.v1"], settings={"running_limit": 0}),
}
