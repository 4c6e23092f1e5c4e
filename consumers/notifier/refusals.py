"""Refused generations on the topic `scrip.decisions`, each position of the log once."""

from datetime import datetime
from typing import Any, NamedTuple

from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

from consumers.notifier.touched import advance, ahead
from infra.channels import Outgoing, Outlet
from infra.decisions import DECISIONS, GENERATION, Decision
from infra.position import format_position

NAME = "decisions"

_REFUSED = """
    select r.org, r.position, r.at, r.user_id, r.operation, r.provider, r.model, r.feature, r.reason, r.deficit,
        r.generation_id, e.actor
    from unnest(%b::smallint[], %b::bigint[], %b::bigint[]) as w (partition, past, upto)
    cross join lateral (
        select org, position, actor from events where partition = w.partition
            and position > w.past and position <= w.upto and type = 'generation-refused.v1'
    ) e
    join read.refusals r on r.org = e.org and r.position = e.position
    order by r.org, r.position"""


class Refusal(NamedTuple):
    """A row of the read model `refusals`, and who asked."""

    org: str
    position: int
    at: datetime
    user_id: str
    operation: str
    provider: str | None
    model: str | None
    feature: str | None
    reason: str
    deficit: int
    generation_id: str
    actor: str


async def publish_refusals(pool: "AsyncConnectionPool[Any]", outlet: Outlet) -> bool:
    """Publish the refusals of a stretch of the log, then note how far; whether there may be more already.

    Killed between the two, the next call publishes them again under the same `ce_id`.
    Raises psycopg.Error, KafkaError, OSError, TimeoutError.
    """
    async with pool.connection() as connection:
        parts = await ahead(connection, NAME)
        if not parts:
            return False
        columns = ([part.partition for part in parts], [part.past for part in parts], [part.upto for part in parts])
        cursor = connection.cursor(row_factory=class_row(Refusal))
        found = await (await cursor.execute(_REFUSED, columns)).fetchall()
    if found:
        await outlet.publish([outgoing(refusal) for refusal in found])
    async with pool.connection() as connection:
        await advance(connection, NAME, parts)
    return True


def outgoing(refusal: Refusal) -> Outgoing:
    """The record of a refused generation; its `ce_id` is organisation and position."""
    position = format_position(refusal.position)
    decision = Decision(
        org=refusal.org,
        at=refusal.at,
        user_id=refusal.user_id,
        operation=refusal.operation,
        reason=refusal.reason,
        deficit=refusal.deficit,
        actor=refusal.actor,
        provider=refusal.provider,
        model=refusal.model,
        feature=refusal.feature,
        generation_id=refusal.generation_id,
        position=position,
    )
    return DECISIONS.record(decision, GENERATION, f"{refusal.org}/{position}", refusal.at)
