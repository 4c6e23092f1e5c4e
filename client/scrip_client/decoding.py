"""JSON into the answers' dataclasses: unknown fields are passed over, so that a newer server breaks no client."""

import types
from collections.abc import Hashable
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


class Undecodable(ValueError):
    """An answer that lacks what the contract promises."""


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    return get_type_hints(cast("Any", kind))


def decode(kind: type[T], data: Any) -> T:
    """A dataclass from a JSON object. Raises Undecodable."""
    if not isinstance(data, dict):
        raise Undecodable(f"{kind.__name__} is no JSON object")
    hints, values = _hints(cast("Hashable", kind)), {}
    for each in fields(cast("Any", kind)):
        if each.name in data:
            try:
                values[each.name] = _value(hints[each.name], data[each.name])
            except (ValueError, TypeError, ArithmeticError) as error:
                raise Undecodable(f"{kind.__name__}.{each.name}: {error}") from error
        elif each.default is MISSING and each.default_factory is MISSING:
            raise Undecodable(f"{kind.__name__}.{each.name} is missing")
    return kind(**values)


def _value(hint: Any, value: Any) -> Any:  # noqa: PLR0911 - one line for each kind of type
    if value is None or hint is Any:
        return value
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        options = [option for option in get_args(hint) if option is not type(None)]
        if isinstance(value, str) and Decimal in options:
            return _money(value)
        return _value(options[0], value)
    if origin is tuple:
        return tuple(_value(get_args(hint)[0], each) for each in value)
    if origin is dict:
        return {name: _value(get_args(hint)[1], each) for name, each in value.items()}
    if hint is datetime:
        return datetime.fromisoformat(value)
    if hint is Decimal:
        return Decimal(value)
    if isinstance(hint, type) and is_dataclass(hint):
        return decode(cast("type[Any]", hint), value)
    return value


def _money(text: str) -> Decimal | str:
    """Money travels as text; what else is text in an open map of amounts stays text."""
    try:
        return Decimal(text)
    except ArithmeticError:
        return text
