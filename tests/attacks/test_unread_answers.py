"""Answers that are not read, and memory for requests: both have a bound, for one address and for all."""

import asyncio
import errno
import socket
from typing import Any

import pytest

from api.http import connection, server
from api.http.limits import Crowd, Guest, Kind
from api.http.problems import Problem
from api.http.server import Door
from tests.api.conftest import service  # noqa: F401 - one API for this module
from tests.api.service import Service
from tests.api.wire import Wire, request
from tests.waiting import wait_until

MANY = 40


def _deaf(service: Service, heads: bytes) -> socket.socket:  # noqa: F811 - the fixture's value
    host, port = service.url.removeprefix("http://").split(":")
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    made.connect((host, int(port)))
    made.settimeout(20)
    made.sendall(heads)
    return made


def _crowd(service: Service) -> Crowd:  # noqa: F811 - the fixture's value
    crowd = service.services.metrics.crowd
    assert crowd is not None
    return crowd


@pytest.mark.parametrize("lines", [(), ("Connection: close",)])
def test_who_does_not_read_is_cut(
    service: Service,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
    lines: tuple[str, ...],
) -> None:
    """Behind the answer that is not read none is made, however many requests wait."""
    monkeypatch.setattr(connection, "UNREAD_S", 1.0)
    crowd = _crowd(service)
    service.client(None).get("/api/openapi.json")  # made once, which takes a while
    before, cut = crowd.count, crowd.refused["unread"]
    heads = request(service, "/api/openapi.json", *lines, method="GET") * (1 if lines else MANY)
    with _deaf(service, heads):
        # On a busy machine it may be cut before we look.
        wait_until(lambda: crowd.unread > 65_536 or crowd.refused["unread"] > cut, 10, "an answer waits for its reader")
        assert crowd.unread < 3_000_000, "one answer, not forty"
        wait_until(lambda: crowd.count <= before and not crowd.unread, 10, "it is cut")
    assert crowd.refused["unread"] == cut + 1
    wait_until(lambda: not crowd.held, 5, "nothing is held")


def test_who_reads_slowly_is_not_cut(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(connection, "UNREAD_S", 0.5)
    whole = service.client(None).get("/api/openapi.json").content
    with _deaf(service, request(service, "/api/openapi.json", "Connection: close", method="GET")) as slow:
        got = b""
        while more := slow.recv(65_536):
            got += more
    assert got.endswith(whole[-1_000:])


def test_requests_have_a_memory(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Beyond it 503, and all is given back."""
    crowd = _crowd(service)
    wait_until(lambda: not crowd.held, 5, "nothing is held")
    monkeypatch.setattr(crowd, "memory", 200_000)
    head = request(service, "/api/v1/batch", "Content-Type: application/json", "Content-Length: 4000000")
    with Wire(service) as first, Wire(service) as second:
        first.send(head + b" " * 100_000)
        wait_until(lambda: crowd.held > 100_000, 5, "the first is held")
        second.send(head + b" " * 110_000)
        answer = second.answer()
        assert answer is not None
        assert (answer.status, answer.json()["code"], answer.headers["retry-after"]) == (503, "overloaded", "1")
        assert second.answer() is None
        assert service.client().get("/livez").status_code == 200
    wait_until(lambda: not crowd.held, 5, "all is given back")


class _Member:
    """A connection as the crowd sees it."""

    def __init__(self, guest: Guest, since: float | None) -> None:
        self.guest, self.waiting_since, self.gone = guest, since, False

    def give_way(self) -> None:
        self.gone = True

    def kept(self, _kind: Kind) -> int:
        return 0

    def cut(self, _kind: Kind) -> None:
        self.gone = True


def test_who_waits_longest_makes_room_first_of_the_busiest_address() -> None:
    crowd = Crowd(100, 99, 1_000)
    members = [_Member(crowd.enter("10.0.0.1"), float(number)) for number in range(97)]
    members += [_Member(crowd.enter("10.0.0.2"), 0.0), _Member(crowd.enter("10.0.0.2"), None)]
    members.append(_Member(crowd.enter("10.0.0.3"), 0.0))
    crowd.members = members
    crowd.enter("10.0.0.4")
    gone = [number for number, each in enumerate(members) if each.gone]
    assert gone == list(range(64))
    for each in members[:64]:
        crowd.leave(each.guest, gave_way=True)
    crowd.members = [each for each in members if each.waiting_since is None]
    for number in range(63):
        crowd.enter(f"10.1.0.{number}")
    with pytest.raises(Problem) as full:
        crowd.enter("10.0.0.5")
    assert (full.value.status, full.value.headers["Retry-After"]) == (503, "1")


def test_a_network_of_ipv6_is_one_address() -> None:
    crowd = Crowd(100, 2, 1_000)
    crowd.enter("2001:db8::1")
    crowd.enter("2001:db8::ffff:2")
    crowd.enter("2001:db8:0:1::1")
    with pytest.raises(Problem, match="2 connections"):
        crowd.enter("2001:db8::3")
    crowd.enter("::ffff:10.0.0.1")
    crowd.enter("10.0.0.1")
    with pytest.raises(Problem, match="2 connections"):
        crowd.enter("10.0.0.1")


class _Listener:
    """A listening socket for which the process has no file left, several times."""

    def __init__(self, real: socket.socket, fails: int) -> None:
        self._real, self.fails, self.tries = real, fails, 0

    def accept(self) -> Any:
        self.tries += 1
        if self.fails:
            self.fails -= 1
            raise OSError(errno.EMFILE, "too many open files")
        return self._real.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def test_a_process_without_a_file_left_waits_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvloop's own server would have ended for good."""
    monkeypatch.setattr(server, "FULL_S", 0.05)

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as real:
            listener = _Listener(real, 3)
            came = asyncio.Event()

            def protocol(_guest: Guest) -> asyncio.Protocol:
                came.set()
                return asyncio.Protocol()

            opened = Door(listener, Crowd(10, 10, 1_000), protocol)  # type: ignore[arg-type]
            opened.open()
            _, writer = await asyncio.open_connection(*real.getsockname())
            await asyncio.wait_for(came.wait(), 20)
            assert listener.tries < 20, "it does not spin"
            opened.close()
            writer.close()

    asyncio.run(main())


def test_the_body_of_an_answer_does_not_wait_for_the_acknowledgement_of_its_head() -> None:
    """An answer is two writes; the second would wait for 40 ms."""

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            opened = Door(listener, Crowd(10, 10, 1_000), lambda _guest: asyncio.Protocol())
            opened.open()
            opened.close()
            listener.setblocking(True)
            with socket.create_connection(listener.getsockname()), listener.accept()[0] as made:
                assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    asyncio.run(main())
