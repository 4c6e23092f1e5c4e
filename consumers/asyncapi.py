"""The AsyncAPI 3 document: topics and payloads are FastStream's, from the channels that the code uses."""

import json
import sys
from typing import Any

from faststream.kafka import KafkaBroker
from faststream.specification import AsyncAPI

from consumers.intake.record import QUARANTINE
from consumers.notifier.publishing import NOTIFICATIONS
from consumers.projector import LEDGER
from consumers.usage import USAGE
from infra.decisions import DECISIONS
from infra.kafka.channels import Channel

Json = dict[str, Any]

CHANNELS = (USAGE, LEDGER, NOTIFICATIONS, DECISIONS, QUARANTINE)
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
_HEADERS = {USAGE.title: _USAGE_HEADERS, LEDGER.title: _LEDGER_HEADERS}


def asyncapi_document(topic_prefix: str = "") -> Json:
    """The document for `GET /api/asyncapi.json`. `topic_prefix` as in the settings."""
    channels: Json = {}
    operations: Json = {}
    schemas: Json = {}
    for channel in CHANNELS:
        declared, found = _declared(channel, topic_prefix)
        channels[channel.title] = {
            "address": declared["address"],
            "description": declared["description"],
            "messages": {type_: _message(channel, type_, data) for type_, data in channel.messages.items()},
        }
        read = channel is USAGE
        operations[("receive" if read else "publish") + channel.title.title()] = {
            "action": "receive" if read else "send",
            "channel": {"$ref": f"#/channels/{channel.title}"},
        }
        schemas |= found
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Scrip",
            "version": "1",
            "description": "CloudEvents 1.0 on Apache Kafka. Read with isolation.level=read_committed.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"schemas": schemas},
    }


def _declared(channel: Channel, topic_prefix: str) -> tuple[Json, Json]:
    """What FastStream says of a channel, and the schemas of what is on it.

    In one document for all, of two classes with the same name one would silently take the other's place.
    """
    broker = KafkaBroker()
    channel.publisher(broker, topic_prefix)
    document = AsyncAPI(broker).to_specification().to_jsonable()
    (declared,) = document["channels"].values()
    schemas = {
        _prefix(channel) + name: _described(channel, name) | schema
        for name, schema in document["components"]["schemas"].items()
    }
    schemas.pop(f"{_prefix(channel)}{channel.title}:Message:Payload", None)  # any of its messages: we have one for each
    named: Json = json.loads(json.dumps(schemas).replace(f'"{SCHEMAS}', f'"{SCHEMAS}{_prefix(channel)}'))
    return declared, named


def _described(channel: Channel, name: str) -> Json:
    """What pydantic leaves out: what a tuple is for."""
    classes = [getattr(sys.modules[data.__module__], name, None) for data in channel.messages.values()]
    said = next((found.__doc__ for found in classes if found), None)
    return {"description": said} if said else {}


def _message(channel: Channel, type_: str, data: type) -> Json:
    """What FastStream leaves out: a message for each CloudEvents type, with its headers."""
    payload: Json = {"$ref": f"{SCHEMAS}{_prefix(channel)}{data.__name__}"}
    if channel is LEDGER:  # the stored bytes of an event: who, why, what
        properties = {"actor": _TEXT, "cause": _TEXT, "data": payload}
        payload = {"type": "object", "required": list(properties), "properties": properties}
    return {
        "name": type_,
        "contentType": "application/json",
        "description": (data.__doc__ or "").strip(),
        "headers": {
            "type": "object",
            "properties": {**_HEADERS.get(channel.title, _CLOUD_EVENT), "ce_type": {"const": type_}},
        },
        "payload": payload,
    }


def _prefix(channel: Channel) -> str:
    return REPORTED if channel is USAGE else ""
