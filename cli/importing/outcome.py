"""What became of usage events: asked of the log and of the quarantine, by their ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from psycopg import AsyncConnection

from infra.quarantine import CALLER, quarantine_id

# `limit 1` keeps the planner at one index look-up for each key, also while new tables have no statistics yet.
APPLIED = """
    select c.key, (convert_from(e.data, 'UTF8')::jsonb #>> '{data,amount}')::bigint, c.fingerprint
    from unnest(%b::text[]) as wanted (key)
    cross join lateral (
        select * from commands where org = %b and caller = %b and key = wanted.key limit 1
    ) c
    left join lateral (
        select data from events where c.events > 0 and partition = c.partition and position = c.position limit 1
    ) e on true"""

REASONS = """
    select q.reason, count(*), min(q.detail) from quarantine q
    where q.id = any(%b::text[]) and q.resolved_at is null group by q.reason"""


@dataclass(slots=True)
class Tally:
    """Counts of an import. `rows` = `free` (cost nothing) + `repeated` + `already` + `applied` + `refused`."""

    rows: int = 0
    free: int = 0
    repeated: int = 0  # the same identity and content again in the same file
    sent: int = 0
    applied: int = 0
    already: int = 0
    refused: int = 0
    credits: int = 0  # charged by this import
    already_credits: int = 0  # charged for the same rows by earlier ones
    reasons: Counter[str] = field(default_factory=Counter)
    details: dict[str, str] = field(default_factory=dict)  # one example for each reason

    @property
    def decided(self) -> int:
        """Rows about which nothing is left to wait for."""
        return self.free + self.repeated + self.already + self.applied + self.refused

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "rows": self.rows,
            "sent": self.sent,
            "applied": self.applied,
            "already_applied": self.already,
            "free": self.free,
            "repeated_in_file": self.repeated,
            "refused": self.refused,
            "reasons": dict(self.reasons),
            "credits_debited": self.credits,
            "credits_debited_before": self.already_credits,
        }


class Charged(NamedTuple):
    """What an applied usage event cost in credits, and the fingerprint of its content."""

    credits: int
    fingerprint: bytes


async def applied(connection: AsyncConnection[Any], org: str, source: str, ids: Sequence[str]) -> dict[str, Charged]:
    """Of these usage events those that were applied."""
    rows = await connection.execute(APPLIED, (list(ids), org, CALLER + source))
    return {key: Charged(int(amount or 0), bytes(print_ or b"")) for key, amount, print_ in await rows.fetchall()}


async def refused(
    connection: AsyncConnection[Any], org: str, source: str, ids: Sequence[str]
) -> list[tuple[str, int, str]]:
    """Why events wait in quarantine: reason, how many, and one of the sentences."""
    hashes = [quarantine_id(org, source, event_id) for event_id in ids]
    rows = await connection.execute(REASONS, (hashes,))
    return [(reason, int(count), detail) for reason, count, detail in await rows.fetchall()]
