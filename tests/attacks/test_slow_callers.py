"""Callers who are slow, or do nothing, are gone after their time, and others are served meanwhile (attack, entry 6)."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import httpx
import pytest

from api.http.connection import BODY_S, HEAD_S
from api.http.server import allow_open_files
from benchmarks.attacks import Victim, victim
from tests.api.service import settings_of
from tests.conftest import Database
from tests.waiting import patient, wait_until

SLOW = 500
IDLE = 10_000
OF_ONE = 600
SERVED_S = 1.0  # by the contract of the issue, for a caller from another address


@pytest.fixture(scope="module")
def api(module_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """An API process of its own: attackers and server must not share an interpreter."""
    settings = settings_of(module_database, connections=2_000, connections_per_address=OF_ONE)
    with victim(settings, tmp_path_factory.mktemp("api")) as made:
        yield made


class Attackers:
    """Connections from other addresses of this machine than the callers'."""

    def __init__(self, api: Victim) -> None:
        self._port = api.target.port
        self.open: list[socket.socket] = []
        allow_open_files(IDLE + 1_000)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.open:
            each.close()

    def connect(self, address: str, count: int, sent: bytes) -> None:
        for _ in range(count):
            made = socket.socket()
            made.settimeout(patient(20))
            made.bind((address, 0))
            made.connect(("127.0.0.1", self._port))
            if sent:
                made.sendall(sent)
            made.setblocking(False)
            self.open.append(made)

    def left(self) -> int:
        """How many are still open; what was answered is read and thrown away."""
        return sum(not _closed(each) for each in self.open)


def _closed(made: socket.socket) -> bool:
    try:
        while made.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def served(api: Victim) -> float:
    """Seconds that a caller from 127.0.0.1 waits on a connection of their own."""
    before = time.monotonic()
    with httpx.Client(base_url=f"http://127.0.0.1:{api.target.port}", timeout=patient(20)) as client:
        answer = client.get("/api/auth/me", headers={"Authorization": f"Bearer {api.target.token}"})
    assert answer.status_code == 200, answer.text
    return time.monotonic() - before


def test_slow_heads_and_bodies_are_gone_in_time(api: Victim) -> None:
    head = b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Slow: "
    body = api.target.head("POST", "/api/v1/batch", "Content-Type: application/json", "Content-Length: 100") + b"{"
    with Attackers(api) as heads, Attackers(api) as bodies:
        began = time.monotonic()
        heads.connect("127.0.0.2", SLOW, head)
        bodies.connect("127.0.0.3", SLOW, body)
        waits = [served(api)]

        def gone(slow: Attackers) -> bool:
            waits.append(served(api))
            return slow.left() == 0

        assert (heads.left(), bodies.left()) == (SLOW, SLOW), "nobody is cut before their time"
        wait_until(lambda: gone(heads), HEAD_S + 5, "slow heads gone", poll_s=0.5)
        gone_after = time.monotonic() - began
        wait_until(lambda: gone(bodies), BODY_S + 5, "slow bodies gone", poll_s=0.5)
    assert gone_after >= HEAD_S - 1
    assert max(waits) < patient(SERVED_S), waits


def test_ten_thousand_idle_connections_keep_nobody_out(api: Victim) -> None:
    """The first of each address are taken and the others turned away; where all places are taken, the oldest go."""
    with Attackers(api) as idle:
        waits = []
        for number in range(20):
            idle.connect(f"127.0.0.{number + 10}", IDLE // 20, b"")
            waits.append(served(api))
        assert len(idle.open) == IDLE
        assert idle.left() <= 2_000
        assert max(waits) < patient(SERVED_S), waits


def test_one_address_has_a_limit(api: Victim) -> None:
    with Attackers(api) as many:
        many.connect("127.0.0.40", OF_ONE, b"")
        transport = httpx.HTTPTransport(local_address="127.0.0.40")
        url = f"http://127.0.0.1:{api.target.port}/livez"
        with httpx.Client(transport=transport, timeout=patient(20)) as client:
            answer = client.post(url, content=b"{}")
            assert (answer.status_code, answer.json()["code"]) == (429, "too_many_connections")
            assert (answer.headers["retry-after"], answer.json()["limit"]) == ("5", OF_ONE)
            assert served(api) < patient(SERVED_S)
            many.open.pop().close()
            wait_until(lambda: client.get(url).status_code == 200, 5, "a place is free again")


def test_behind_a_trusted_proxy_addresses_do_not_count(module_database: Database, tmp_path: Path) -> None:
    """And with few files allowed there are fewer connections, and none that cannot be taken."""
    settings = settings_of(module_database, connections=10_000, connections_per_address=10, trusted_proxy=True)
    with victim(settings, tmp_path / "api", open_files=300) as api, Attackers(api) as many:
        many.connect("127.0.0.1", 400, b"")
        assert served(api) < patient(SERVED_S)
        wait_until(lambda: many.left() <= 150, 5, "those that wait longest make room")
        assert many.left() > 50
        assert served(api) < patient(SERVED_S)
