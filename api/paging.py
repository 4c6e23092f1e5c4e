"""Cursors: opaque, bound to the list that gave them, and signed so that nobody builds one."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Sequence
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import Annotated, Any

import msgspec
from fastapi import Query

from api.problems import Problem

MAX_LIMIT = 200
_SIGNATURE = 8

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description=f"Items in a page, at most {MAX_LIMIT}.")]
CursorText = Annotated[str | None, Query(max_length=2_000, description="`next_cursor` of the page before.")]
IdPrefix = Annotated[str, Query(max_length=255, pattern=r"^[A-Za-z0-9._:@|+=~-]*$")]


class Cursors:
    """Makes and reads the cursors of one list of one organisation. `secret`: the deployment's."""

    def __init__(self, secret: bytes, *list_: str) -> None:
        self._secret = secret
        self._list = "\n".join(list_).encode()

    def encode(self, values: Sequence[Any]) -> str:
        """The cursor after an item with these sort values."""
        body = msgspec.json.encode(values)
        return _text(self._sign(body) + body)

    def decode(self, cursor: str, *kinds: type) -> list[Any]:
        """The sort values. Raises Problem (422) for anything that `encode` of this list did not make."""
        try:
            raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            signature, body = raw[:_SIGNATURE], raw[_SIGNATURE:]
            # Python's base64 reads over foreign characters and loose bits: those were not in the cursor that was given.
            if not compare_digest(signature, self._sign(body)) or _text(raw) != cursor:
                raise ValueError
            values: list[Any] = msgspec.json.decode(body, type=tuple[kinds])  # type: ignore[valid-type]
        except (ValueError, NotBase64, UnicodeEncodeError, msgspec.DecodeError):
            raise Problem(422, "invalid_cursor", "The cursor is not one that this list gave.", field="cursor") from None
        return values

    def page(
        self, items: list[Any], limit: int, key: Callable[[Any], Sequence[Any]], show: Callable[[Any], Any]
    ) -> dict[str, Any]:
        """A page of at most `limit` of `items`, of which one more was read to see whether there are more."""
        more = len(items) > limit
        shown = items[:limit]
        next_cursor = self.encode(key(shown[-1])) if more else None  # before `show`, which may change the item
        return {"items": [show(item) for item in shown], "next_cursor": next_cursor}

    def _sign(self, body: bytes) -> bytes:
        return hmac_digest(self._secret, b"cursor\n%b\n%b" % (self._list, body), "sha256")[:_SIGNATURE]


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")
