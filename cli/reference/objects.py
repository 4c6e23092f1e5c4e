"""The page of all objects in bodies and answers."""

from __future__ import annotations

from cli.reference.api_document import openapi
from cli.reference.markdown import fields, head

INTRODUCTION = """What bodies and answers of the [HTTP calls](http.md) are made of. Answers may gain fields at any
time; bodies take no unknown ones. Credits, tokens and bytes are whole numbers; USD is a decimal as
text; times are RFC 3339 with a zone."""


def where(name: str) -> str:
    """The address of an object's fields, from another page of the reference."""
    return f"objects.md#{name.lower()}"


def page() -> str:
    """The whole page."""
    parts = [head("Objects", INTRODUCTION)]
    for name, schema in sorted(openapi()["components"]["schemas"].items()):
        said = " ".join(str(schema.get("description", "")).split())
        parts.append(f"## {name} {{: #{name.lower()} }}\n")
        if said:
            parts.append(f"{said}\n")
        parts.append(fields(schema, lambda other: f"#{other.lower()}"))
    return "\n".join(parts)
