"""Light HTTP clients for benchmarks, which cost less than the server: closed loops, and an open loop by a schedule."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from time import monotonic
from typing import NamedTuple, Self, cast

import msgspec

from infra.ids import record_id

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


class Connection(asyncio.Protocol):
    """One connection, for one request at a time. Without streams, which would cost as much as half of the server."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None  # what is waited for
        self._received = b""
        self._length = 0  # of the whole answer, 0 while its head is not there yet
        self._body = 0  # where its body begins

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        """Raises OSError."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer. Raises ConnectionError; RuntimeError for an answer without a length."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    async def post(self, token: str, path: str, body: bytes) -> tuple[int, bytes]:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        typed = f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return await self.ask(typed.encode() + body)

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._length:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._received[:end].lower()
            at = head.find(b"content-length:")
            if at < 0:
                self._fail(RuntimeError(f"an answer without a length: {head[:200]!r}"))
                return
            self._length = end + 4 + int(head[at + 15 :].partition(b"\r\n")[0])
            self._body = end + 4
        if len(self._received) >= self._length:
            whole, self._received, self._length = self._received, b"", 0
            if self._answer is not None and not self._answer.done():
                self._answer.set_result((int(whole[9:12]), whole[self._body :]))

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(error or ConnectionError("the server has closed the connection"))

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


async def _client(host: str, port: int, token: str, choose: Next, until: float, answered: Answered) -> None:
    connection = await Connection.open(host, port)
    answer = b""
    try:
        while (started := monotonic()) < until:
            status, answer = await connection.post(token, *choose(answer))
            answered.seconds.append(monotonic() - started)
            answered.statuses[status] = answered.statuses.get(status, 0) + 1
    finally:
        connection.close()


CONNECTIONS = 64  # a request that finds none free waits for one, and the wait counts
DENIALS = (b'"can_proceed":false', b'"allowed":false')  # answers of 200 that say no


class Ask(NamedTuple):
    """One request, ready to be sent, of a class whose times are kept together; `then` gets the body of its answer."""

    kind: str
    sent: bytes
    then: Callable[[bytes], object] = lambda _answer: None


@dataclass(slots=True)
class Timed:
    """Seconds from a request's schedule to its answer by class, and what went wrong, in words.

    `late`: seconds by which the client itself sent a request after its schedule, waits for a connection included.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    late: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def request(method: str, path: str, token: str, body: bytes = b"", key: str | None = None) -> bytes:
    """The bytes of a request, under an idempotency key where one is given."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    if key is not None:
        head += f"Idempotency-Key: {key}\r\n"
    if method != "GET":
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


async def open_load(port: int, draw: Callable[[], Ask], rate: int, seconds: float) -> Timed:
    """Begin `rate` requests a second on this machine's `port` for so many seconds, and wait for all answers.

    What to send is drawn when it is due. Raises OSError where a connection ends.
    """
    timed = Timed()
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await Connection.open("127.0.0.1", port))

    async def one(ask: Ask, due: float) -> None:
        connection = await free.get()
        timed.late.append(monotonic() - due)
        status, answer = await connection.ask(ask.sent)
        timed.seconds[ask.kind].append(monotonic() - due)
        free.put_nowait(connection)
        if status not in (200, 201) or any(denial in answer for denial in DENIALS):
            timed.failures.append(f"{ask.kind}: {status} {answer[:300].decode(errors='replace')}")
        else:
            ask.then(answer)

    started = monotonic()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(rate * seconds)):
            due = started + number / rate
            await asyncio.sleep(max(0.0, due - monotonic()))
            tasks.create_task(one(draw(), due))
    while not free.empty():
        free.get_nowait().close()
    return timed


def pairs(address: str, body: bytes) -> Next:
    """Reserve, then capture what was reserved, both with `body`; where it was not reserved, reserve again."""
    base = f"/api/v1/accounts/{address}/reservations"
    reserved = False

    def choose(answer: bytes) -> tuple[str, bytes]:
        nonlocal reserved
        id_ = reservation_id(answer) if reserved else ""
        reserved = not id_
        return (f"{base}/{id_}/capture" if id_ else base), body

    return choose


def reservation_id(answer: bytes) -> str:
    """The id in the answer to a reservation, empty where it has none."""
    return str(msgspec.json.decode(answer).get("reservation_id", "")) if answer else ""


def batch_of_pairs(users: Sequence[str], operations: int, **more: object) -> bytes:
    """The body of a batch: reserve and capture for one user after the other. `more`: further fields of the body."""
    listed: list[dict[str, object]] = []
    for user in islice(cycle(users), operations // 2):
        base, id_ = f"/api/v1/accounts/user:{user}:credits/reservations", record_id("r")
        listed.append({"path": base, "body": {"id": id_, "amount": 1}, "idempotency_key": record_id()})
        listed.append({"path": f"{base}/{id_}/capture", "body": {}, "idempotency_key": record_id()})
    return msgspec.json.encode({"operations": listed, **more})
