"""A receiver of webhooks on this machine, which answers as it is told to."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple


class Received(NamedTuple):
    """A request, its headers with names in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """`answers`: status codes in their order, the last one for all that follow; None never answers."""

    def __init__(self, *answers: int | None) -> None:
        self.answers = list(answers) or [200]
        self.received: list[Received] = []
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.received.append(Received(head[0], headers, body))
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if status is not None:
            writer.write(b"HTTP/1.1 %d X\r\nlocation: %b\r\ncontent-length: 2\r\n\r\nok" % (status, self.url.encode()))
            await writer.drain()
            writer.close()


@asynccontextmanager
async def receiving(*answers: int | None, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver that listens until the block ends."""
    receiver = Receiver(*answers)
    server = await asyncio.start_server(receiver.handle, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    receiver.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/hook"
    try:
        yield receiver
    finally:
        server.close()
