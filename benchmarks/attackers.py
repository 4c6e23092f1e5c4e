"""Attacks on the API's memory: those of `scrip bench attacks` and of its test.

Each attack keeps some connections at work from 127.0.0.2 until its time is over, and opens those again that the server
closes. Attackers are gentle with the processor: what is tried is memory.
"""

import asyncio
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from time import monotonic

ADDRESS = "127.0.0.2"
AGAIN_S = 0.5  # until a connection is opened again
LOOK_S = 0.5
BUFFER = 8_192  # bytes that an attacker's own system takes of answers that are not read
BOUNDARY = b"----attack"

Sends = Callable[["Target"], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Target:
    """Where the API listens, and the logins that an attacker may have: a token of an organisation, a cookie."""

    port: int
    token: str
    cookie: str

    def head(self, method: str, path: str, *lines: str, login: bool = True) -> bytes:
        known = [f"Authorization: Bearer {self.token}"] if login else []
        return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *known, *lines, "", "")).encode()

    def form(self, kind: str, *lines: str) -> bytes:
        """The head of a form in a signed-in person's name."""
        typed = (f"Cookie: {self.cookie}", f"Content-Type: {kind}", *lines)
        return self.head("POST", "/generations/delete", *typed, login=False)


@dataclass(frozen=True, slots=True)
class Attack:
    """`connections` at once; each sends the parts that `sends` makes, with `pace_s` between them, and reads nothing."""

    what: str
    sends: Sends
    connections: int = 300
    pace_s: float = 0.1


async def attack(target: Target, chosen: Attack, seconds: float, calm: float = 1.0) -> int:
    """Attack for so many seconds; all connections are closed afterwards. Returns how many were opened.

    `calm`: how many times as long its pauses are as they could be.
    """
    until = monotonic() + seconds
    opened = 0

    async def one() -> None:
        nonlocal opened
        while (left := until - monotonic()) > 0:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(left):
                    opened += 1
                    await _connection(target, chosen, calm)
            await asyncio.sleep(min(AGAIN_S * calm, max(until - monotonic(), 0)))

    await asyncio.gather(*(one() for _ in range(chosen.connections)))
    return opened


async def _connection(target: Target, chosen: Attack, calm: float) -> None:
    """Until the server closes. Raises OSError."""
    loop = asyncio.get_running_loop()
    with closing(socket.socket()) as made:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((ADDRESS, 0))
        await loop.sock_connect(made, ("127.0.0.1", target.port))
        for part in chosen.sends(target):
            await loop.sock_sendall(made, part)
            await asyncio.sleep(chosen.pace_s * calm)
        while not _closed(made):
            await asyncio.sleep(LOOK_S)


def _closed(made: socket.socket) -> bool:
    """Whether the other side has closed, though nothing of what it sent was read."""
    look = select.poll()
    look.register(made, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
    return bool(look.poll(0))


def _huge_heads(_target: Target) -> Iterator[bytes]:
    yield b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Much: "
    for _ in range(24):
        yield b"a" * 60_000


def _many_headers(target: Target) -> Iterator[bytes]:
    """Heads of headers as short as can be: each becomes three objects."""
    head = target.head("GET", "/api/openapi.json", login=False)[:-2] + b"ab:c\r\n" * 5_000
    for _ in range(8):
        yield head + b"\r\n"


def _pipelined(target: Target) -> Iterator[bytes]:
    """The answers are large, and are not read."""
    block = target.head("GET", "/api/openapi.json", login=False) * 700
    for _ in range(40):
        yield block


def _form_fields(target: Target) -> Iterator[bytes]:
    yield target.form("application/x-www-form-urlencoded", f"Content-Length: {300 * 1_000_003}")
    for number in range(300):
        yield b"&%c=" % (97 + number % 26) + b"a" * 1_000_000


def _form_parts(target: Target) -> Iterator[bytes]:
    part = b'--%b\r\nContent-Disposition: form-data; name="a"\r\n\r\n%b\r\n' % (BOUNDARY, b"a" * 1_000_000)
    kind = f"multipart/form-data; boundary={BOUNDARY.decode()}"
    yield target.form(kind, f"Content-Length: {300 * len(part)}")
    for _ in range(300):
        yield part


def _file(target: Target) -> Iterator[bytes]:
    """1.5 GB, which a parser of forms puts into the folder for temporary files."""
    kind = f"multipart/form-data; boundary={BOUNDARY.decode()}"
    yield target.form(kind, "Transfer-Encoding: chunked")
    start = b'--%b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' % BOUNDARY
    yield b"%x\r\n%b\r\n" % (len(start), start)
    chunk = b"%x\r\n%b\r\n" % (1_000_000, b"a" * 1_000_000)
    for _ in range(1_500):
        yield chunk


def _unfinished(target: Target) -> Iterator[bytes]:
    """Bodies as large as the largest call allows, which come nearly to their end and no further."""
    yield target.head("POST", "/api/v1/batch", "Content-Type: application/json", "Content-Length: 4194304")
    for _ in range(16):
        yield b" " * 250_000


def _tiny_chunks(target: Target) -> Iterator[bytes]:
    yield target.head("POST", "/api/v1/batch", "Content-Type: application/json", "Transfer-Encoding: chunked")
    for _ in range(400):
        yield b"1\r\n \r\n" * 2_000


def _compressed(target: Target) -> Iterator[bytes]:
    """Refused unread; the rest of the body comes all the same."""
    yield target.head("POST", "/api/v1/batch", "Content-Encoding: gzip", "Content-Length: 400000000")
    for _ in range(400):
        yield b"\x1f\x8b" * 30_000


def _trailers(target: Target) -> Iterator[bytes]:
    yield target.head("POST", "/api/v1/batch", "Content-Type: application/json", "Transfer-Encoding: chunked")
    yield b"2\r\n{}\r\n0\r\n"
    for _ in range(400):
        yield b"ab:c\r\n" * 3_000


def _answers(target: Target) -> Iterator[bytes]:
    """Lists, exports, documents and files by turns, until the server takes no more requests."""
    paths = (
        "/api/v1/events?limit=200",
        "/api/docs/swagger-ui-dist-5.35.0/swagger-ui-bundle.js",
        "/api/v1/events?limit=200",
        "/api/v1/accounts/user:u0:credits/statement?format=csv",
    )
    heads = b"".join(target.head("GET", path) for path in paths)
    for _ in range(600):
        yield heads


def _last_answers(target: Target) -> Iterator[bytes]:
    """The same where the server is to close after its answer."""
    yield target.head("GET", "/api/openapi.json", "Connection: close", login=False)


def _streams(target: Target) -> Iterator[bytes]:
    yield target.head("GET", "/api/v1/stream")


def _idle(_target: Target) -> Iterator[bytes]:
    yield b""


ATTACKS = {
    "huge heads": Attack("a header that does not end", _huge_heads),
    "many headers": Attack("heads of thousands of headers, in a row", _many_headers),
    "pipelined requests": Attack("requests whose answers are not read", _pipelined),
    "form fields": Attack("300 fields of 1 MB in a form", _form_fields, connections=8),
    "form parts": Attack("the same as parts", _form_parts, connections=8),
    "file": Attack("files of 1.5 GB in a form", _file, connections=2, pace_s=0.02),
    "unfinished bodies": Attack("bodies of 4 MB that stop before their end", _unfinished),
    "tiny chunks": Attack("bodies in chunks of one byte", _tiny_chunks, connections=50, pace_s=1.0),
    "compressed bodies": Attack("bodies that are refused, and come all the same", _compressed, connections=100),
    "trailers": Attack("trailers that do not end", _trailers),
    "unread answers": Attack("lists, files and exports that are not read", _answers),
    "unread last answers": Attack("documents that are not read, and end their connection", _last_answers),
    "unread streams": Attack("live streams that are not read", _streams),
    "idle connections": Attack("connections that send nothing", _idle, connections=1_500),
}
