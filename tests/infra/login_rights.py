"""What each login may do with each table: the one list that tests compare PostgreSQL's answers with."""

import re
from collections.abc import Mapping

WRITER, RELAY, PROJECTOR, READER = "scrip_writer", "scrip_relay", "scrip_projector", "scrip_reader"
AUDITOR, ANALYST = "scrip_auditor", "scrip_analyst"
KINDS = ("select", "insert", "update", "delete")

_ALL = "select insert update delete"
_QUARANTINE = "select(id org source event_id reason detail attempts at tried_at resolved_at)"
_WEBHOOKS = (
    "select(id org url types description enabled disabled_reason failing_since created_by created_at updated_at)"
)
_LEASE = "select update(epoch session session_start since until)"
_LOG = dict.fromkeys((WRITER, RELAY, PROJECTOR, READER, AUDITOR), "select")

# Table -> login -> what it may do; `update(a b)`: with these columns alone. What is not here is refused.
RIGHTS: Mapping[str, Mapping[str, str]] = {
    "log": _LOG,
    "events": _LOG | {WRITER: "select insert"},
    "commands": {WRITER: "select insert", READER: "select", AUDITOR: "select"},
    "partition_locks": {WRITER: "select update(held)"},
    "snapshots": {WRITER: "select insert update"},
    "subject_keys": {WRITER: "select insert delete"},
    "api_keys": {WRITER: "select insert update"},
    "quarantine": {WRITER: _ALL, READER: _QUARANTINE, AUDITOR: _QUARANTINE},
    "alerts": {WRITER: "select insert update(published_at)", READER: "select", AUDITOR: "select"},
    "webhooks": {WRITER: _ALL, READER: _WEBHOOKS, AUDITOR: _WEBHOOKS},
    "deliveries": {WRITER: _ALL, READER: "select", AUDITOR: "select"},
    "refused_checks": {WRITER: "select insert delete", READER: "select", AUDITOR: "select"},
    "notifier_positions": {WRITER: "select insert update", AUDITOR: "select"},
    "notifier_times": {WRITER: "select insert update"},
    "request_rates": {WRITER: _ALL},
    "stream_tickets": {WRITER: "select insert delete"},
    "console_sessions": {WRITER: _ALL},
    "audits": {WRITER: "select insert delete", AUDITOR: "select"},
    "rebuilds": {
        WRITER: "select insert",
        PROJECTOR: "select update(state started_at seen_at ended_at done total generation error)",
        AUDITOR: "select",
    },
    "topic_faults": {
        WRITER: "select update(acknowledged_at acknowledged_by)",
        PROJECTOR: "select insert update(first_offset last_offset records last_at)",
        AUDITOR: "select",
    },
    "read_generation": {WRITER: "select", PROJECTOR: "select insert update", READER: "select", AUDITOR: "select"},
    "read_stops": {WRITER: "select", PROJECTOR: _ALL, READER: "select", AUDITOR: "select"},
    "relay_stops": {RELAY: _ALL, AUDITOR: "select"},
    "leases": {RELAY: _LEASE, WRITER: _LEASE, AUDITOR: "select"},
    "schema_migrations": {},
}
READ_MODELS: Mapping[str, str] = {WRITER: "select", PROJECTOR: _ALL, READER: "select", AUDITOR: "select"}


def rights_of(rights: Mapping[str, str], login: str) -> str:
    """What a login may do; people's own reads what the auditor reads."""
    return rights.get(AUDITOR if login == ANALYST else login, "")


def columns_allowed(rights: str, kind: str) -> set[str] | None:
    """The columns that `rights` name for one of `KINDS`; none for all of them, an empty set where it is not allowed."""
    for word, columns in re.findall(r"(\w+)(?:\(([^)]*)\))?", rights):
        if word == kind:
            return set(columns.split()) or None
    return set()
