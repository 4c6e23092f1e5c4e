"""JSON with one meaning that every store in the chain can hold.

An event that a store further on cannot take would be stuck in an immutable log for ever, so what is ambiguous or
unstorable is refused here: duplicate keys, NaN and Infinity, NUL and other control characters, lone surrogates,
deep nesting.
"""

import json
import math
import re
from typing import Any

MAX_BYTES = 65_536
MAX_DEPTH = 16
MAX_DIGITS = 18  # larger whole numbers fit neither a column nor a JavaScript number

# Control characters except tab, line feed and carriage return, which error messages and prompts really contain.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_SUSPICIOUS = re.compile(rb"\\[ubf]|\x7f|\xc2[\x80-\x9f]")  # only bytes like these can become a forbidden character


class UnacceptableJson(ValueError):
    """The text is no JSON, or JSON that could be read in two ways or not be stored; the message says which."""


class JsonTooLarge(UnacceptableJson):
    """More than 64 KiB."""


def strict_json(raw: bytes) -> Any:
    """Read at most 64 KiB of UTF-8 JSON. Raises UnacceptableJson, JsonTooLarge; the messages never quote the text."""
    if len(raw) > MAX_BYTES:
        raise JsonTooLarge(f"{len(raw)} bytes are more than the limit of {MAX_BYTES}")
    try:
        value = _DECODER.decode(raw.decode())
    except UnacceptableJson:
        raise
    except UnicodeDecodeError:
        raise UnacceptableJson("not UTF-8") from None
    except RecursionError:
        raise UnacceptableJson(f"nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise UnacceptableJson(f"not JSON: {getattr(error, 'msg', 'it cannot be read')}") from None
    # Brackets bound the depth, so nearly every text is done with two counts and one search.
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH or _SUSPICIOUS.search(raw):
        _check(value, 0)
    return value


def _check(value: Any, depth: int) -> None:
    if isinstance(value, str):
        if _FORBIDDEN.search(value):
            raise UnacceptableJson("a text contains a control character or half of a surrogate pair")
    elif isinstance(value, dict | list):
        if depth == MAX_DEPTH:
            raise UnacceptableJson(f"nested deeper than {MAX_DEPTH} levels")
        for part in value:
            _check(part, depth + 1)
        if isinstance(value, dict):
            for part in value.values():
                _check(part, depth + 1)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise UnacceptableJson("a key occurs twice in one object")
    return found


def _constant(name: str) -> Any:
    raise UnacceptableJson(f"{name} is no JSON number")


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS + (text[0] == "-"):
        raise UnacceptableJson(f"a whole number has more than {MAX_DIGITS} digits")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise UnacceptableJson("a number is out of range")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_finite, parse_int=_whole)
