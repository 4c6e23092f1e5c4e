"""JSON with one meaning that every store in the chain can hold; the rest is refused before it is read as a request.

What one parser reads as this and another as that (a key twice, NaN) would make the fingerprint of a request depend on
the reader; what PostgreSQL cannot store (NUL, half a surrogate pair) would be stuck in an immutable log for ever.
"""

import json
import math
import re
from typing import Any

from domain.text import clean

MAX_DEPTH = 16
INVALID_TEXT = "invalid_text"
MAX_DIGITS = 18  # whole numbers beyond 10^18 fit no column and no JavaScript number

_SUSPICIOUS = re.compile(rb"\\[ubf]|\x7f|\xc2[\x80-\x9f]")  # only bytes like these can become a forbidden character
_SHOWN = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class UnacceptableJson(ValueError):
    """The text is no JSON, or JSON that could be read in two ways or not be stored.

    `code` is a stable name of what is wrong, the message a sentence that never quotes the text (it may be personal);
    `field` and `limit` where there is one.
    """

    def __init__(self, code: str, message: str, *, field: str | None = None, limit: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.field = field
        self.limit = limit


def strict_json(raw: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """Read UTF-8 JSON. Raises UnacceptableJson."""
    try:
        value = _DECODER.decode(raw.decode())
    except UnacceptableJson:
        raise
    except UnicodeDecodeError:
        raise _malformed("The text is not UTF-8.") from None
    except RecursionError:
        raise _too_deep(max_depth) from None
    except ValueError as error:
        reason = getattr(error, "msg", "a number is too long")
        raise _malformed(f"The text is not JSON: {reason}.") from None
    # Brackets bound the depth, so nearly every body is done with two counts and one search.
    if raw.count(b"{") + raw.count(b"[") > max_depth or _SUSPICIOUS.search(raw):
        try:
            _check(value, max_depth)
        except UnacceptableJson as error:
            error.field = error.field or (_place(value) if error.code == INVALID_TEXT else None)
            raise
    return value


def _place(value: Any) -> str | None:
    """The path to a text that cannot be kept, as far as its names may be shown; none where that says nothing."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        shown = str(name) if _SHOWN.fullmatch(str(name)) else None
        if isinstance(part, str) and not clean(part):
            return shown
        within = _place(part)
        if within is not None:
            return f"{shown}.{within}"[:200] if shown else within
    return None


def _check(value: Any, room: int) -> None:
    if isinstance(value, str):
        if not clean(value):
            raise UnacceptableJson(INVALID_TEXT, "A text contains a control character or half of a surrogate pair.")
    elif isinstance(value, dict | list):
        if room == 0:
            raise _too_deep(None)
        for part in value:
            _check(part, room - 1)
        if isinstance(value, dict):
            for part in value.values():
                _check(part, room - 1)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        field = twice if _SHOWN.fullmatch(twice) else None
        raise UnacceptableJson("duplicate_key", "A key occurs twice in one object.", field=field)
    return found


def _constant(name: str) -> Any:
    raise _malformed(f"{name} is no JSON number.")


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS + (text[0] == "-"):
        raise UnacceptableJson(
            "number_out_of_range", f"A whole number has more than {MAX_DIGITS} digits.", limit=10**MAX_DIGITS
        )
    return int(text)


def _fraction(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise UnacceptableJson("number_out_of_range", "A number is out of range.")
    return number


def _malformed(message: str) -> UnacceptableJson:
    return UnacceptableJson("malformed_json", message)


def _too_deep(limit: int | None) -> UnacceptableJson:
    return UnacceptableJson("too_deep", "The text is nested too deeply.", limit=limit or MAX_DEPTH)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_int=_whole, parse_float=_fraction
)
