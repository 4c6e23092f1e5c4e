"""What came out of a demo, against what had to come out."""

from __future__ import annotations

import time
from asyncio import gather, sleep
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from cli.api_client import in_path
from cli.demo.caller import Caller, answered
from cli.demo.figures import Figures, GroupFigures, Level, Needs, OrganisationFigures, UserFigures, difference
from cli.demo.plan import BUSY, EXPIRING, PLANS, Fate, Plan
from cli.demo.setup import organisation, there_are
from cli.demo.workers import Workers
from cli.importing.send import refused
from domain.money import micros
from infra.quarantine import undecided

DEADLINE_S = 60.0
POLL_S = 0.1

_EVENTS = """
    select e.type, count(*) from events e
    where e.org = any(%b::text[]) and e.stream = any(%b::text[]) group by e.type"""


@dataclass(slots=True)
class Result:
    """Figures as they were found, `organisations` as the API answers them; event counts, and what differs."""

    users: list[UserFigures] = field(default_factory=list)
    groups: list[GroupFigures] = field(default_factory=list)
    organisations: list[dict[str, Any]] = field(default_factory=list)
    events: dict[str, int] = field(default_factory=dict)
    quarantined: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    @property
    def as_expected(self) -> bool:
        return not self.differences


async def await_decisions(connection: AsyncConnection[Any], plan: Plan, workers: Workers, since: datetime) -> None:
    """Wait until every message is decided and every hold has ended; after a minute go on: the check will tell."""
    deadline = time.monotonic() + DEADLINE_S
    expiring = [f"generation/{each.id}" for each in plan.generations if each.fate in EXPIRING]
    while time.monotonic() < deadline:
        left = [
            await undecided(connection, org, workers.source, ids, since) for org, ids in workers.sent.items() if ids
        ]
        expired = (await _events(connection, expiring)).get("generation-expired.v1", 0)
        if not any(left) and expired == len(expiring):
            return
        await sleep(POLL_S)


async def compare(
    connection: AsyncConnection[Any],
    caller: Caller,
    plan: Plan,
    needs: Needs,
    workers: Workers,
    plan_tokens: dict[str, dict[str, int]],
) -> Result:
    """All figures, and where they differ from what must be. `plan_tokens` are those of before."""
    result = Result()
    must: list[Figures] = [*needs.users(), *needs.groups()]
    result.users = list(await gather(*(read_user(caller, each.org, each.user) for each in needs.users())))
    # A balance does not say what was granted; the demo knows it, because only the demo grants.
    result.users = [_of(found, wanted) for found, wanted in zip(result.users, needs.users(), strict=True)]
    result.groups = [await read_group(caller, each.org, each.group) for each in needs.groups()]
    found: list[Figures] = [*result.users, *result.groups]
    for org, plan_ in PLANS.items():
        told = await organisation(caller, org)
        result.organisations.append(told)
        if org in BUSY:
            used = needs.plan_tokens(org, charged_only=True)
            rest = {type_: amount - used.get(type_, 0) for type_, amount in plan_tokens[org].items()}
            must.append(OrganisationFigures(org=org, plan=plan_, tokens=rest))
            found.append(OrganisationFigures(org=org, plan=told["plan"], tokens=there_are(told)))
    result.differences = [said for one, other in zip(found, must, strict=True) if (said := difference(one, other))]
    result.events = await _events(connection, [f"generation/{each.id}" for each in plan.generations])
    for org, ids in workers.sent.items():
        for reason, count, _ in await refused(connection, org, workers.source, ids):
            result.quarantined[reason] = result.quarantined.get(reason, 0) + count
    result.differences += count_differences(plan, result)
    return result


def count_differences(plan: Plan, result: Result) -> list[str]:
    """Where the events of a plan are not as many as they must be, or anything is in quarantine."""
    fates = Counter(each.fate for each in plan.generations)
    expiring = sum(fates[fate] for fate in EXPIRING)
    must = {
        "generation-held.v1": len(plan.generations),
        "generation-started.v1": len(plan.generations) - expiring,
        "generation-completed.v1": fates[Fate.SUCCEEDS] + fates[Fate.SUCCEEDS_TWICE],
        "generation-failed.v1": fates[Fate.FAILS],
        "generation-expired.v1": expiring,
        "generation-settled-late.v1": fates[Fate.TOO_LATE],
    }
    found = {type_: result.events.get(type_, 0) for type_ in must}
    differences = [
        f"{type_}: {found[type_]}, but must be {count}" for type_, count in must.items() if found[type_] != count
    ]
    if result.quarantined:
        differences.append(f"in quarantine: {result.quarantined}, but must be nothing")
    return differences


async def read_user(caller: Caller, org: str, user: str) -> UserFigures:
    """What a user has now, as they see it themselves; accounts' limits are what is left and held."""
    me = answered("/api/auth/me", await caller.user("GET", "/api/auth/me", org, user))
    credits_, tokens = (
        Level(0, me[unit]["available"] + me[unit]["reserved"], me[unit]["reserved"]) for unit in ("credits", "tokens")
    )
    storage, budget = me["storage"], me["budget"]
    return UserFigures(
        org=org,
        user=user,
        credits=credits_,
        tokens=tokens,
        storage=Level(storage["used"], storage["limit"], storage["held"]),
        budget=Level(micros(budget["used_monthly"]), micros(budget["monthly_budget"]), micros(budget["reserved"])),
    )


async def read_group(caller: Caller, org: str, group: str) -> GroupFigures:
    """A group as it is now."""
    told = await caller.admin("GET", f"/api/groups/{in_path(group)}", org)
    image, video = (
        Level(
            told["usage"][what],
            told[f"{what}_limit"],
            told[f"{what}_limit"] - told["usage"][what] - told["remaining"][what],
        )
        for what in ("image", "video")
    )
    return GroupFigures(org=org, group=group, members=told["member_count"], image=image, video=video)


def _of(found: UserFigures, wanted: UserFigures) -> UserFigures:
    """The figures with what was charged, which is what is missing of what was granted."""
    charged = {
        unit: Level(granted.limit - level.limit, granted.limit, level.held)
        for unit, level, granted in (
            ("credits", found.credits, wanted.credits),
            ("tokens", found.tokens, wanted.tokens),
        )
    }
    return UserFigures(org=found.org, user=found.user, storage=found.storage, budget=found.budget, **charged)


async def _events(connection: AsyncConnection[Any], streams: list[str]) -> dict[str, int]:
    rows = await connection.execute(_EVENTS, (list(BUSY), streams))
    return {type_: int(count) for type_, count in await rows.fetchall()}
