"""The AsyncAPI 3 document: what is on the topics, generated from the models and events that the code uses."""

from typing import Any

import msgspec
from pydantic.json_schema import models_json_schema

from consumers.intake.quarantine_topic import TYPE, QuarantineRecord
from consumers.notifier.notifications import Notification
from consumers.usage import USAGE_TYPES
from domain.registry import SCRIP
from infra.alert_rules import TYPES
from infra.decisions import CHECK, DEDUCTION, GENERATION, Decision
from infra.topics import DECISIONS, LEDGER, NOTIFICATIONS, QUARANTINE, USAGE

Json = dict[str, Any]

SCHEMAS = "#/components/schemas/"
REPORTED = "usage."  # before the names of what workers send: events have parts of the same names
_TEXT: Json = {"type": "string"}
_CLOUD_EVENT: Json = {
    "ce_specversion": {"const": "1.0"},
    "ce_id": _TEXT,
    "ce_source": _TEXT,
    "ce_type": _TEXT,
    "ce_scriporg": {"type": "string", "description": "the organisation"},
}
_USAGE_HEADERS: Json = {
    **_CLOUD_EVENT,
    "scripauth": {
        "type": "string",
        "description": "the worker's token or API key: always checked where there is one, and needed unless the"
        " deployment trusts the broker's ACLs",
    },
}
_LEDGER_HEADERS: Json = {
    **_CLOUD_EVENT,
    "ce_subject": {"type": "string", "description": "the stream"},
    "ce_time": {"type": "string", "format": "date-time"},
    "ce_position": {"type": "string", "pattern": "^[0-9]{16}$"},
    "ce_streamversion": {"type": "string", "pattern": "^[0-9]+$"},
    "ce_schemaversion": _TEXT,
    "ce_hash": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "ce_actor": _TEXT,
    "ce_tag": _TEXT,
}


def asyncapi_document(topic_prefix: str = "") -> Json:
    """The document for `GET /api/asyncapi.json`. `topic_prefix` as in the settings."""
    usage = {
        type_: _message(type_, _USAGE_HEADERS, _ref(REPORTED + model.__name__), model.__doc__)
        for type_, model in USAGE_TYPES.items()
    }
    ledger = {
        type_: _message(type_, _LEDGER_HEADERS, _stored(event), event.__doc__) for type_, event in SCRIP.events.items()
    }
    quarantine = {TYPE: _message(TYPE, _CLOUD_EVENT, _ref(QuarantineRecord.__name__), QuarantineRecord.__doc__)}
    notifications = {
        type_: _message(type_, _CLOUD_EVENT, _ref(Notification.__name__), Notification.__doc__) for type_ in TYPES
    }
    decisions = {
        type_: _message(type_, _CLOUD_EVENT, _ref(Decision.__name__), Decision.__doc__)
        for type_ in (GENERATION, CHECK, DEDUCTION)
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Scrip",
            "version": "1",
            "description": "CloudEvents 1.0 on Apache Kafka. Read with isolation.level=read_committed.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "usage": _channel(topic_prefix + USAGE, usage, "What workers report, in structured or binary mode."),
            "ledger": _channel(
                topic_prefix + LEDGER, ledger, "The immutable log, in binary mode; key: organisation/stream."
            ),
            "notifications": _channel(
                topic_prefix + NOTIFICATIONS, notifications, "Alerts, at least once: `ce_id` tells a repeat."
            ),
            "decisions": _channel(
                topic_prefix + DECISIONS,
                decisions,
                "Refused generations; refused checks and deductions of plan tokens (best effort).",
            ),
            "quarantine": _channel(topic_prefix + QUARANTINE, quarantine, "Usage that could not be applied, and why."),
        },
        "operations": {
            "receiveUsage": {"action": "receive", "channel": {"$ref": "#/channels/usage"}},
            "publishLedger": {"action": "send", "channel": {"$ref": "#/channels/ledger"}},
            "publishNotifications": {"action": "send", "channel": {"$ref": "#/channels/notifications"}},
            "publishDecisions": {"action": "send", "channel": {"$ref": "#/channels/decisions"}},
            "publishQuarantine": {"action": "send", "channel": {"$ref": "#/channels/quarantine"}},
        },
        "components": {"schemas": _schemas()},
    }


def _channel(address: str, messages: Json, description: str) -> Json:
    return {"address": address, "description": description, "messages": messages}


def _message(name: str, headers: Json, payload: Json, description: str | None) -> Json:
    return {
        "name": name,
        "contentType": "application/json",
        "description": (description or "").strip(),
        "headers": {"type": "object", "properties": {**headers, "ce_type": {"const": name}}},
        "payload": payload,
    }


def _stored(event: type) -> Json:
    """The stored bytes of an event: who, why, what."""
    return {
        "type": "object",
        "required": ["actor", "cause", "data"],
        "properties": {"actor": _TEXT, "cause": _TEXT, "data": _ref(event.__name__)},
    }


def _ref(name: str) -> Json:
    return {"$ref": SCHEMAS + name}


def _schemas() -> Json:
    _, usage = models_json_schema(
        [(model, "validation") for model in USAGE_TYPES.values()], ref_template=SCHEMAS + REPORTED + "{model}"
    )
    structs = [*SCRIP.events.values(), QuarantineRecord, Notification, Decision]
    _, stored = msgspec.json.schema_components(structs, ref_template=SCHEMAS + "{name}")
    schemas: Json = {**{REPORTED + name: schema for name, schema in usage["$defs"].items()}, **stored}
    return schemas
