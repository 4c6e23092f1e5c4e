"""Lists over cursors: a page is a call, and the next page's cursor is in its answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from scrip_client.decoding import Undecodable
from scrip_client.steps import Call, Request

T = TypeVar("T")

PAGE = 200


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A list: where it is, what is wanted of it, and how an item is read."""

    path: str
    params: Mapping[str, str]
    read: Callable[[Any], T]

    def page(self, cursor: str | None) -> Call[tuple[list[T], str | None]]:
        """One page and the next one's cursor, None after the last."""
        params = {**self.params, "limit": str(PAGE), **({"cursor": cursor} if cursor else {})}
        return Call(Request("GET", self.path, params=params), self._read)

    def _read(self, body: Any) -> tuple[list[T], str | None]:
        if not (isinstance(body, dict) and isinstance(body.get("items"), list)):
            raise Undecodable("a page has no items")
        return [self.read(item) for item in body["items"]], body.get("next_cursor")


def filters(**wanted: str | datetime | None) -> dict[str, str]:
    """What is given, as a query; `since` and `until` are the contract's `from` and `to`, times with a zone."""
    names = {"since": "from", "until": "to"}
    return {
        names.get(name, name): value.isoformat() if isinstance(value, datetime) else value
        for name, value in wanted.items()
        if value is not None
    }
