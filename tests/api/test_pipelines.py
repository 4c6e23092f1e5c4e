"""Random streams of requests, in random segments: each is run once, in order and with its own body, or not at all."""

import asyncio
import gc
import random
import re
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from api.http import connection
from api.http.caller import read_head
from api.http.connection import COST, MAX_WAITING, PIECE, Connection
from api.http.edge import Edge
from api.http.endpoint import receive_body, send_problem
from api.http.metrics import Metrics
from api.http.problems import Problem

METRICS = Metrics()
OFFERS = (
    (),
    (),
    ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA"),
    ("Upgrade: websocket", "Connection: keep-alive,Upgrade"),
    ("Connection: keep-alive", "Connection: upgrade", "Upgrade: TLS/1.2"),
    ("Connection: Upgrade",),
    ("UPGRADE:h2c", "CONNECTION:,UPGRADE,"),
)
OTHERS = (("X-Empty:",), ("X-Obs: \xe9",), ("X-Spaces: a \t",), ("Expect: 100-continue",), ())
TRAILERS = (
    b"",
    b"",
    b"X-T: 1\r\n",
    b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"X-Empty:\r\nExpect: 100-continue\r\n",
)
GARBAGE = (
    b"garbage\r\n\r\n",
    b'{"amount": 10}',
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc\r\n0\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
)


class Sent(NamedTuple):
    """A request: as it is sent, and what it says."""

    wire: bytes
    method: str
    mode: str
    body: bytes


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.out, self.closed, self.paused, self.gone = bytearray(), False, False, asyncio.Event()
        self.unread, self.aborted = 0, asyncio.Event()

    def write(self, data: Any) -> None:
        if not self.closed:
            self.out += data

    def close(self) -> None:
        self.closed = True
        self.gone.set()

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return self.unread

    def abort(self) -> None:
        self.aborted.set()


def connect(app: Any, keep_alive_s: float = 75) -> tuple[Connection, Transport, ServerState]:
    config = Config(
        app,
        lifespan="off",
        http=Connection,
        ws="none",
        log_config=None,
        timeout_keep_alive=keep_alive_s,  # type: ignore[arg-type]
    )
    state, transport = ServerState(), Transport()
    made = Connection(config, state, {}, asyncio.get_running_loop())
    made.connection_made(transport)
    return made, transport, state


def random_request(rng: random.Random, number: int) -> Sent:
    method = rng.choice(("GET", "HEAD", "POST", "POST", "PUT"))
    mode = rng.choice(("read", "read", "late", "early", "chunks"))
    size = 0 if method in {"GET", "HEAD"} and rng.random() < 0.8 else rng.choice((0, 1, 30, 300))
    body = bytes(rng.choice(b'{"a": 1}\r\nGET / HTTP/1.1\0') for _ in range(size))
    if rng.random() < 0.02:
        body = b"x" * rng.randint(60_000, 65_536)
    framing = rng.choice(("length", "chunked") if body else ("none", "length", "chunked"))
    lines, wire = ["Host: a", *rng.choice(OFFERS), *rng.choice(OTHERS)], body
    if framing == "length":
        lines.append(
            rng.choice(("Content-Length: {}", "content-length:{}", "Content-Length:  00{} ")).format(len(body))
        )
    elif framing == "chunked":
        lines.append(rng.choice(("Transfer-Encoding: chunked", "transfer-encoding:CHUNKED ")))
        wire, left = b"", body
        while left:
            size = rng.randint(1, len(left))
            wire += b"%X%b\r\n%b\r\n" % (size, rng.choice((b"", b';a="b;c"')), left[:size])
            left = left[size:]
        wire += b"0\r\n%b\r\n" % rng.choice(TRAILERS)
    rng.shuffle(lines)
    head = "\r\n".join((f"{method} /{number}/{mode} HTTP/1.1", *lines, "", ""))
    return Sent(rng.choice((b"", b"", b"\r\n")) + head.encode("latin-1") + wire, method, mode, body)


def recording(ran: list[tuple[int, bytes]], rng: random.Random) -> Any:
    """An application that notes the body of what it runs; some answer early, late, or in parts."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        _, number, mode = ("/999/read" if scope["path"] == "/" else scope["path"]).split("/")
        start = {"type": "http.response.start", "status": 200, "headers": [(b"x-number", number.encode())]}
        if mode != "early":
            try:
                body = await receive_body(receive, read_head(scope))
            except Problem as problem:
                await send_problem(send, problem)
                return
            ran.append((int(number), body))
        await _turns(rng.randint(1, 8) if mode == "late" else 0)
        if mode == "chunks":
            await send(start)
            for _ in range(3):
                await send({"type": "http.response.body", "body": b"yy", "more_body": True})
                await _turns(1)
            await send({"type": "http.response.body", "body": b""})
            return
        start["headers"].append((b"content-length", b"2"))  # type: ignore[attr-defined]
        await send(start)
        await send({"type": "http.response.body", "body": b"OK"})

    return Edge(app, METRICS)


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def answers(out: bytes, requests: list[Sent]) -> list[int | None]:
    """The numbers of the requests that were answered; None for an answer of the connection's own."""
    found: list[int | None] = []
    while out:
        head, _, out = out.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 100"):
            continue
        named = re.search(rb"x-number: (\d+)", head)
        found.append(int(named[1]) if named else None)
        length = re.search(rb"content-length: (\d+)", head)
        if named and requests[int(named[1])].method == "HEAD":
            continue
        out = out.partition(b"0\r\n\r\n")[2] if length is None else out[int(length[1]) :]
    return found


async def stream(rng: random.Random) -> None:
    """One case: requests, all of them, cut somewhere or with garbage at a place between two."""
    requests = [random_request(rng, number) for number in range(rng.randint(1, 6))]
    parts = [each.wire for each in requests]
    whole, fault = len(requests), rng.choice(("none", "none", "cut", "garbage"))
    if fault == "garbage":
        whole = rng.randint(0, whole)
        parts.insert(whole, rng.choice(GARBAGE))
    data = b"".join(parts)
    if fault == "cut":
        data = data[: rng.randint(0, len(data) - 1)]
        whole = sum(len(b"".join(parts[: number + 1])) <= len(data) for number in range(whole))
    count = rng.choice((0, 2, 5, 30, len(data) if len(data) < 2_000 else 9))
    cuts = sorted(rng.randint(0, len(data)) for _ in range(count))
    ran: list[tuple[int, bytes]] = []
    made, transport, state = connect(recording(ran, rng))
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        await _until(lambda: not transport.paused or transport.closed)
        if begin < end and not transport.closed:
            made.data_received(data[begin:end])
            await _turns(rng.choice((0, 0, 1, 5, 20)))
    if fault == "cut":
        transport.close()
        made.connection_lost(None)
    await _until(lambda: not state.tasks)
    told = answers(bytes(transport.out), requests)
    answered, numbers = [each for each in told if each is not None], [number for number, _ in ran]
    assert numbers == sorted(set(numbers)), "in order, and once"
    assert all(number < whole for number in numbers), "nothing that was cut"
    assert all(body == requests[number].body for number, body in ran), "each with its own body"
    assert answered == list(range(len(answered))), "answered in order"
    if fault == "none":
        assert (len(told), transport.closed) == (len(requests), False)
        assert made.timeout_keep_alive_task is not None
    elif fault == "garbage":
        assert transport.closed
        assert told.count(None) <= 1
        lost = set(numbers) - set(answered)
        assert all(requests[number].mode == "chunks" for number in lost), "run, and no answer begun"
    if fault != "cut":
        made.connection_lost(None)


async def _until(true: Callable[[], bool]) -> None:
    for _ in range(5_000):
        if true():
            return
        await asyncio.sleep(0)
    raise AssertionError("it hangs")


@pytest.mark.parametrize("seed", range(4))
def test_any_stream_in_any_segments(seed: int) -> None:
    async def main() -> None:
        for number in range(250):
            case = seed * 1_000 + number
            try:
                await stream(random.Random(case))
            except AssertionError as error:
                raise AssertionError(f"case {case}: {error}") from error

    asyncio.run(main())


GET = b"GET /0/read HTTP/1.1\r\nHost: a\r\n\r\n"
EARLY = b"POST /0/early HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"


def test_few_requests_are_read_ahead() -> None:
    """However many arrive in one segment, few become objects, until some are answered; the others stay bytes."""

    async def main() -> None:
        made, transport, state = connect(recording([], random.Random(1)))
        made.data_received(GET * 1_000)
        most = 0
        while state.tasks:
            await asyncio.sleep(0)
            assert transport.paused or len(made.pipeline) <= MAX_WAITING
            most = max(most, len(made.pipeline))
        assert (len(made.pipeline), transport.paused, made.rest) == (0, False, b"")
        assert most <= MAX_WAITING + PIECE // len(GET)
        assert transport.out.count(b"HTTP/1.1 200") == 1_000
        made.connection_lost(None)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("segments", "answered"),
    [((), 0), ((b"\r\n",), 0), ((GET,), 1), ((EARLY + b"{}",), 1), ((EARLY, b"{}"), 1), ((EARLY, b"{", b"}"), 1)],
)
def test_an_idle_connection_is_closed(segments: tuple[bytes, ...], answered: int) -> None:
    async def main() -> None:
        made, transport, state = connect(recording([], random.Random(1)), keep_alive_s=0.05)
        for segment in segments:
            made.data_received(segment)
            await _until(lambda: not state.tasks)
        await asyncio.wait_for(transport.gone.wait(), 10)
        assert transport.out.count(b"HTTP/1.1 ") == transport.out.count(b"HTTP/1.1 200") == answered
        made.connection_lost(None)

    asyncio.run(main())


def test_who_still_reads_when_the_time_is_over_may_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """But not for ever: what is left must become less."""
    monkeypatch.setattr(connection, "UNREAD_S", 0.05)

    async def main() -> None:
        made, transport, state = connect(recording([], random.Random(1)), keep_alive_s=0.05)
        transport.unread = 3 * connection.STEP
        made.data_received(GET)
        await _until(lambda: not state.tasks)
        await asyncio.wait_for(transport.gone.wait(), 10)
        assert not transport.aborted.is_set()
        await asyncio.wait_for(transport.aborted.wait(), 10)
        made.connection_lost(None)

    asyncio.run(main())


def test_the_rest_of_an_answered_request_gets_no_second_answer() -> None:
    async def main() -> None:
        made, transport, state = connect(recording([], random.Random(1)))
        made.data_received(EARLY.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked"))
        await _until(lambda: not state.tasks)
        made.data_received(b"garbage")
        assert (transport.closed, transport.out.count(b"HTTP/1.1 ")) == (True, 1)
        made.connection_lost(None)

    asyncio.run(main())


CUT = EARLY.replace(b"early", b"read") + b"{"


@pytest.mark.parametrize("sent", [b"", GET, GET * 40, GET[:20], CUT, CUT[:-1] + b"{}" + GET * 3, b"garbage\r\n\r\n"])
def test_a_connection_that_has_ended_leaves_nothing_behind(sent: bytes) -> None:
    """What is in a ring waits for the full collection, which is ten minutes away: memory that is not given back."""

    async def main() -> None:
        made, _, state = connect(recording([], random.Random(1)))
        if sent:
            made.data_received(sent)
        await _turns(3)
        made.connection_lost(None)
        await _until(lambda: not state.tasks)
        await _turns(3)
        left = weakref.ref(made)
        del made
        assert left() is None

    gc.collect()
    gc.disable()
    try:
        asyncio.run(main())
    finally:
        gc.enable()


LATE = EARLY.replace(b"early", b"late") + b"{}"


@pytest.mark.parametrize(
    ("sent", "answered", "refused"), [(GET[:20], 0, 1), (CUT, 0, 1), (LATE + CUT, 1, 0), (LATE + GET[:20], 1, 0)]
)
def test_a_connection_that_is_cut_for_others_answers_what_came_whole(sent: bytes, answered: int, refused: int) -> None:
    """And lets go of the rest at once: what is counted must not wait for the transport to close."""

    async def main() -> None:
        ran: list[tuple[int, bytes]] = []
        made, transport, state = connect(recording(ran, random.Random(1)))
        made.data_received(sent)
        kept, before = made.kept("held"), made.crowd.held
        assert kept >= COST
        for _ in range(2):  # who is looked at once more, before it is gone, is told once
            made.cut("held")
            assert (made.kept("held"), made.crowd.held) == (0, before - kept)
        await _until(lambda: not state.tasks)
        assert (len(ran), transport.out.count(b"HTTP/1.1 200"), transport.out.count(b" 503 ")) == (
            answered,
            answered,
            refused,
        )
        assert transport.closed
        made.connection_lost(None)
        assert (made.crowd.held, made.guest.held) == (0, 0)

    asyncio.run(main())
