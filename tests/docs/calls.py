"""JSON blocks whose title names a call or a usage event, against the documents of both."""

import re
from typing import Any

import jsonschema

from cli.reference.http import openapi
from consumers.usage import USAGE_TYPES

_CALL = re.compile(r"(?:(?P<status>\d{3}) )?(?P<method>GET|POST|PUT|PATCH|DELETE) (?P<path>/\S+)")


def check_named(title: str, value: Any) -> None:
    """Check a block named `POST /path` (its body), `201 POST /path` (an answer) or by the type of a usage event.

    Raises AssertionError, jsonschema.ValidationError, pydantic.ValidationError.
    """
    called = _CALL.fullmatch(title)
    if called is not None:
        _check_call(called["status"], called["method"], called["path"], value)
    elif title in USAGE_TYPES:
        USAGE_TYPES[title].model_validate(value.get("data", value))
    else:
        raise AssertionError(f"`{title}` names no call and no usage event")


def _check_call(status: str | None, method: str, path: str, value: Any) -> None:
    call = _paths()[_pattern_of(path)][method.lower()]
    if status is None:
        schema = call["requestBody"]["content"]["application/json"]["schema"]
    elif status in call["responses"]:
        schema = call["responses"][status]["content"]["application/json"]["schema"]
    else:
        schema = call["responses"]["default"]["content"]["application/problem+json"]["schema"]
    jsonschema.validate(value, {**schema, "components": openapi()["components"]})


def _paths() -> dict[str, Any]:
    found: dict[str, Any] = openapi()["paths"]
    return found


def _pattern_of(path: str) -> str:
    """The path of the document that a call's path is one of."""
    if path in _paths():
        return path
    for pattern in _paths():
        if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", pattern), path):
            return pattern
    raise AssertionError(f"there is no call {path}")
