"""Whole numbers that JavaScript cannot hold, as strings for those who ask: `Prefer: big-integers=string` (RFC 7240).

JSON has no largest number, but JavaScript reads each as a double, which is exact up to 2^53 - 1. A sum over
many accounts may be larger. Who does not ask gets numbers, as before, and pays nothing.
"""

import re
from collections.abc import Callable

from starlette.types import Message, Send

from api.fields import MOST_EXACT
from api.headers import Header

_ASKED = re.compile(rb"\bbig-integers\s*=\s*\"?string\"?(?![\w-])", re.IGNORECASE)
_LONG = re.compile(rb"[0-9]{16}")  # no shorter number is too large
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?')
_JSON = (b"application/json", b"application/problem+json")
_LINES = (b"text/event-stream", b"application/x-ndjson")  # JSON in lines, sent as it comes about
_APPLIED: list[Header] = [(b"preference-applied", b"big-integers=string")]


def with_strings(text: bytes) -> bytes:
    """JSON with each whole number beyond ±(2^53 - 1) as a string of its digits; all else byte for byte as it was."""
    return _TOKEN.sub(_shown, text) if _LONG.search(text) else text


def as_preferred(send: Send, prefer: bytes) -> Send:
    """`send`, with big integers as strings where the header `prefer` asks for it and the answer is JSON."""
    return _Rewriting(send) if _ASKED.search(prefer) else send


class _Rewriting:
    """Holds an answer back until it is whole, or a stream's line until it is."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None  # of an answer that is held back
        self._rewrite: Callable[[bytes], bytes] | None = None  # of a stream's lines
        self._held = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif self._start is not None:
            await self._whole(message)
        elif self._rewrite is not None:
            await self._send({**message, "body": self._lines(message)})
        else:
            await self._send(message)

    async def _begin(self, message: Message) -> None:
        kind = next((value for name, value in message["headers"] if name.lower() == b"content-type"), b"")
        if kind.startswith(_JSON):
            self._start = message
            return
        if kind.startswith(_LINES):
            self._rewrite = _event_line if kind.startswith(b"text/event-stream") else with_strings
            message = {**message, "headers": [*message["headers"], *_APPLIED]}
        await self._send(message)

    async def _whole(self, message: Message) -> None:
        self._held += message.get("body", b"")
        if message.get("more_body"):
            return
        start, self._start = self._start, None
        body = with_strings(bytes(self._held))
        if start is not None:
            kept = [header for header in start["headers"] if header[0].lower() != b"content-length"]
            length = (b"content-length", b"%d" % len(body))
            await self._send({**start, "headers": [*kept, length, *_APPLIED]})
        await self._send({"type": "http.response.body", "body": body})

    def _lines(self, message: Message) -> bytes:
        self._held += message.get("body", b"")
        end = self._held.rfind(b"\n") + 1 if message.get("more_body") else len(self._held)
        ready, self._held = bytes(self._held[:end]), self._held[end:]
        rewrite = self._rewrite
        return b"".join(map(rewrite, ready.splitlines(keepends=True))) if rewrite is not None else ready


def _event_line(line: bytes) -> bytes:
    """A line of server-sent events: only its data is JSON."""
    return with_strings(line) if line.startswith(b"data:") else line


def _shown(found: re.Match[bytes]) -> bytes:
    token = found[0]
    if token.startswith(b'"') or not token.removeprefix(b"-").isdigit() or abs(int(token)) <= MOST_EXACT:
        return token
    return b'"%b"' % token
