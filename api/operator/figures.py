"""The figures that an operator looks at first, each with a status, a sentence and its page of the runbook; rebuilds.

A `runbook` is an anchor of docs/runbook.md and a code of `scrip doctor`. Statuses: `ok`; `look`: an operator
should look at it; `act`: something does not work.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import psycopg
import structlog
from pydantic import BaseModel, ConfigDict, Field

from api.http.caller import Call
from api.http.database import Row
from api.http.endpoint import endpoint
from api.http.fields import MOST_EXACT, Body
from api.http.policy import ADMIN, May
from api.http.problems import Problem, not_found
from api.http.services import Services
from api.operator.watch import Backlog, ConsumerWatch, backlog_of
from infra.disk import DiskWatch
from infra.kafka.topics import USAGE, topic_name

QUIET_S = 10.0  # the projector that runs it reports more often than this, unless it is gone


class Rebuild(BaseModel):
    """`state`: `requested` until a projector takes it up, `running`, `done`, `failed`. `done` of `total` events.

    `waiting`: nobody is at it; a projector takes it up as soon as one runs. Who asked for it, the counts and
    the error are for the platform's admins; others have `percent`.
    """

    id: int
    state: str
    by: str | None = None
    waiting: bool
    requested_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    percent: int
    done: int | None = None
    total: int | None = None
    events_per_second: int | None = None
    generation: int | None = None
    error: str | None = None


def shown_rebuild(row: Row) -> dict[str, Any]:
    """A rebuild as the platform's admins see it."""
    answer = {name: row[name] for name in Rebuild.model_fields if name in row}
    ended = row["ended_at"] or row["seen_at"]
    seconds = (ended - row["started_at"]).total_seconds() if ended and row["started_at"] else 0
    quiet = row["state"] == "running" and (row["now"] - row["seen_at"]).total_seconds() > QUIET_S
    return answer | {
        "waiting": row["state"] == "requested" or quiet,
        "percent": row["done"] * 100 // row["total"] if row["total"] else 0,
        "events_per_second": round(row["done"] / seconds) if seconds else None,
    }


def shown_to_others(row: Row) -> dict[str, Any]:
    """A rebuild without the figures that show how much all organisations do."""
    return shown_rebuild(row) | dict.fromkeys(("by", "done", "total", "events_per_second", "error"))


OK, LOOK, ACT = "ok", "look", "act"
LATE_S, VERY_LATE_S = 10, 60  # read models and alerts are usually seconds behind at most
OLD_HOLD_S = 86_400
OVERDUE_S = 60  # the sweeper looks every second
OLD_VERIFY_S = 7 * 86_400
USAGE_LATE = 10_000  # messages
KAFKA_S = 2.0  # for the first look at the broker
SHOWN = 20  # webhooks

# `org` null: of all organisations, for the platform's admin.
_HOLD = """
    select org, id, address, amount, "left", created_at, expires_at, generation,
        extract(epoch from scrip_now() - created_at)::bigint as age_seconds
    from read.reservations
    where status = 'held' and (%(org)s::text is null or org = %(org)s) order by created_at limit 1"""
_OVERDUE = """
    select count(*) as count, min(expires_at) as oldest,
        coalesce(extract(epoch from scrip_now() - min(expires_at)), 0)::bigint as age_seconds
    from read.reservations
    where status = 'held' and expires_at < scrip_now() and (%(org)s::text is null or org = %(org)s)"""
_QUARANTINE = """
    select count(*) as count, min(at) as oldest,
        coalesce(extract(epoch from clock_timestamp() - min(at)), 0)::bigint as age_seconds
    from quarantine where resolved_at is null and (%(org)s::text is null or org = %(org)s)"""
_WEBHOOKS = f"""
    select org, id, url, failing_since, disabled_reason from webhooks
    where (failing_since is not null or disabled_reason is not null) and (%(org)s::text is null or org = %(org)s)
    order by failing_since limit {SHOWN}"""
_NOTIFIER = """
    select coalesce(max(h.position - coalesce(n.position, 0)), 0) as events,
        coalesce(max(extract(epoch from clock_timestamp() - e.time)), 0)::bigint as seconds
    from log, generate_series(0, log.partitions - 1) p
    cross join lateral (select position from events where partition = p order by position desc limit 1) h
    left join notifier_positions n on n.partition = p and n.name = %(name)s
    left join lateral (
        -- With a limit, so that no plan reads the whole log for these few.
        select time from events where partition = p and position = coalesce(n.position, 0) + 1 limit 1
    ) e on true"""
_VERIFY = """
    select id, by, started_at, ended_at, holds,
        extract(epoch from clock_timestamp() - ended_at)::bigint as age_seconds
    from audits order by id desc limit 1"""
_REBUILD = "select *, clock_timestamp() as now from rebuilds order by id desc limit 1"
_LIVE = "select live as generation, since from read_generation"
_LOG = """
    select (select id::text from log) as id, pg_total_relation_size('events') as bytes,
        pg_database_size(current_database()) as database_bytes, clock_timestamp() as as_of"""


async def figures_of(services: Services, org: str | None) -> dict[str, Any]:
    """All of them; holds, quarantine and webhooks of one organisation, or of all. Raises psycopg.Error."""

    async def rows(query: str, **more: str) -> list[Row]:
        return await services.rows_of_all(query, {"org": org, **more})

    backlog = await backlog_of(services.rows_of_all)
    (log,) = await rows(_LOG)
    (notifier,) = await rows(_NOTIFIER, name="alerts")
    (overdue,) = await rows(_OVERDUE)
    (quarantine,) = await rows(_QUARANTINE)
    return {
        "as_of": log.pop("as_of"),
        "read_models": _read_models(backlog),
        "relay": _relay(backlog),
        "topic": _topic(backlog),
        "notifier": _notifier(notifier),
        "usage": await _usage(services),
        "consumers": _consumers(services.consumers),
        "oldest_hold": _oldest_hold(await rows(_HOLD)),
        "overdue_holds": _overdue(overdue),
        "quarantine": _quarantine(quarantine),
        "webhooks": _webhooks(await rows(_WEBHOOKS)),
        "last_verify": _verify(await rows(_VERIFY)),
        "disk": _disk(services.ledger.writer.disk),
        "last_rebuild": _rebuild(await rows(_REBUILD), await rows(_LIVE)),
        "log": _figure("log-size", OK, "", **log, events=sum(lag.position for lag in backlog.lags.values())),
    }


OF_THE_PLATFORM = ("read_models", "topic", "notifier", "usage", "consumers", "last_rebuild", "log")
_SAID = {
    OK: "In order.",
    LOOK: "Whoever runs the service is to look at it.",
    ACT: "It does not work at the moment: whoever runs the service is to act.",
}


def of_one_organisation(answer: dict[str, Any]) -> dict[str, Any]:
    """The figures for others than the platform's admins: of what is the deployment's only how it stands.

    Counts, sizes and names would tell how much the other organisations do, and who works there.
    """
    shown = dict(answer)
    for name in OF_THE_PLATFORM:
        figure = answer[name]
        shown[name] = _figure(figure["runbook"], figure["status"], _SAID[figure["status"]])
    verified = answer["last_verify"].get("verify")
    shown["last_verify"] = answer["last_verify"] | {
        "verify": verified and {name: verified[name] for name in ("ended_at", "holds")}
    }
    return shown


async def _usage(services: Services) -> dict[str, Any]:
    settings = services.settings
    if not settings.kafka:
        return _figure("usage-not-counted", OK, "This process knows no broker.", events=None)
    watch = services.consumers
    await watch.first_look(KAFKA_S)
    if not watch.broker:
        return _figure("kafka-away", ACT, "Kafka does not answer.", events=None)
    parts = [one for one in watch.consumers if one.topic == topic_name(settings, USAGE)]
    events, seconds = sum(one.records for one in parts), round(max((one.seconds for one in parts), default=0.0), 1)
    sentence = f"{_many(events, 'usage event')} to apply" + (f", the oldest for {seconds:.0f} s." if events else ".")
    if any(one in watch.stalled for one in parts):
        return _figure("usage-not-counted", ACT, f"The intake stands still: {sentence}", events=events, seconds=seconds)
    status = LOOK if events > USAGE_LATE or seconds > VERY_LATE_S else OK
    return _figure("usage-lag", status, sentence, events=events, seconds=seconds)


def _consumers(watch: ConsumerWatch) -> dict[str, Any]:
    """Every topic and partition that is read, what stands still first."""
    stalled = watch.stalled
    waiting = sorted((one for one in watch.consumers if one.records), key=lambda one: -one.still_s)
    facts = {"stalled": len(stalled), "items": [one._asdict() for one in waiting]}
    if stalled:
        more = f" {_many(len(stalled) - 1, 'further partition')} too." if len(stalled) > 1 else ""
        return _figure("consumer-stalled", ACT, max(stalled, key=lambda one: one.still_s).sentence + more, **facts)
    if not waiting:
        return _figure("consumer-stalled", OK, "Everything is read.", **facts)
    sentence = f"{_many(len(waiting), 'partition')} being read, the oldest record waits for"
    return _figure("consumer-stalled", OK, f"{sentence} {max(one.seconds for one in waiting):.0f} s.", **facts)


def _read_models(backlog: Backlog) -> dict[str, Any]:
    parts = [
        {
            "partition": number,
            "events": lag.events,
            "seconds": round(lag.seconds, 1),
            "stopped": backlog.stops.get(number),
        }
        for number, lag in sorted(backlog.lags.items())
    ]
    events = sum(lag.events for lag in backlog.lags.values())
    seconds = round(max((lag.seconds for lag in backlog.lags.values()), default=0.0), 1)
    if backlog.stops:
        sentence = f"Stopped in {_many(len(backlog.stops), 'partition')}."
        return _figure("read-models-stopped", ACT, sentence, events=events, seconds=seconds, partitions=parts)
    sentence = f"{_many(events, 'event')} behind, the oldest for {seconds:.0f} s." if events else "Up to date."
    return _figure("read-models-lag", _late(seconds), sentence, events=events, seconds=seconds, partitions=parts)


def _relay(backlog: Backlog) -> dict[str, Any]:
    stops = [dict(row) for row in backlog.relay]
    if not stops:
        return _figure("relay-stopped", OK, "No partition stands still.", items=stops)
    more = f" {_many(len(stops) - 1, 'further partition')} too." if len(stops) > 1 else ""
    return _figure("relay-stopped", ACT, backlog.relay_issues[0] + more, items=stops)


def _topic(backlog: Backlog) -> dict[str, Any]:
    faults = [dict(row) for row in backlog.topic]
    if not faults:
        return _figure("topic-faults", OK, "As the log has it, as far as it was read.", items=faults)
    return _figure("topic-faults", ACT, backlog.topic_issues[0], items=faults)


def _notifier(row: Row) -> dict[str, Any]:
    events, seconds = int(row["events"]), max(0, row["seconds"])
    sentence = f"{_many(events, 'event')} to look at for alerts." if events else "Up to date."
    return _figure("notifier-inactive", _late(seconds), sentence, events=events, seconds=seconds)


def _disk(disk: DiskWatch) -> dict[str, Any]:
    items = [{"folder": room.name, "free_bytes": room.free, "size_bytes": room.size} for room in disk.rooms]
    issues = disk.issues()
    if not issues:
        return _figure("disk-full", OK, "There is room." if items else "This process watches no disk.", items=items)
    return _figure("disk-full", ACT if disk.full else LOOK, " ".join(issues), items=items)


def _oldest_hold(rows: Sequence[Row]) -> dict[str, Any]:
    if not rows:
        return _figure("oldest-hold", OK, "Nothing is held.", hold=None)
    hold = rows[0]
    status = LOOK if hold["age_seconds"] > OLD_HOLD_S else OK
    return _figure("oldest-hold", status, f"Held for {_long(hold['age_seconds'])}.", hold=hold)


def _overdue(row: Row) -> dict[str, Any]:
    status = ACT if row["age_seconds"] > OVERDUE_S else OK
    sentence = f"{_many(row['count'], 'hold')} should have ended." if row["count"] else "None."
    return _figure("holds-overdue", status, sentence, **row)


def _quarantine(row: Row) -> dict[str, Any]:
    sentence = f"{_many(row['count'], 'usage event')} could not be applied." if row["count"] else "Empty."
    return _figure("quarantine", LOOK if row["count"] else OK, sentence, **row)


def _webhooks(rows: Sequence[Row]) -> dict[str, Any]:
    sentence = f"{_many(len(rows), 'webhook')} failing or switched off." if rows else "None is failing."
    return _figure("webhooks-disabled", LOOK if rows else OK, sentence, count=len(rows), items=list(rows))


def _verify(rows: Sequence[Row]) -> dict[str, Any]:
    if not rows:
        return _figure("verify-old", LOOK, "Nobody has verified yet.", verify=None)
    last = rows[0]
    if not last["holds"]:
        return _figure("verify-does-not-hold", ACT, "The last verify found a difference.", verify=last)
    old = last["age_seconds"] > OLD_VERIFY_S
    return _figure("verify-old", LOOK if old else OK, f"It held {_long(last['age_seconds'])} ago.", verify=last)


def _rebuild(rows: Sequence[Row], live: Sequence[Row]) -> dict[str, Any]:
    last = shown_rebuild(rows[0]) if rows else None
    facts = {"rebuild": last, "live": live[0] if live else None}
    if last is not None and last["state"] == "failed":
        return _figure("rebuild-failed", ACT, "The last rebuild failed; the former read models serve on.", **facts)
    if last is not None and last["waiting"] and last["state"] != "done":
        return _figure("rebuild-failed", LOOK, "A rebuild waits for a projector.", **facts)
    return _figure("rebuild-failed", OK, "A rebuild is running." if last and not last["ended_at"] else "", **facts)


def _figure(runbook: str, status: str, message: str, **facts: Any) -> dict[str, Any]:
    return {"runbook": runbook, "status": status, "message": message, **facts}


def _late(seconds: float) -> str:
    return ACT if seconds > VERY_LATE_S else LOOK if seconds > LATE_S else OK


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _long(seconds: int) -> str:
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            return _many(seconds // size, unit)
    return _many(max(0, seconds), "second")


log = structlog.get_logger()

_ACKNOWLEDGE = """
    update topic_faults set acknowledged_at = clock_timestamp(), acknowledged_by = %s
    where id = any(%s) and acknowledged_at is null returning id"""


class Figure(BaseModel):
    """`status` is `ok`, `look` or `act`; `runbook` an anchor of the runbook; and the figure's own facts."""

    model_config = ConfigDict(extra="allow")
    runbook: str
    status: str
    message: str


class OperationsAnswer(BaseModel):
    """Lag and log are the deployment's, without counts for an auditor.

    Holds, quarantine and webhooks are an auditor's organisation's, an admin's all.
    """

    as_of: str
    read_models: Figure
    relay: Figure
    topic: Figure
    notifier: Figure
    usage: Figure
    consumers: Figure
    oldest_hold: Figure
    overdue_holds: Figure
    quarantine: Figure
    webhooks: Figure
    disk: Figure
    last_verify: Figure
    last_rebuild: Figure
    log: Figure


class AcknowledgeBody(Body):
    """Faults of the ledger's topic that an operator has seen: the `id` of each in the figure `topic`."""

    ids: Annotated[list[Annotated[int, Field(ge=1, le=MOST_EXACT)]], Field(min_length=1, max_length=1_000)]


class Acknowledged(BaseModel):
    """Which of them were open until now."""

    acknowledged: list[int]


@endpoint("GET /api/v1/operations", May.READ_PLATFORM, OperationsAnswer)
async def read_operations(call: Call) -> dict[str, Any]:
    """Figures for operators, each with its status and its page of the runbook."""
    everywhere = call.principal.role is ADMIN
    try:
        answer: dict[str, Any] = await figures_of(call.services, None if everywhere else call.org)
    except psycopg.errors.UndefinedTable:
        raise Problem(503, "not_ready", "The read models do not exist yet: no projector has run.") from None
    return answer if everywhere else of_one_organisation(answer)


@endpoint("POST /api/v1/topic-faults/acknowledge", May.MANAGE_PLATFORM, Acknowledged, keyed=False)
async def acknowledge_topic_faults(call: Call, body: AcknowledgeBody) -> dict[str, Any]:
    """End the alarm about faults of the ledger's topic; what is found later raises another."""
    actor = call.principal.actor
    ids = body.ids
    async with call.services.database.writes.connection() as connection:
        cursor = await connection.execute(_ACKNOWLEDGE, (actor, ids))
        done = sorted(row[0] for row in await cursor.fetchall())
    log.info("topic faults acknowledged", actor=actor, ids=done)
    return {"acknowledged": done}


_ASK = """
    insert into rebuilds (by) values (%s) on conflict ((true)) where state in ('requested', 'running') do nothing
    returning *, clock_timestamp() as now"""


class RebuildBody(Body):
    """Nothing to say: all read models of all organisations are made."""


@endpoint("GET /api/v1/rebuilds/current", May.READ_PLATFORM, Rebuild)
async def read_rebuild(call: Call) -> dict[str, Any]:
    """How far the rebuild is; or the last one, where none runs."""
    rows = await call.services.rows_of_all(_REBUILD)
    if not rows:
        raise not_found("rebuild", "current")
    return shown_rebuild(rows[0]) if call.principal.role is ADMIN else shown_to_others(rows[0])


@endpoint("POST /api/v1/rebuilds", May.MANAGE_PLATFORM, Rebuild, status=202, keyed=False)
async def start_rebuild(call: Call, _body: RebuildBody) -> dict[str, Any]:
    """Have the read models made anew from the log, beside the live ones, and swapped in."""
    async with call.services.database.writes.connection() as connection:
        cursor = await connection.execute(_ASK, (call.principal.actor,))
        row = await cursor.fetchone()
        columns = [column.name for column in cursor.description or ()]
    if row is None:
        raise Problem(409, "in_progress", "A rebuild is running.", headers={"Retry-After": "10"})
    return shown_rebuild(dict(zip(columns, row, strict=True)))
