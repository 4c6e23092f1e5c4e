"""A light HTTP client for benchmarks: one connection is one closed loop, and costs less than the server."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

Next = Callable[[bytes], tuple[str, bytes]]  # the body of the last answer -> path and body of the next request


@dataclass(slots=True)
class Answered:
    """What came back: seconds of each request, and how many had each status."""

    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)


async def load(host: str, port: int, token: str, clients: Sequence[Next], duration_s: float) -> Answered:
    """POST in closed loops, one connection for each client, for so many seconds. Raises OSError, RuntimeError."""
    answered = Answered()
    until = monotonic() + duration_s
    await asyncio.gather(*(_client(host, port, token, each, until, answered) for each in clients))
    return answered


async def post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str, path: str, body: bytes
) -> tuple[int, bytes]:
    """One request on an open connection; returns status and body."""
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
    writer.write(b"%sContent-Length: %d\r\n\r\n%s" % (head.encode(), len(body), body))
    return await answer_of(reader)


async def _client(host: str, port: int, token: str, choose: Next, until: float, answered: Answered) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    answer = b""
    try:
        while (started := monotonic()) < until:
            status, answer = await post(reader, writer, token, *choose(answer))
            answered.seconds.append(monotonic() - started)
            answered.statuses[status] = answered.statuses.get(status, 0) + 1
    finally:
        writer.close()


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of the next answer. Raises RuntimeError for one without a length."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    at = head.find(b"content-length:")
    if at < 0:
        raise RuntimeError(f"an answer without a length: {head[:200]!r}")
    length = int(head[at + 15 : head.index(b"\r\n", at)])
    return int(head[9:12]), await reader.readexactly(length)
