"""The pages of the log's events and of all topics, from the types that are stored and the AsyncAPI document."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from cli.reference.markdown import fields, head, table
from consumers.asyncapi import REPORTED, asyncapi_document
from domain.registry import SCRIP
from infra.kafka.topics import topics_of
from infra.settings import Settings

DAY_MS = 86_400_000
EVENTS = """The facts of which everything else is made. A stored event is JSON with `actor` (who), `cause` (the
command's idempotency key) and `data`, whose fields are below. The name carries the version of the
data: `.v2` beside `.v1` would mean that both are in the log and that old ones are read as new ones.
`sealed` is personal text, encrypted with its subject's key.

Types are an open list: a consumer skips what it does not know. Amounts are whole; money is in millionths of its
currency."""
TOPICS = """CloudEvents 1.0 on Apache Kafka; `GET /api/asyncapi.json` of a running service has the same for
machines. Read with `isolation.level=read_committed`. `SCRIP_TOPIC_PREFIX`, where it is set, stands
before every name."""
# Which stream an event is on, by the module of its class.
STREAMS = {
    "credits": "Accounts (`account/{address}`)",
    "generations": "Generations (`generation/{id}`)",
    "quotas": "Quotas: storage, groups, budgets (`storage/{user}`, `group/{id}`, `budget/{user}`)",
    "storage": "Storage (`storage/{user}`)",
    "groups": "Groups (`group/{id}`) and memberships (`memberships/{user}`)",
    "budgets": "Budgets (`budget/{user}`)",
    "organisations": "The organisation itself",
    "plans": "Plans, features, packages and purchases",
    "prices": "The price book",
}


@lru_cache(maxsize=1)
def _document() -> dict[str, Any]:
    return asyncapi_document()


def events_page() -> str:
    """The page of events, by the kind of stream."""
    schemas = _document()["components"]["schemas"]
    parts = [head("Events", EVENTS)]
    used: set[str] = set()
    for module, title in STREAMS.items():
        parts.append(f"## {title}\n")
        for type_, event in SCRIP.events.items():
            if event.__module__.split(".")[1] != module:
                continue
            schema = schemas[event.__name__]
            used |= set(_refs(schema))
            parts += [f"### {type_} {{: #{_anchor(type_)} }}\n", _said(event.__doc__), fields(schema, _part)]
    parts.append("## Parts of events\n")
    for name in sorted(_closed(used)):
        parts += [f"### {name} {{: #{name.lower()} }}\n", _said(schemas[name].get("description")), _fields(name)]
    return "\n".join(parts)


def topics_page() -> str:
    """The page of topics: what is on each, and what workers may write."""
    parts = [head("Topics", TOPICS)]
    defaults = Settings.model_construct(kafka_replication=1, topic_prefix="")
    rows = []
    for topic in topics_of(defaults, 12):
        kept = int({**topic.others, **topic.guarded}["retention.ms"])
        rows.append((f"`{topic.name}`", str(topic.partitions), "for ever" if kept < 0 else f"{kept // DAY_MS} days"))
    parts.append(table(("topic", "partitions", "kept"), rows))
    for channel in _document()["channels"].values():
        parts += [f"## {channel['address']}\n", f"{channel['description']}\n"]
        parts += _messages(channel["messages"])
    parts.append("## Parts of usage events\n")
    for name, schema in _document()["components"]["schemas"].items():
        if name.startswith(REPORTED):
            parts += [f"### {name} {{: #{_anchor(name)} }}\n", _said(schema.get("description"))]
            parts.append(fields(schema, lambda other: f"#{_anchor(other)}"))
    return "\n".join(parts)


def _messages(messages: dict[str, Any]) -> Iterator[str]:
    rows = []
    for name, message in messages.items():
        payload = message["payload"]
        target = payload.get("$ref", "").rpartition("/")[2]
        link = f"[fields](events.md#{_anchor(name)})" if not target else f"[{target}](#{_anchor(target)})"
        if target and not target.startswith(REPORTED):
            link = f"`{target}`"
        rows.append((f"`{name}`", " ".join(message["description"].split()), link))
    yield table(("type", "meaning", "data"), rows)
    shared = {message["payload"].get("$ref", "").rpartition("/")[2] for message in messages.values()}
    for name in sorted(shared):
        if name and not name.startswith(REPORTED):
            yield f"### {name}\n"
            yield fields(_document()["components"]["schemas"][name], _plain_name)
    headers = next(iter(messages.values()))["headers"]["properties"]
    yield f"Headers: {', '.join(f'`{name}`' for name in headers)}.\n"


def _fields(name: str) -> str:
    schema = _document()["components"]["schemas"][name]
    if "prefixItems" in schema:  # a tuple: fields by their place
        return f"A list of {len(schema['prefixItems'])} values, in this order: {_places(name)}.\n"
    return fields(schema, _part)


def _places(name: str) -> str:
    for event in SCRIP.events.values():
        places = getattr(getattr(sys.modules[event.__module__], name, None), "_fields", ())
        if places:
            return ", ".join(f"`{place}`" for place in places)
    return "see the code"


def _refs(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].rpartition("/")[2]
        for value in schema.values():
            yield from _refs(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _refs(value)


def _closed(names: set[str]) -> set[str]:
    """These parts and the parts of which they are made."""
    found, new = set(names), set(names)
    while new:
        new = {other for name in new for other in _refs(_document()["components"]["schemas"][name])} - found
        found |= new
    return found


def _part(name: str) -> str:
    return f"#{name.lower()}"


def _plain_name(name: str) -> str:
    return f"#{_anchor(name)}"


def _anchor(name: str) -> str:
    return name.lower().replace(".", "-")


def _said(text: str | None) -> str:
    return f"{' '.join((text or '').split())}\n"
