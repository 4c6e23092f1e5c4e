"""The price book as rows that people type, paste or export, and as the entries that the API takes."""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from console.admin.form_values import json_of, whole_of, wrong

COLUMNS = ("provider", "model", "operation", "options", "credits", "tokens", "usd", "more")
IN_COLUMNS = frozenset({*COLUMNS, "at_most"}) - {"more"}  # every other field of an entry is a further rule
_OPTION = re.compile(r'\s*([A-Za-z0-9_.-]{1,64})\s*(<=|=)\s*("(?:[^"\\]|\\.)*"|[^,"]*)\s*(?:,|$)')
_INTEGER = re.compile(r"-?[0-9]{1,15}", re.ASCII)

Row = dict[str, str]
Entry = dict[str, Any]


def row_of(entry: Mapping[str, Any]) -> Row:
    """An entry as it is typed: options as `duration=6, size<=10`, further rules as JSON.

    A field that this page does not know is a further rule too: an entry that is published again loses nothing.
    """
    more = {name: value for name, value in entry.items() if name not in IN_COLUMNS and value}
    told = {name: entry.get(name) for name in ("provider", "model", "operation", "credits", "tokens", "usd")}
    row = {name: "" if value is None else str(value) for name, value in told.items()}
    return row | {"options": _options_text(entry), "more": json.dumps(more) if more else ""}


def entry_of(row: Row, number: int) -> Entry:
    """A row as the API takes it; `number` counts from 1 and is told. Raises ApiProblem (422)."""
    place = f"Row {number}"
    entry: Entry = {name: row[name] for name in ("provider", "model", "operation") if row[name]}
    entry |= _options(row["options"], place)
    for name in ("credits", "tokens"):
        amount = whole_of(row[name], name, f"{place}, {name}")
        if amount is not None:
            entry[name] = amount
    usd = row["usd"].replace("$", "").replace(",", "").strip()
    if usd:
        entry["usd"] = usd
    more = json_of(row["more"], "more", f"{place}, further rules")
    if more is not None:
        if not isinstance(more, dict) or set(more) & {*COLUMNS, "at_most"}:
            raise wrong("more", f"{place}: further rules are an object of what has no column, for example rates.")
        entry |= more
    return entry


def entries_of(rows: Iterable[Row]) -> list[Entry]:
    """All rows as the API takes them. Raises ApiProblem (422)."""
    return [entry_of(row, number) for number, row in enumerate(rows, 1)]


def typed_rows(columns: Iterable[Iterable[Any]]) -> list[Row]:
    """Rows of a form, from its columns; one without anything in it is none."""
    cells = ([str(value).strip() for value in column] for column in columns)
    return [dict(zip(COLUMNS, row, strict=True)) for row in zip(*cells, strict=False) if any(row)]


def read_rows(given: str) -> list[Row]:
    """Rows from CSV with a heading, or from JSON as the API has it. Raises ApiProblem (422)."""
    if given.lstrip().startswith(("[", "{")):
        found = json_of(given, "pasted", "What was pasted")
        entries = found.get("entries") if isinstance(found, dict) else found
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise wrong("pasted", "The JSON must be a list of entries, or an object with “entries”.")
        return [_row_of_json(entry, number) for number, entry in enumerate(entries, 1)]
    delimiter = ";" if ";" in given.partition("\n")[0] else ","
    table = csv.DictReader(io.StringIO(given), delimiter=delimiter, skipinitialspace=True)
    heading = [name.strip().lower() for name in table.fieldnames or ()]
    unknown = [name for name in heading if name not in COLUMNS]
    if unknown or not {"model", "operation"} & set(heading):
        raise wrong("pasted", f"The first line must name columns: {', '.join(COLUMNS)}. Model or operation is needed.")
    table.fieldnames = heading
    rows = [{name: (line.get(name) or "").strip() for name in COLUMNS} for line in table]
    return [row for row in rows if any(row.values())]


def as_csv(entries: Iterable[Mapping[str, Any]]) -> str:
    """The entries in the form in which they may be pasted again."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS)
    writer.writeheader()
    writer.writerows(row_of(entry) for entry in entries)
    return out.getvalue()


def _row_of_json(entry: dict[str, Any], number: int) -> Row:
    maps = all(isinstance(entry.get(name) or {}, dict) for name in ("options", "at_most"))
    if not maps or not {"model", "operation"} & set(entry):
        missing = "model or operation is needed" if maps else "options cannot be read"
        raise wrong("pasted", f"Entry {number} is no price: {missing}.")
    return row_of(entry)


def _options_text(entry: Mapping[str, Any]) -> str:
    equal = [f"{name}={_value_text(value)}" for name, value in (entry.get("options") or {}).items()]
    return ", ".join(equal + [f"{name}<={value}" for name, value in (entry.get("at_most") or {}).items()])


def _value_text(value: Any) -> str:
    """Text that could be taken for something else stands in quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if isinstance(value, str) and (
        _INTEGER.fullmatch(text) or text in ("true", "false") or "," in text or '"' in text or text != text.strip()
    ):
        return json.dumps(text, ensure_ascii=False)
    return text


def _options(text: str, place: str) -> Entry:
    equal: dict[str, Any] = {}
    at_most: dict[str, int] = {}
    at = 0
    while at < len(text.rstrip()):
        found = _OPTION.match(text, at)
        if not found or found.end() == at:
            raise wrong(
                "options",
                f"{place}: “{text[at:].strip()[:40]}” is no option. Write name=value or name<=number, by commas.",
            )
        name, sign, given = found.groups()
        value = _value(given.strip(), place)
        if sign == "=":
            equal[name] = value
        elif isinstance(value, int) and not isinstance(value, bool):
            at_most[name] = value
        else:
            raise wrong("options", f"{place}: {name}<= needs a whole number.")
        at = found.end()
    return {name: options for name, options in (("options", equal), ("at_most", at_most)) if options}


def _value(given: str, place: str) -> Any:
    if given.startswith('"'):
        return json_of(given, "options", f"{place}, options")
    if given in ("true", "false"):
        return given == "true"
    return int(given) if _INTEGER.fullmatch(given) else given
