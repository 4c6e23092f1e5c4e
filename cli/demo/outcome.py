"""What came out of a demo, against what had to come out."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from cli.demo.plan import CHARGED, Plan, account_of
from cli.demo.platform import GRANTED, Platform
from cli.demo.tally import Tally
from cli.demo.workers import Workers, expected_expiries, expected_quarantine
from cli.importing.outcome import refused
from infra.quarantine import undecided

DEADLINE_S = 60.0
POLL_S = 0.1

ENDS = """
    select e.type, count(*) from events e
    where e.org = any(%b::text[]) and e.stream = any(%b::text[]) group by e.type"""


@dataclass(slots=True)
class Result:
    """One row per user (organisation, user, granted, debited, reserved, available), event counts, differences."""

    balances: list[tuple[str, str, int, int, int, int]] = field(default_factory=list)
    events: dict[str, int] = field(default_factory=dict)
    quarantined: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    @property
    def as_expected(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


async def await_decisions(
    connection: AsyncConnection[Any], platform: Platform, plan: Plan, workers: Workers, since: datetime
) -> None:
    """Wait until every message is decided and no credit is held any more; after a minute go on: the check will tell."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        left = [
            await undecided(connection, org, workers.source, ids, since) for org, ids in workers.sent.items() if ids
        ]
        if not any(left) and not await _held(platform, plan):
            return
        await asyncio.sleep(POLL_S)


async def _held(platform: Platform, plan: Plan) -> int:
    total = 0
    for org, users in plan.users.items():
        for user in users:
            total += int((await platform.balance(org, account_of(user)))["reserved"])
    return total


async def compare(
    connection: AsyncConnection[Any], platform: Platform, plan: Plan, workers: Workers, tally: Tally
) -> Result:
    """The balances, counts and quarantine of the plan's accounts, and where they differ from what must be."""
    result = Result()
    owed: dict[tuple[str, str], int] = defaultdict(int)
    for generation in plan.generations:
        if generation.fate in CHARGED:
            owed[generation.org, generation.account] += tally.prices[generation.number]
    for org, users in plan.users.items():
        for user in users:
            account = account_of(user)
            found = await platform.balance(org, account)
            row = (found["granted"], found["debited"], found["reserved"], found["available"])
            must = (GRANTED, owed[org, account], 0, GRANTED - owed[org, account])
            result.balances.append((org, user, *row))
            if row != must:
                result.differences.append(f"{org} {account}: {_named(row)}, but must be {_named(must)}")
    streams = [f"account/{account_of(user)}" for users in plan.users.values() for user in users]
    rows = await connection.execute(ENDS, (list(plan.users), streams))
    result.events = {type_: int(count) for type_, count in await rows.fetchall()}
    for org, ids in workers.sent.items():
        for reason, count, _ in await refused(connection, org, workers.source, ids):
            result.quarantined[reason] = result.quarantined.get(reason, 0) + count
    result.differences += count_differences(plan, result)
    return result


def count_differences(plan: Plan, result: Result) -> list[str]:
    """Where the events and the quarantine of a plan are not as many as they must be."""
    charged = sum(generation.fate in CHARGED for generation in plan.generations)
    must = {
        "credits-reserved.v1": len(plan.generations),
        "reservation-captured.v1": charged,
        "reservation-released.v1": len(plan.generations) - charged - expected_expiries(plan),
        "reservation-expired.v1": expected_expiries(plan),
    }
    found = {type_: result.events.get(type_, 0) for type_ in must}
    differences = [
        f"{type_}: {found[type_]}, but must be {count}" for type_, count in must.items() if found[type_] != count
    ]
    late = sum(result.quarantined.values())
    if late != expected_quarantine(plan):
        differences.append(f"in quarantine: {late}, but must be {expected_quarantine(plan)}")
    return differences


def _named(row: tuple[int, int, int, int]) -> str:
    names = ("granted", "debited", "reserved", "available")
    return ", ".join(f"{name} {value}" for name, value in zip(names, row, strict=True))
