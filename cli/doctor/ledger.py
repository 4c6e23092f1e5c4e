"""What the database's tables show: lag, stops, old holds, quarantine, webhooks, prices, plans, audits, rebuilds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import dict_row

from api.operator.watch import Backlog, backlog_of
from cli.doctor.codes import Finding, Severity, look
from cli.doctor.postgres import as_auditor
from infra.relay.source import ACTIVE_RELAY
from infra.settings import Settings
from projections.versions import shape

LATE_S, OLD_HOLD_S, OVERDUE_S, OLD_VERIFY_DAYS = 60, 86_400, 60, 7
SHOWN = 5


class _Check(NamedTuple):
    """A query whose every row is something to tell, filled into `seen`."""

    code: str
    severity: Severity
    query: str
    seen: str


_CHECKS = (
    _Check(
        "read-models-missing",
        Severity.WRONG,
        "select from log where not exists (select from read_generation)",
        "No projector has made the read models.",
    ),
    _Check(
        "read-models-old",
        Severity.WRONG,
        "select live, shape from read_generation where shape <> %(shape)s",
        "Generation {live} is of the shape {shape}.",
    ),
    _Check(
        "no-prices",
        Severity.WRONG,
        "select from log where not exists (select from read.prices where jsonb_array_length(entries) > 0)",
        "No version of the price book has an entry.",
    ),
    _Check(
        "quarantine",
        Severity.LOOK,
        "select org, reason, count(*) as count, min(at) as oldest from quarantine where resolved_at is null"
        f" group by org, reason order by count(*) desc limit {SHOWN}",
        "{count} of {org} by the reason {reason}, since {oldest:%Y-%m-%d %H:%M} UTC.",
    ),
    _Check(
        "webhooks-disabled",
        Severity.LOOK,
        "select org, id, coalesce(disabled_reason, 'it fails since ' || to_char(failing_since, 'YYYY-MM-DD HH24:MI'))"
        " as why from webhooks where disabled_reason is not null or failing_since < now() - interval '1 hour'"
        f" order by org, id limit {SHOWN}",
        "Webhook {id} of {org}: {why}.",
    ),
    _Check(
        "limits-not-enforced",
        Severity.LOOK,
        "select o.org, count(*) as count from read.organisations o join read.groups g using (org)"
        " where not o.enforce ? 'groups' and g.limits <> '{}' group by o.org"
        f" order by o.org limit {SHOWN}",
        "{org} has {count} groups with limits, and `enforce` without `groups`.",
    ),
    _Check(
        "out-of-tokens-on-a-plan",
        Severity.LOOK,
        "select org, plan from read.organisations where plan <> 'starter' and"
        " ((tokens = '{}' and credits = 0) or paid_until < now())"
        f" order by org limit {SHOWN}",
        "{org} is on the plan {plan}, which grants it nothing.",
    ),
    _Check(
        "relay-inactive",
        Severity.WRONG,
        "select from log where not exists (select from leases where name = %(relay)s and until > clock_timestamp())",
        "No relay has renewed its lease in the last seconds.",
    ),
    _Check(
        "verify-does-not-hold",
        Severity.WRONG,
        "select ended_at, by from (select * from audits order by id desc limit 1) last where not holds",
        "The verify of {ended_at:%Y-%m-%d %H:%M} UTC, by {by}, found a difference.",
    ),
    _Check(
        "verify-old",
        Severity.LOOK,
        "select from log where log.created_at < now() - %(old)s::interval and not exists"
        " (select from audits where ended_at > now() - %(old)s::interval)",
        f"No verify in the last {OLD_VERIFY_DAYS} days.",
    ),
    _Check(
        "rebuild-failed",
        Severity.WRONG,
        "select ended_at, error from (select * from rebuilds order by id desc limit 1) last where state = 'failed'",
        "The rebuild that ended at {ended_at:%Y-%m-%d %H:%M} UTC failed: {error}",
    ),
)
_NOTIFIER = """
    select count(*) as partitions, max(extract(epoch from clock_timestamp() - e.time))::bigint as seconds
    from log, generate_series(0, log.partitions - 1) p
    left join notifier_positions n on n.partition = p and n.name = 'alerts'
    join events e on e.partition = p and e.position = coalesce(n.position, 0) + 1"""


def check_ledger(settings: Settings) -> Iterator[Finding]:
    """Findings from the tables, as scrip_auditor; none where the database cannot be reached: others tell of that."""
    try:
        with as_auditor(settings) as connection:
            connection.row_factory = dict_row
            for check in _CHECKS:
                yield from _run(connection, check)
            yield from _backlog(connection)
            yield from _notifier(connection)
    except psycopg.OperationalError:
        return


def _run(connection: psycopg.Connection[dict[str, Any]], check: _Check) -> Iterator[Finding]:
    given = {"shape": shape(), "relay": ACTIVE_RELAY, "old": f"{OLD_VERIFY_DAYS} days"}
    try:
        rows = connection.execute(check.query.encode(), given).fetchall()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
        return  # read models that are missing, or a schema of another version, are findings of their own
    for row in rows:
        yield Finding(check.code, check.seen.format(**row), check.severity)


def _backlog(connection: psycopg.Connection[dict[str, Any]]) -> Iterator[Finding]:
    async def rows(query: str) -> Sequence[Mapping[str, Any]]:
        return connection.execute(query.encode()).fetchall()

    try:
        backlog = asyncio.run(backlog_of(rows))
    except psycopg.errors.UndefinedTable:
        return
    yield from _lag(backlog)
    waiting = backlog.waiting
    if waiting["overdue_seconds"] > OVERDUE_S:
        yield Finding("holds-overdue", f"A hold should have ended {waiting['overdue_seconds']:,.0f} s ago.")
    if waiting["oldest_hold_seconds"] > OLD_HOLD_S:
        yield look("oldest-hold", f"The oldest hold is {waiting['oldest_hold_seconds'] / 3_600:,.0f} hours old.")
    for name, code in (("unpublished_alerts", "alerts-unpublished"), ("pending_deliveries", "deliveries-wait")):
        if waiting[name] > 100:
            yield look(code, f"{waiting[name]:,.0f} are waiting.")


def _lag(backlog: Backlog) -> Iterator[Finding]:
    for partition, reason in backlog.stops.items():
        yield Finding("read-models-stopped", f"Partition {partition}: {reason}")
    for issue in backlog.relay_issues:
        yield Finding("relay-stopped", issue)
    for issue in backlog.topic_issues:
        yield Finding("topic-faults", issue)
    late = [(lag.seconds, partition) for partition, lag in backlog.lags.items() if lag.seconds > LATE_S]
    if late:
        seconds, partition = max(late)
        yield Finding(
            "read-models-lag", f"Late in {len(late)} partitions, by {seconds:,.0f} s at most (partition {partition})."
        )


def _notifier(connection: psycopg.Connection[dict[str, Any]]) -> Iterator[Finding]:
    try:
        row = connection.execute(_NOTIFIER).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
        return
    if row is not None and row["partitions"] and row["seconds"] > LATE_S:
        yield Finding("notifier-inactive", f"It has not looked at events that are {row['seconds']:,} s old.")
