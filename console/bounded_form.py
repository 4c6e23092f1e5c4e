"""What a form may have: so many bytes, fields and files, counted while they come in. Nothing is read beyond that."""

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive

MAX_FORM = 2_097_152  # bytes of a signed-in person's form: a file or a pasted list, with its encoding
MAX_FIELDS = 20_000  # of the price editor, with some for each of 2,000 prices
MAX_FILES = 1
SIGN_IN_FORM, SIGN_IN_FIELDS = 16_384, 20  # before anybody is known


class BoundedForm(Request):
    """A request whose form has limits. Raises HTTPException: 413 for one that is too large, 400 for too many fields."""

    def __init__(self, request: Request, limit: int = MAX_FORM, fields: int = MAX_FIELDS) -> None:
        super().__init__(request.scope, _counted(request.receive, request.headers, limit))
        self._limit, self._fields = limit, fields

    def form(self, **_given: Any) -> Any:
        """The form, read once; starlette's own limits are for the number of fields only."""
        return super().form(max_files=MAX_FILES, max_fields=self._fields, max_part_size=self._limit)


def sign_in_form(request: Request) -> BoundedForm:
    """A form of somebody who is not signed in."""
    return BoundedForm(request, SIGN_IN_FORM, SIGN_IN_FIELDS)


def _counted(receive: Receive, headers: Mapping[str, str], limit: int) -> Receive:
    size = 0

    async def counted() -> Message:
        nonlocal size
        length = headers.get("content-length", "")
        if length.isdigit() and (len(length) > 18 or int(length) > limit):
            raise _too_large(limit)
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise _too_large(limit)
        return message

    return counted


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"This form is too large: the limit is {limit:,} bytes.")
