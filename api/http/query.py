"""What a request's query may be: names that the call knows, each once, in UTF-8 and without control characters.

A name that nothing reads would answer another question than the caller asked: `groupby=user` by model, for example.
"""

import re
from difflib import get_close_matches
from typing import Any
from urllib.parse import parse_qsl

from api.problems import Problem, invalid
from domain.text import clean

MAX_PARAMETERS = 50
PLUS = "In a query `+` means a space; write `%2B` for a `+`."
_SHOWN = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})|[^\x21-\x7e]")
_NONE: frozenset[str] = frozenset()


class Known:
    """The names that a call reads from its query; `blank` are those that may be empty."""

    def __init__(self, names: frozenset[str] = _NONE, blank: frozenset[str] = _NONE) -> None:
        self.names, self.blank = names, blank


NOTHING = Known()


def read_query(raw: bytes) -> list[tuple[str, str]]:
    """Names and values. Raises Problem (422) for what is not percent-encoded UTF-8, or has control characters."""
    if _BAD_ESCAPE.search(raw):
        raise _unreadable("must be percent-encoded")
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except UnicodeDecodeError:
        raise _unreadable("must be UTF-8, percent-encoded") from None
    except ValueError:
        raise _unreadable(f"must have at most {MAX_PARAMETERS} parameters", limit=MAX_PARAMETERS) from None
    for name, value in pairs:
        if not clean(value):
            raise _wrong(name, "must not contain control characters")
    return pairs


def check_query(pairs: list[tuple[str, str]], known: Known) -> None:
    """Raises Problem (422) for an unknown name, with the nearest that is known; for one given twice, or empty."""
    seen: set[str] = set()
    for name, value in pairs:
        if name not in known.names:
            raise _unknown(name, known)
        if name in seen:
            raise _wrong(name, "must not be given twice")
        if not value and name not in known.blank:
            raise _wrong(name, "must not be empty: leave it out")
        seen.add(name)


def _unknown(name: str, known: Known) -> Problem:
    near = get_close_matches(name.lower(), known.names, 1, 0.5)
    what = f"The query parameter {name}" if _SHOWN.fullmatch(name) else "A query parameter"
    hint = f" Did you mean {near[0]}?" if near else ""
    names = ", ".join(sorted(known.names))
    told = hint or (f" It takes: {names}." if names else " It takes none.")
    detail = f"{what} is unknown to this call.{told}"
    return Problem(422, "unknown_parameter", detail, field=_shown(name), nearest=near[0] if near else None)


def _wrong(name: str, reason: str) -> Problem:
    shown = _shown(name)
    return invalid(shown, reason) if shown else _unreadable(reason)


def _shown(name: str) -> str | None:
    return name if _SHOWN.fullmatch(name) else None


def _unreadable(reason: str, **facts: Any) -> Problem:
    return Problem(422, "invalid_value", f"The query {reason}.", **facts)
