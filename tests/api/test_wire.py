"""Nothing is executed that was not read whole: requests as bytes, and the clients and proxies that send them."""

import asyncio
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from api.http import connection
from api.http.caller import read_head
from api.http.edge import Edge
from api.http.endpoint import receive_body
from api.http.metrics import Metrics
from tests.api.service import Service
from tests.api.wire import Answer, Reservation, Wire, request

BODY = b'{"amount": 10, "final": false}'
LENGTH = f"Content-Length: {len(BODY)}"
JSON = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"
H2C = (
    "Connection: Upgrade, HTTP2-Settings",
    "Upgrade: h2c",
    "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
)
CHUNKS = b"%x\r\n%b\r\n%x;of=two\r\n%b\r\n0\r\n" % (4, BODY[:4], len(BODY) - 4, BODY[4:])

WHOLE: dict[str, tuple[tuple[str, ...], tuple[bytes, ...]]] = {
    "plain": ((LENGTH,), (BODY,)),
    "plain, in segments": ((LENGTH,), (b"", BODY[:9], BODY[9:])),
    "chunked": ((CHUNKED,), (CHUNKS + b"\r\n",)),
    "chunked, in segments": ((CHUNKED,), (b"", CHUNKS[:3], CHUNKS[3:20], CHUNKS[20:], b"\r\n")),
    "chunked, with trailers": ((CHUNKED,), (CHUNKS + b"Connection: upgrade\r\nUpgrade: h2c\r\nX-A: b\r\n\r\n",)),
    "h2c": ((*H2C, LENGTH, JSON), (BODY,)),
    "h2c, in segments": ((*H2C, LENGTH, JSON), (b"", BODY[:9], BODY[9:])),
    "h2c, chunked": ((*H2C, CHUNKED), (CHUNKS, b"\r\n")),
    "h2c, keep-alive": (("Connection: keep-alive, Upgrade", "Upgrade: h2c", LENGTH), (BODY,)),
    "websocket": (("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", LENGTH), (b"", BODY)),
    "spaces behind": ((f"{LENGTH} \t", f"{JSON} "), (BODY,)),
    "chunked, spaces behind": (("Transfer-Encoding: chunked ",), (CHUNKS + b"\r\n",)),
    "TLS": (("Connection: Upgrade", "Upgrade: TLS/1.2", LENGTH), (BODY,)),
}


@pytest.mark.parametrize("way", WHOLE)
def test_what_was_asked_is_charged(service: Service, way: str) -> None:
    lines, (first, *rest) = WHOLE[way]
    held = Reservation(service)
    with Wire(service) as wire:
        for charged in (10, 20):  # the connection serves the next one too
            key = f"Idempotency-Key: {held.account}:{charged} "
            wire.send(request(service, held.capture, *lines, *[key] * ("spaces" in way)) + first, *rest)
            answer = wire.answer()
            assert answer is not None
            assert answer.status == 200, answer.body
            assert held.debited() == charged


def test_a_body_is_read_to_its_end_byte_by_byte(service: Service) -> None:
    held = Reservation(service)
    whole = request(service, held.capture, *H2C, LENGTH) + BODY
    with Wire(service) as wire:
        for each in range(len(whole)):
            wire.send(whole[each : each + 1])
        answer = wire.answer()
    assert (answer and answer.status, held.debited()) == (200, 10)


def test_pipelined_upgrades_are_answered_in_order(service: Service) -> None:
    held = Reservation(service)
    one = request(service, held.capture, *H2C, LENGTH) + BODY
    with Wire(service) as wire:
        wire.send(one + one + request(service, f"{held.account}/balance", *H2C, method="GET") + one[:30], one[30:])
        bodies = [_answered(wire, 200).json() for _ in range(4)]
    assert [body.get("debited") for body in bodies] == [None, None, 20, None]
    assert held.debited() == 30


@pytest.mark.parametrize("offer", [(), H2C])
def test_a_body_that_waits_for_100_continue(service: Service, offer: tuple[str, ...]) -> None:
    held = Reservation(service)
    with Wire(service) as wire:
        wire.send(request(service, held.capture, *offer, LENGTH, "Expect: 100-continue"))
        _answered(wire, 100)
        wire.send(BODY)
        _answered(wire, 200)
    assert held.debited() == 10


@pytest.mark.parametrize(("target", "version"), [("{}", "1.0"), ("http://scrip{}", "1.1")])
def test_old_and_absolute_forms(service: Service, target: str, version: str) -> None:
    held = Reservation(service)
    with Wire(service) as wire:
        wire.send(request(service, target.format(held.capture), LENGTH, version=version) + BODY)
        _answered(wire, 200)
    assert held.debited() == 10


def chunked(*rest: bytes, lines: tuple[str, ...] = (CHUNKED,)) -> tuple[tuple[str, ...], tuple[bytes, ...]]:
    return lines, rest


DATA = b"%x\r\n%b\r\n" % (len(BODY), BODY)
# How it is sent, and the status and code of the answer; none where the client has gone.
BROKEN: dict[str, tuple[tuple[tuple[str, ...], tuple[bytes, ...]], tuple[int, str] | None]] = {
    "no length": (((), (BODY,)), (400, "malformed_request")),
    "no length, then the body": (((), (b"", BODY)), (400, "body_missing")),
    "no length, JSON, then the body": (((JSON,), (b"", BODY)), (400, "body_missing")),
    "no length, closing": ((("Connection: close",), (BODY,)), (400, "malformed_request")),
    "JSON of no bytes": (((JSON, "Content-Length: 0"), (b"",)), (400, "body_missing")),
    "chunked, of no bytes": (chunked(b"0\r\n\r\n"), (400, "body_missing")),
    "h2c, JSON, no bytes": (((*H2C, JSON, "Content-Length: 0"), (b"",)), (400, "body_missing")),
    "too short a length": ((("Content-Length: 2",), (b"{}" + BODY,)), (400, "malformed_request")),
    "h2c, too short a length": (((*H2C, "Content-Length: 2"), (b"{}" + BODY,)), (400, "malformed_request")),
    "a line behind": (((LENGTH,), (BODY + b"and more\r\n\r\n",)), (400, "malformed_request")),
    "too long a length": ((("Content-Length: 31",), (BODY,)), None),
    "h2c, too long a length": (((*H2C, "Content-Length: 31"), (b"", BODY)), None),
    "h2c, no body": (((*H2C, LENGTH), (b"",)), None),
    "no last chunk": (chunked(DATA), None),
    "no end of the trailers": (chunked(DATA + b"0\r\nX-A: b\r\n"), None),
    "a chunk that is longer": (chunked(b"1e\r\n" + BODY + b"  \r\n0\r\n\r\n"), (400, "malformed_request")),
    "a chunk that is longer, later": (chunked(b"", b"1e\r\n" + BODY + b"  \r\n"), (400, "malformed_request")),
    "a size that overflows": (chunked(b"1000000000000001e\r\n" + BODY + b"\r\n0\r\n\r\n"), (400, "malformed_request")),
    "a size with 0x": (chunked(b"0x1e\r\n" + BODY + b"\r\n0\r\n\r\n"), (400, "malformed_request")),
    "a size with a space": (chunked(b"1e \r\n" + BODY + b"\r\n0\r\n\r\n"), (400, "malformed_request")),
    "a bare LF after a size": (chunked(b"1e\n" + BODY + b"\r\n0\r\n\r\n"), (400, "malformed_request")),
    "a bare LF in an extension": (chunked(b"1e;\n" + BODY + b"\r\n0\r\n\r\n"), (400, "malformed_request")),
    "a length in the trailers": (chunked(DATA + b"0\r\nContent-Length: 2\r\n\r\n"), (400, "malformed_request")),
    "length and chunks": (chunked(b"0\r\n\r\n", lines=(LENGTH, CHUNKED)), (400, "malformed_request")),
    "chunks and length": (chunked(b"0\r\n\r\n", lines=(CHUNKED, LENGTH)), (400, "malformed_request")),
    "chunked twice": (chunked(DATA + b"0\r\n\r\n", lines=(CHUNKED, CHUNKED)), (400, "malformed_request")),
    "gzip, chunked": (
        chunked(DATA + b"0\r\n\r\n", lines=("Transfer-Encoding: gzip, chunked",)),
        (501, "unsupported_transfer_encoding"),
    ),
    "identity": (
        (("Transfer-Encoding: identity", LENGTH), (BODY,)),
        (501, "unsupported_transfer_encoding"),
    ),
    "chunked before a space": (
        chunked(DATA + b"0\r\n\r\n", lines=("Transfer-Encoding : chunked",)),
        (400, "malformed_request"),
    ),
    "two lengths": (((LENGTH, "Content-Length: 2"), (BODY,)), (400, "malformed_request")),
    "a list of lengths": ((("Content-Length: 30, 30",), (BODY,)), (400, "malformed_request")),
    "a length with a sign": ((("Content-Length: +30",), (BODY,)), (400, "malformed_request")),
    "a length before a space": ((("Content-Length : 30",), (BODY,)), (400, "malformed_request")),
    "a folded length": ((("Content-Length:\r\n 30",), (BODY,)), (400, "malformed_request")),
    "a bare LF in the head": ((("X-A: b\n" + LENGTH,), (BODY,)), (400, "malformed_request")),
    "a bare CR in the head": ((("X-A: b\r" + LENGTH,), (BODY,)), (400, "malformed_request")),
    "NUL in the head": ((("X-A: b\0", LENGTH), (BODY,)), (400, "malformed_request")),
    "compressed": (((LENGTH, "Content-Encoding: gzip"), (BODY,)), (415, "unsupported_encoding")),
    "h2c, compressed": (((*H2C, LENGTH, "Content-Encoding: br"), (b"", BODY)), (415, "unsupported_encoding")),
    "a form": (
        ((LENGTH, "Content-Type: application/x-www-form-urlencoded"), (BODY,)),
        (415, "unsupported_media_type"),
    ),
    "UTF-16": ((("Content-Type: application/json; charset=UTF-16", LENGTH), (BODY,)), (415, "unsupported_media_type")),
    "two hosts": ((("Host: other", LENGTH), (BODY,)), (400, "malformed_request")),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_was_not_read_whole_does_not_run(service: Service, how: str) -> None:
    (lines, (first, *rest)), expected = BROKEN[how]
    held = Reservation(service)
    with Wire(service) as wire:
        wire.send(request(service, held.capture, *lines) + first, *rest)
        if expected is None:
            wire.end()
            assert wire.answer() is None
        else:
            _problem(wire, *expected)
    assert held.debited() == 0


@pytest.mark.parametrize("call", ["capture", "release", "refund", "confirm"])
def test_a_call_that_says_how_much_needs_its_body(service: Service, call: str) -> None:
    """An absent body counts where the request says that it has none; where it is only text, it may be absent."""
    client, held = service.client(), Reservation(service)
    if call == "refund":
        path = f"{held.account}/debits/{client.post(held.capture).json()['debit_id']}/refunds"
    elif call == "confirm":
        made = client.post("/api/v1/generations", json={"operation": "chat", "model": "none", "user_id": "u"})
        path = f"/api/v1/generations/{made.json().get('generation_id', 'none')}/confirm"
    else:
        path = f"{held.path}/{call}"
    before = held.debited()
    lost = client.post(path, headers={"Content-Type": "application/json"})
    if call == "release":
        assert lost.status_code == 200, lost.text
        return
    assert (lost.status_code, lost.json()["code"]) == (400, "body_missing")
    assert held.debited() == before
    if call != "confirm":
        assert client.post(path).status_code in {200, 201}


def test_trailers_are_no_headers(service: Service) -> None:
    held = Reservation(service)
    bare = "\r\n".join((f"POST {held.capture} HTTP/1.1", "Host: scrip", CHUNKED, "", "")).encode()
    login = f"Authorization: Bearer {service.token()}\r\nIdempotency-Key: a\r\n\r\n".encode()
    with Wire(service) as wire:
        wire.send(bare + CHUNKS + login)
        _problem(wire, 401, "unauthenticated")
    assert held.debited() == 0


def test_a_request_in_progress_is_answered_before_garbage_behind_it(service: Service) -> None:
    """Its outcome is its own: 400 would say that nothing was done."""
    held = Reservation(service)
    slow = request(service, f"{held.account}/transactions?min_position={'9' * 16}", method="GET")
    with Wire(service) as wire:
        wire.send(slow, b"garbage\r\n\r\n")
        _problem(wire, 503, "not_yet_visible")
        assert wire.answer() is None


def test_a_stream_ends_with_its_connection_though_requests_wait_behind_it(service: Service) -> None:
    live = service.services.live
    with Wire(service) as wire:
        wire.send(request(service, "/api/v1/stream", method="GET"), request(service, "/livez", method="GET"))
        assert _until(lambda: live.streams == 1)
        assert service.client(None).get("/livez").status_code == 200
    assert _until(lambda: live.streams == 0)


LONG = b"a" * 40_000


@pytest.mark.parametrize(
    ("segments", "status"),
    [
        ((b"X-A: %b\r\n\r\n" % LONG[:30_000],), 200),
        ((b"X-A: %b\r\n\r\n" % LONG,), 431),
        ((b"X-A: %b\r\n" % LONG[:300] * 120 + b"\r\n",), 431),
        ((b"X-A: ", LONG, LONG), 431),  # what has no end is not collected
        ((b"X-A: a\r\n" * 100, b"X-A: %b\r\n" % LONG[:20_000], LONG), 431),
        ((b"Upgrade: h2c\r\nConnection: upgrade\r\nX-A: %b\r\n\r\n" % LONG,), 431),
        ((b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n0\r\nX-A: ", LONG, LONG), 431),
        ((b"Transfer-Encoding: chunked\r\n\r\n", b"1;a=", LONG, LONG), 431),
    ],
)
def test_a_head_has_a_limit(service: Service, segments: tuple[bytes, ...], status: int) -> None:
    """At /api/v1/batch the body of a login is read, so its request still runs when its trailers come."""
    chunked = b"chunked" in segments[0]
    head = request(service, "/api/v1/batch", JSON) if chunked else request(service, "/livez", method="GET")
    with Wire(service) as wire:
        wire.send(head[:-2] + segments[0], *segments[1:])
        answer = _answered(wire, status)
    assert status == 200 or (answer.json()["code"], answer.json()["limit"]) == ("head_too_large", 32_768)


@pytest.mark.parametrize(
    "segments",
    [
        (b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"a:b\r\n" * 127, b"a:b\r\n\r\n"),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\n", b"a:b\r\n" * 200),
        (
            b"POST /livez HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a:b\r\n" * 128,
            b"a:b\r\n" * 9,
        ),
    ],
)
def test_headers_have_a_number(service: Service, segments: tuple[bytes, ...]) -> None:
    """Each costs far more than its four bytes. Trailers count too."""
    with Wire(service) as wire:
        wire.send(*segments)
        answer = wire.answer()
        assert answer is not None
        if answer.status == 405:  # answered before its trailers came
            assert wire.answer() is None
        else:
            assert (answer.status, answer.json()["code"], answer.json()["limit"]) == (431, "too_many_headers", 128)


def test_chunks_may_not_all_be_tiny(service: Service) -> None:
    lines = (CHUNKED, JSON)
    with Wire(service) as wire:
        wire.send(request(service, "/api/v1/batch", *lines) + b"1\r\n \r\n" * 2_000)
        _problem(wire, 400, "malformed_request")


def test_a_target_has_a_limit(service: Service) -> None:
    with Wire(service) as wire:
        wire.send(b"GET /", LONG, LONG)
        _problem(wire, 431, "head_too_large")


@pytest.mark.parametrize(("begun", "before"), [(b"", ()), (b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", (200,))])
def test_a_head_has_its_time(
    service: Service, monkeypatch: pytest.MonkeyPatch, begun: bytes, before: tuple[int, ...]
) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.2)
    with Wire(service) as wire:
        wire.send(begun)
        for status in before:
            _answered(wire, status)
        wire.send(b"GET /livez HTTP/1.1\r\nHo")
        _problem(wire, 408, "request_timeout")
        assert wire.answer() is None


def test_a_body_comes_in_so_many_parts(service: Service) -> None:
    """A chunk of one byte costs as much as a large one."""
    head = b"POST /api/v1/quotes HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with Wire(service) as wire:
        wire.send(head + b"1\r\n \r\n" * 2_000)
        answer = wire.answer()
        assert answer is not None
        assert (answer.status, answer.json()["code"]) == (400, "malformed_request")
    with Wire(service) as wire:
        wire.send(head + b"4\r\n    \r\n" * 2_000 + b"0\r\n\r\n")
        answer = wire.answer()
        assert answer is not None
        assert answer.status == 401


def test_a_body_has_its_time(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BODY_S", 0.2)
    held = Reservation(service)
    with Wire(service) as wire:
        wire.send(request(service, held.capture, LENGTH), BODY[:9])
        _problem(wire, 408, "request_timeout")
        assert wire.answer() is None
    assert held.debited() == 0
    slow = request(service, f"{held.account}/transactions?min_position={'9' * 16}", method="GET")
    with Wire(service) as wire:  # the time of a request that waits for another is not its sender's
        wire.send(slow + request(service, held.capture, LENGTH, "Expect: 100-continue"))
        _problem(wire, 503, "not_yet_visible")
        _answered(wire, 100)
        wire.send(BODY)
        _answered(wire, 200)
    assert held.debited() == 10


def test_old_clients_get_no_100(service: Service) -> None:
    held = Reservation(service)
    with Wire(service) as wire:
        wire.send(request(service, held.capture, LENGTH, "Expect: 100-continue", version="1.0"), BODY)
        _answered(wire, 200)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /livez HTTP/1.1\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET /livez HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET http://a/livez HTTP/1.1\r\n\r\n", 400),
        (b"GET /livez HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET /livez HTTP/1.2\r\nHost: a\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501),
        (b"CONNECT /livez HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"GET /liv\xc3\xa9z HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"get /livez HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"POST /livez HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS to a port without it
        (b"GET /livez HTTP/1.0\r\n\r\n", 200),
        (b"\r\nGET /livez HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 200),
        (b"GET /livez HTTP/1.1\r\nHost: \r\n\r\n", 200),
    ],
)
def test_heads(service: Service, sent: bytes, status: int) -> None:
    with Wire(service) as wire:
        wire.send(sent)
        answer = _answered(wire, status)
        if status == 200:
            return
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert (answer.json()["status"], bool(answer.json()["code"])) == (status, True)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/api/v1/api-keys/none"),
        ("DELETE", "/api/v1/webhooks/none"),
        ("POST", "/api/v1/quarantine/none/retry"),
        ("POST", "/api/v1/payments/none/webhook"),
        ("POST", "/api/v1/batch"),
    ],
)
def test_every_way_in_reads_to_the_end(service: Service, method: str, path: str) -> None:
    """As for commands, so for calls that are none, and take no body: they do not run before it has been read."""
    with Wire(service) as wire:
        head = request(service, path, LENGTH, "Content-Encoding: zstd", method=method, role="admin")
        wire.send(head + BODY)
        _problem(wire, 415, "unsupported_encoding")


@pytest.mark.parametrize(
    ("headers", "parts"),
    [
        ([(b"content-length", b"30")], [b""]),  # what uvicorn made of an upgrade: nothing, and the end
        ([(b"content-length", b"30")], [BODY[:20], b""]),
        ([(b"content-length", b"20")], [BODY]),
        ([(b"transfer-encoding", b"chunked")], [BODY, None]),
        ([(b"content-length", b"30")], [None]),
        ([(b"content-length", b"30"), (b"content-length", b"30")], [BODY]),
        ([(b"content-length", b"30"), (b"transfer-encoding", b"chunked")], [BODY]),
        ([(b"content-length", b"1_0")], [BODY]),
    ],
)
def test_the_edge_counts_whatever_the_server_says(
    headers: list[tuple[bytes, bytes]], parts: list[bytes | None]
) -> None:
    reached, sent = [], []
    coming: list[dict[str, Any]] = [
        {"type": "http.request", "body": part, "more_body": each < len(parts) - 1}
        if part is not None
        else {"type": "http.disconnect"}
        for each, part in enumerate(parts)
    ]

    async def app(scope: Any, receive: Any, _send: Any) -> None:
        reached.append(await receive_body(receive, read_head(scope)))

    async def receive() -> dict[str, Any]:
        return coming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/",
        "headers": [(b"host", b"a"), *headers],
    }
    asyncio.run(Edge(app, Metrics())(scope, receive, send))
    assert (reached, sent[0]["status"]) == ([], 400)


# Real clients and a real proxy


JAVA = """
import java.net.URI;
import java.net.http.*;

public class Capture {
    public static void main(String[] a) throws Exception {
        var client = HttpClient.newHttpClient();  // HTTP/2 where it can, so it offers Upgrade: h2c
        for (int i = 0; i < 2; i++) {
            var request = HttpRequest.newBuilder(URI.create(a[0])).header("Authorization", "Bearer " + a[1])
                .header("Content-Type", "application/json")
                .POST(i == 0 ? HttpRequest.BodyPublishers.ofString(a[2]) : HttpRequest.BodyPublishers.fromPublisher(
                    HttpRequest.BodyPublishers.ofString(a[2])))  // of unknown length: chunked
                .build();
            var answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.statusCode() + " " + answer.body());
        }
    }
}
"""


@pytest.mark.skipif(shutil.which("javac") is None, reason="there is no Java compiler; its bytes are in WHOLE, too")
def test_javas_own_client(service: Service, tmp_path: Path) -> None:
    held, source = Reservation(service), tmp_path / "Capture.java"
    source.write_text(JAVA)
    arguments = [service.url + held.capture, service.token(), BODY.decode()]
    done = subprocess.run(
        ["java", "-Xint", source, *arguments], capture_output=True, text=True, timeout=120, check=True
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["200", "200"], done.stdout
    assert held.debited() == 20


@pytest.mark.parametrize("more", [("--http2",), ("--http2", "-H", CHUNKED), ("--http2", "-H", "Expect: 100-continue")])
def test_curl_with_http2(service: Service, more: tuple[str, ...]) -> None:
    held = Reservation(service)
    assert _curl(service.url + held.capture, service, *more)[0] == "200"
    assert held.debited() == 10


NGINX = """
daemon off; worker_processes 1; pid {at}/pid; error_log {at}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {at}/a; proxy_temp_path {at}/b; fastcgi_temp_path {at}/c; uwsgi_temp_path {at}/d;
  scgi_temp_path {at}/e;
  upstream scrip {{ server {scrip}; keepalive 4; }}
  proxy_http_version 1.1;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://scrip; proxy_set_header Connection ""; proxy_request_buffering off; }}
    location /upgrade/ {{
      proxy_pass http://scrip/; proxy_set_header Connection "upgrade"; proxy_set_header Upgrade $http_upgrade;
    }}
  }}
}}
"""
PROXY = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin")


@contextmanager
def _proxy(service: Service, at: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (at / "conf").write_text(NGINX.format(at=at, port=port, scrip=urlsplit(service.url).netloc))
    with subprocess.Popen([str(PROXY), "-p", at, "-c", at / "conf"], stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=5).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline, (at / "error.log").read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)


@pytest.mark.skipif(PROXY is None, reason="nginx is not installed")
def test_through_a_reverse_proxy(service: Service, tmp_path: Path) -> None:
    """With connections that are kept and bodies that are passed on as they come, and one that passes upgrades on."""
    held = Reservation(service)
    with _proxy(service, tmp_path) as url:
        ways = [(), ("-H", CHUNKED), ("--http2",), ("-H", "Expect: 100-continue")]
        for number, way in enumerate((way for _ in range(2) for way in ways), 1):
            assert _curl(url + held.capture, service, *way)[0] == "200"
            assert held.debited() == 10 * number
        assert _curl(f"{url}/upgrade{held.capture}", service, "--http2")[0] == "200"
        assert held.debited() == 90
        parts = urlsplit(url)
        for lines, rest in (([LENGTH], BODY[:9]), ([CHUNKED], DATA), ([*H2C, LENGTH], b"")):
            with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as cut:
                cut.sendall(request(service, held.capture, *lines) + rest)
        assert _curl(url + held.capture, service)[0] == "200"
        assert held.debited() == 100


def _curl(url: str, service: Service, *more: str) -> tuple[str, ...]:
    login = ("-H", f"Authorization: Bearer {service.token()}", "-H", JSON)
    command = [
        "curl",
        "-sS",
        "-m",
        "30",
        "-w",
        "%{http_code}",
        "-o",
        "/dev/null",
        *login,
        "-d",
        BODY.decode(),
        *more,
        url,
    ]
    return tuple(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split())


def _until(true: Callable[[], bool]) -> bool:
    """Whether it becomes true in ten seconds."""
    deadline = time.monotonic() + 10
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return true()


def _answered(wire: Wire, status: int) -> Answer:
    answer = wire.answer()
    assert answer is not None, "the server has closed"
    assert answer.status == status, answer.body
    return answer


def _problem(wire: Wire, status: int, code: str) -> None:
    answer = _answered(wire, status)
    assert (answer.json()["code"], answer.headers["content-type"]) == (code, "application/problem+json")
