"""The pages of the HTTP calls and of the objects in bodies and answers, from the OpenAPI document and the policy."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from api.app import ENDPOINTS, POLICY
from api.http.documents import document
from cli.reference.markdown import described, fields, head, kind, table

CALLS = """Every call with who may make it, what it takes and what it answers. `GET /api/openapi.json` of a
running service has the same for machines, and `/api/docs` to try out.

- `Authorization: Bearer <JWT or API key>` on every call that is not marked open. Platform admins name the organisation
  in the header `Scrip-Organisation`.
- Every POST that changes something takes `Idempotency-Key`: the same key and request get the first answer again.
- Errors are `application/problem+json` ([ProblemDetails](objects.md#problemdetails)) with a stable `code`.
- Every read takes `min_position`, the `position` of an earlier answer, and waits up to 2 s for it.
- Lists take `limit` (up to 200) and `cursor`, and answer `items` and `next_cursor`."""

# The first part of a path after /api, /api/v1 or neither -> the section that it belongs to.
SECTIONS: dict[str, str] = {
    "accounts": "Accounts and credits",
    "batch": "Accounts and credits",
    "generations": "Generations",
    "contents": "Storage and contents",
    "storage": "Storage and contents",
    "prices": "Prices",
    "quotes": "Prices",
    "groups": "Groups",
    "group-members": "Groups",
    "track-generation": "Groups",
    "budgets": "Budgets",
    "organisations": "Organisations and plans",
    "plans": "Organisations and plans",
    "features": "Organisations and plans",
    "tokens": "Plan tokens",
    "packages": "Purchases",
    "purchases": "Purchases",
    "payments": "Purchases",
    "auth": "Users",
    "credits": "Users",
    "users": "Users",
    "session-tokens": "Users",
    "api-keys": "Users",
    "alerts": "Alerts and webhooks",
    "alert-rules": "Alerts and webhooks",
    "webhooks": "Alerts and webhooks",
    "analytics": "Analytics",
    "forecasts": "Analytics",
}
REST = "Operation and audit"
OBJECTS = """The objects in bodies and answers of the [HTTP calls](http.md). Answers may gain fields at any
time; bodies take no unknown ones. Credits, tokens and bytes are whole numbers; USD is a decimal as
text; times are RFC 3339 with a zone."""


def http_page() -> str:
    """Every call: path, who may, parameters, body and answer."""
    calls: dict[str, list[str]] = {}
    for path, methods in openapi()["paths"].items():
        for method, call in methods.items():
            calls.setdefault(_section(path), []).append("\n".join(_call(method.upper(), path, call)))
    order = list(dict.fromkeys([*SECTIONS.values(), REST]))
    parts = [head("HTTP", CALLS)]
    parts += [f"## {name}\n\n" + "\n".join(calls[name]) for name in order if name in calls]
    return "\n".join(parts)


def _section(path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", "api", "v1")]
    return SECTIONS.get(parts[0], REST) if parts else REST


def _call(method: str, path: str, call: dict[str, Any]) -> Iterator[str]:
    name = call["operationId"]
    yield f"### {method} {path} {{: #{name.replace('_', '-')} }}\n"
    yield f"{call['summary'].rstrip('.')}. {_who(name)}\n"
    if call.get("description"):
        yield f"{' '.join(call['description'].split())}\n"
    rows = [
        (f"`{each['name']}`", each["in"], kind(each["schema"], _where), described({**each["schema"], **each}))
        for each in call.get("parameters", ())
    ]
    if rows:
        yield table(("parameter", "in", "type", "meaning"), rows)
    body = call.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body is not None:
        yield f"Body: {kind(body, _where)}\n"
        yield fields(_resolved(body), _where)
    yield f"Answer: {_answer(call['responses'])}\n"


def _who(operation: str) -> str:
    rule = POLICY[operation]
    if not rule.roles:
        return "Open: no login."
    roles = ", ".join(f"`{role.value}`" for role in sorted(rule.roles, key=lambda role: role.value))
    scope = f"; an API key with limited scopes needs `{rule.scope}`" if rule.scope else ""
    return f"For {roles}{scope}."


def _answer(responses: dict[str, Any]) -> str:
    told = []
    for status, response in responses.items():
        if status == "default":
            continue
        schema = response.get("content", {}).get("application/json", {}).get("schema")
        shown = kind(schema, _where) if schema else "as described above"
        told.append(f"{status} {shown}" if status.isdigit() else shown)
    return ", ".join(told) or "no body"


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        found: dict[str, Any] = openapi()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return found
    return schema


def _where(name: str) -> str:
    """The address of an object's fields, from another page of the reference."""
    return f"objects.md#{name.lower()}"


def objects_page() -> str:
    """All objects in bodies and answers."""
    parts = [head("Objects", OBJECTS)]
    for name, schema in sorted(openapi()["components"]["schemas"].items()):
        said = " ".join(str(schema.get("description", "")).split())
        parts.append(f"## {name} {{: #{name.lower()} }}\n")
        if said:
            parts.append(f"{said}\n")
        parts.append(fields(schema, lambda other: f"#{other.lower()}"))
    return "\n".join(parts)


@lru_cache(maxsize=1)
def openapi() -> dict[str, Any]:
    """What `GET /api/openapi.json` answers."""
    return document(ENDPOINTS)
