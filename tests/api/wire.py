"""Requests as bytes on a socket: what a client or a proxy may send and an HTTP library would not."""

import json
import select
import socket
from typing import Any, Self
from urllib.parse import urlsplit

from tests.api.service import Service, address

HELD = 300


class Reservation:
    """A fresh account with 300 of its 1,000 credits reserved."""

    def __init__(self, service: Service) -> None:
        self._client = service.client()
        self.account = f"/api/v1/accounts/{address()}"
        granted = self._client.post(f"{self.account}/grants", json={"amount": 1_000, "source": "gift"})
        assert granted.status_code == 201, granted.text
        made = self._client.post(f"{self.account}/reservations", json={"amount": HELD})
        self.path = f"{self.account}/reservations/{made.json()['reservation_id']}"
        self.capture = f"{self.path}/capture"

    def debited(self) -> int:
        """What was charged so far."""
        return int(self._client.get(f"{self.account}/balance").json()["debited"])


class Answer:
    """One answer: status, headers by lower-case name, and the body."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Wire:
    """A connection. `send` makes each of its arguments a segment of its own."""

    def __init__(self, service: Service, source: str | None = None, room: int | None = None) -> None:
        """`source`: the caller's address. `room`: bytes that its system takes in before they are read, about."""
        parts = urlsplit(service.url)
        self._service = service
        self._socket = socket.socket()
        self._socket.settimeout(20)
        if room is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        if source is not None:
            self._socket.bind((source, 0))
        self._socket.connect((parts.hostname or "", parts.port or 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._in = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._in.close()
        self._socket.close()

    def send(self, *segments: bytes) -> None:
        """The server has read each segment before the next one is sent: it has answered another request since."""
        for number, segment in enumerate(segments):
            if number:
                assert self._service.client(None).get("/livez").status_code == 200
            self._socket.sendall(segment)

    def end(self) -> None:
        """Say that nothing more comes."""
        self._socket.shutdown(socket.SHUT_WR)

    def told(self) -> Answer | None:
        """The next answer, if it has begun to come already."""
        return self.answer() if select.select([self._socket], [], [], 0)[0] else None

    def answer(self, *, head: bool = False) -> Answer | None:
        """The next answer, None where the server has closed. `head`: it has no body, being HEAD's."""
        try:
            first = self._in.readline()
        except ConnectionResetError:
            return None
        if not first:
            return None
        status = int(first.split()[1])
        headers: dict[str, str] = {}
        while (line := self._in.readline().strip()) != b"":
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        bare = head or status in {100, 204, 304}
        return Answer(status, headers, b"" if bare else self._in.read(int(headers["content-length"])))


def request(
    service: Service, path: str, *lines: str, method: str = "POST", version: str = "1.1", role: str = "org_admin"
) -> bytes:
    """A head with a Host, a login and these lines."""
    login = f"Authorization: Bearer {service.token(role)}"
    return "\r\n".join((f"{method} {path} HTTP/{version}", "Host: scrip", login, *lines, "", "")).encode()
