"""Markdown as the reference pages need it: a head, a table, and JSON Schema in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Link = Callable[[str], str]  # a schema's name -> where its fields are

_WORDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "null"}
_FORMATS = {"date-time": "time", "date": "date"}
_AT_LEAST, _AT_MOST = ("minimum", "minLength", "minItems"), ("maximum", "maxLength", "maxItems", "maxProperties")


def head(title: str, text: str) -> str:
    """The start of a generated page."""
    return f"# {title}\n\n{text}\n\n*Generated from the code by `./scrip docs`.*\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; line breaks and bars in cells are made harmless."""
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def fields(schema: Mapping[str, Any], link: Link) -> str:
    """A table of an object's fields: name, type, whether it must be there, and what it means."""
    if "properties" not in schema and (
        "enum" in schema or "anyOf" in schema or schema.get("type") not in (None, "object")
    ):
        return f"{kind(schema, link)}.\n"
    required = set(schema.get("required", ()))
    rows = []
    for name, field in schema.get("properties", {}).items():
        must = "yes" if name in required else ""
        rows.append((f"`{name}`", kind(field, link), must, described(field)))
    return table(("field", "type", "required", "meaning"), rows) if rows else "No fields.\n"


def described(schema: Mapping[str, Any]) -> str:
    """A field's description and its default, where there are any."""
    said = str(schema.get("description", "")).strip()
    default = schema.get("default")
    if default is None or default in ({}, []):
        return said
    shown = str(default).lower() if isinstance(default, bool) else str(default)
    return f"{said} Default: `{shown}`." if said else f"Default: `{shown}`."


def kind(schema: Mapping[str, Any], link: Link) -> str:
    """A type in words, with its bounds; objects that have a name are linked."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}]({link(name)})"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(kind(each, link) for each in schema[several]))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    return _plain(schema, link) + _bounds(schema)


def _plain(schema: Mapping[str, Any], link: Link) -> str:
    type_ = schema.get("type")
    if isinstance(type_, list):
        return " or ".join(_WORDS.get(str(each), str(each)) for each in type_)
    if type_ == "array":
        parts = schema.get("prefixItems")
        if parts:
            return f"list of {', '.join(kind(part, link) for part in parts)}"
        return f"list of {kind(schema.get('items', {}), link)}"
    if type_ == "object":
        return _map(schema, link)
    return _FORMATS.get(schema.get("format", ""), _WORDS.get(str(type_), "any value"))


def _map(schema: Mapping[str, Any], link: Link) -> str:
    values = schema.get("additionalProperties")
    if isinstance(values, dict) and values:
        return f"object of {kind(values, link)}"
    patterns = schema.get("patternProperties")
    if patterns:
        return f"object of {kind(next(iter(patterns.values())), link)}"
    return "object"


def _bounds(schema: Mapping[str, Any]) -> str:
    least = next((schema[name] for name in _AT_LEAST if name in schema), None)
    most = next((schema[name] for name in _AT_MOST if name in schema), None)
    unit = " characters" if schema.get("type") == "string" else ""
    if least is not None and least == most:
        return f", exactly {least:,.0f}{unit}"
    if least is not None and most is not None:
        return f", {least:,.0f} to {most:,.0f}{unit}"
    if most is not None:
        return f", at most {most:,.0f}{unit}"
    return f", at least {least:,.0f}{unit}" if least is not None else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
