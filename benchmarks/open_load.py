"""An open loop: requests begin by a schedule, whatever became of earlier ones, and are timed from their schedule.

A closed loop would begin fewer requests while the server is slow and so never see how long they would have waited.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

from benchmarks.http_load import Connection

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
