"""How calls are written: paths, queries and bodies, and what the answers are read as."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

from scrip_client.answers import Created
from scrip_client.decoding import Undecodable, decode
from scrip_client.settling import OptionValue
from scrip_client.steps import Call, Request, new_key

T = TypeVar("T")

GENERATIONS = "/api/v1/generations"
TTL_S = 900
PAGE = 200  # items of a list that are asked for at once


def account_path(address: str, *more: str) -> str:
    """An account's path, or that of something in it."""
    return "/".join(["/api/v1/accounts", *(quote(part, safe=":") for part in (address, *more))])


def generation_path(generation_id: str, *more: str) -> str:
    """A generation's path, or that of something done to it."""
    return "/".join([GENERATIONS, quote(generation_id, safe=""), *more])


def get(path: str, answer: type[T], **wanted: str | datetime | None) -> Call[T]:
    """A read. `wanted`: its query, see `query`."""
    return Call(Request("GET", path, params=query(**wanted)), partial(decode, answer))


def ask(path: str, answer: type[T], body: Mapping[str, Any]) -> Call[T]:
    """A POST that changes nothing, and so has no idempotency key."""
    return Call(Request("POST", path, given(body)), partial(decode, answer))


def post(path: str, answer: type[T], body: Mapping[str, Any], key: str | None) -> Call[T]:
    """A change, under the caller's idempotency key or one of its own."""
    return Call(Request("POST", path, given(body), key=key or new_key()), partial(decode, answer))


def page(path: str, item: type[T], wanted: Mapping[str, str], cursor: str | None) -> Call[tuple[list[T], str | None]]:
    """One page of a list and the next one's cursor, None after the last."""
    params = {**wanted, "limit": str(PAGE), **({"cursor": cursor} if cursor else {})}
    return Call(Request("GET", path, params=params), partial(_read_page, item))


def create(body: Mapping[str, Any], key: str | None) -> Call[Created]:
    """A new generation."""
    return post(GENERATIONS, Created, body, key)


def work_asked(
    user: str | None,
    operation: str | None,
    provider: str | None,
    model: str | None,
    estimate: Mapping[str, int] | None,
    options: Mapping[str, OptionValue] | None,
) -> dict[str, Any]:
    """What a generation is to do, as the fields of a body."""
    units = dict(estimate) if estimate is not None else None
    asked = {"user_id": user, "operation": operation, "provider": provider, "model": model, "estimate": units}
    return asked | {"options": dict(options or {})}


def given(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that have a value."""
    return {name: value for name, value in body.items() if value is not None}


def query(**wanted: str | datetime | None) -> dict[str, str]:
    """What is given, as a query; `since` and `until` are the contract's `from` and `to`, times with a zone."""
    names = {"since": "from", "until": "to", "user": "user_id"}
    return {
        names.get(name, name): value.isoformat() if isinstance(value, datetime) else value
        for name, value in wanted.items()
        if value is not None
    }


def _read_page(item: type[T], body: Any) -> tuple[list[T], str | None]:
    if not (isinstance(body, dict) and isinstance(body.get("items"), list)):
        raise Undecodable("a page has no items")
    items: Sequence[Any] = body["items"]
    return [decode(item, each) for each in items], body.get("next_cursor")
