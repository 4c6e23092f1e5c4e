"""Server-sent events over ASGI: sent until the caller goes away, does not read any more, or the service stops."""

import asyncio
from collections.abc import AsyncIterator

from starlette.types import Receive, Send

HEARTBEAT_S = 15.0
SEND_S = 30.0  # a caller who takes nothing for so long is gone
RETRY_MS = 2_000

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # a proxy that collects answers would hold them back
]


def heartbeat(id_: str) -> bytes:
    """A sign of life, and how far the log has been looked through, for whoever resumes."""
    return f": alive\nid: {id_}\n\n".encode()


def block(data: bytes, *, event: str | None = None, id_: str | None = None) -> bytes:
    """One message; `data` is one line."""
    head = (f"id: {id_}\n" if id_ else "") + (f"event: {event}\n" if event else "")
    return head.encode() + b"data: " + data + b"\n\n"


async def send_blocks(receive: Receive, send: Send, blocks: AsyncIterator[bytes], closing: asyncio.Event) -> None:
    """Answer with `blocks`, and end when they end, the caller has gone or `closing` is set.

    Raises what `blocks` raises; then the answer has begun already.
    """
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    sending = asyncio.create_task(_all(send, blocks))
    gone = asyncio.create_task(_gone(receive))
    stopped = asyncio.create_task(closing.wait())
    try:
        await asyncio.wait({sending, gone, stopped}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, gone, stopped):
            task.cancel()
        ended = await asyncio.gather(sending, gone, stopped, return_exceptions=True)
    if isinstance(ended[0], Exception) and not isinstance(ended[0], TimeoutError):
        raise ended[0]
    if not isinstance(ended[0], TimeoutError):
        await send({"type": "http.response.body", "body": b""})


async def _all(send: Send, blocks: AsyncIterator[bytes]) -> None:
    async for each in blocks:
        async with asyncio.timeout(SEND_S):
            await send({"type": "http.response.body", "body": each, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
