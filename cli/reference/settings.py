"""The page of all settings, from the class that reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import SecretStr

from cli.reference.markdown import head, table
from infra.settings import Settings

INTRODUCTION = """The service roles are configured by these environment variables; `scrip config` shows what they are
now, with secrets masked. `scrip up` and `scrip demo` set all of them themselves. A value out of its
bounds stops a role at its start with one sentence that names the variable."""


def page() -> str:
    """The whole page."""
    rows = [
        (f"`SCRIP_{name.upper()}`", field.description or "", _default(field.default), _bounds(field))
        for name, field in Settings.model_fields.items()
    ]
    return head("Configuration", INTRODUCTION) + "\n" + table(("variable", "meaning", "default", "bounds"), rows)


def _default(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "secret, empty" if not value.get_secret_value() else "secret"
    if value == "":
        return "empty"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _bounds(field: Any) -> str:
    return ", ".join(_limits(field.metadata))


def _limits(metadata: list[Any]) -> Iterator[str]:
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    for each in metadata:
        for name, word in words.items():
            if hasattr(each, name):
                yield f"{word} {getattr(each, name):,}"
