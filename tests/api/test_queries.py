"""What a query or path may be, walked over all calls of the OpenAPI document: never a fault of ours, never ignored."""

import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from itertools import cycle
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from tests.api.service import Service

NUL, UNREADABLE = "%00", ("a%00b", "%1B", "%C2%85", "%ff", "%ED%A0%80", "%zz", "%")
IN_PATHS = {"address": "user:ann:credits", "position": "0000000000000001", "provider": "signed"}
OPEN = {"/livez", "/readyz", "/health", "/metrics"}


class Wire:
    """Sends what a client library would put right before it is sent."""

    def __init__(self, service: Service) -> None:
        self._at = urlsplit(service.url)
        self._headers = {"Authorization": f"Bearer {service.token('admin')}", "Content-Type": "application/json"}
        self._connection = HTTPConnection(str(self._at.hostname), self._at.port, timeout=20)

    def ask(self, method: str, target: str) -> tuple[int, dict[str, Any]]:
        """Status and problem; an answer that has no end is not read."""
        self._connection.request(method, target, body=None if method == "GET" else "{}", headers=self._headers)
        answer = self._connection.getresponse()
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            self._connection.close()
            return answer.status, {}
        body = answer.read()
        problem = answer.headers.get("content-type") == "application/problem+json"
        return answer.status, msgspec.json.decode(body) if problem else {}

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def wire(service: Service) -> Iterator[Wire]:
    made = Wire(service)
    yield made
    made.close()


@pytest.fixture(scope="module")
def calls(service: Service) -> list[tuple[str, str, list[str], list[str]]]:
    """Method, path, names in the path, names in the query of every call."""
    paths = service.client(None).get("/api/openapi.json").json()["paths"]
    found = []
    for path, methods in paths.items():
        for method, call in methods.items():
            named = call.get("parameters", [])
            in_path, in_query = ([each["name"] for each in named if each["in"] == where] for where in ("path", "query"))
            found.append((method.upper(), path, in_path, in_query))
    assert len(found) > 100
    return found


def filled(path: str, **changed: str) -> str:
    for part in path.split("/"):
        if part.startswith("{"):
            name = part[1:-1]
            path = path.replace(part, changed.get(name) or IN_PATHS.get(name, "one"))
    return path


def test_what_cannot_be_read_is_refused_in_every_parameter_of_every_call(
    wire: Wire, calls: list[tuple[str, str, list[str], list[str]]]
) -> None:
    """Each parameter is tried with NUL, and with one of the other values in turn."""
    wrong = []
    others = cycle(UNREADABLE)
    for method, path, in_path, in_query in calls:
        for name in in_query:
            for bad in (NUL, next(others)):
                status, told = wire.ask(method, f"{filled(path)}?{name}={bad}")
                if status != 422 or not told.get("detail"):
                    wrong.append((method, path, name, bad, status))
        for name in in_path:
            for bad in (NUL, next(others)):
                status, _ = wire.ask(method, filled(path, **{name: bad}))
                if not 400 <= status < 500:
                    wrong.append((method, path, name, bad, status))
    assert wrong == []


def test_a_name_that_is_unknown_or_there_twice_is_refused_by_every_call(
    wire: Wire, calls: list[tuple[str, str, list[str], list[str]]]
) -> None:
    wrong = []
    for method, path, _, in_query in calls:
        if path in OPEN or "/payments/" in path or path.startswith("/api/docs") or path.endswith("api.json"):
            continue
        status, told = wire.ask(method, f"{filled(path)}?nonsense=1")
        if (status, told.get("code"), told.get("field")) != (422, "unknown_parameter", "nonsense"):
            wrong.append((method, path, "nonsense", status))
        for name in in_query:
            if name == "ticket":
                continue  # beside a login it is 400, see tests/api/live
            status, told = wire.ask(method, f"{filled(path)}?{name}=1&{name}=1")
            if (status, told.get("field")) != (422, name):
                wrong.append((method, path, name, status))
    assert wrong == []


def test_an_empty_value_is_no_filter_that_matches_nothing(
    wire: Wire, calls: list[tuple[str, str, list[str], list[str]]]
) -> None:
    wrong = []
    for method, path, _, in_query in calls:
        for name in in_query:
            if name not in {"cursor", "ids", "prefix", "q", "ticket"}:
                status, told = wire.ask(method, f"{filled(path)}?{name}=")
                if (status, told.get("field")) != (422, name):
                    wrong.append((method, path, name, status, told))
    assert wrong == []


def test_the_nearest_name_is_told(service: Service) -> None:
    client = service.client()
    for path, asked, meant in (
        ("/api/v1/analytics", "groupby", "group_by"),
        ("/api/v1/analytics", "groupBy", "group_by"),
        ("/api/v1/generations", "userid", "user_id"),
        ("/api/v1/generations", "page_size", None),
    ):
        answer = client.get(path, params={asked: "user"})
        told = answer.json()
        assert (answer.status_code, told["code"], told.get("nearest")) == (422, "unknown_parameter", meant)
        assert (meant or "It takes: cursor") in told["detail"]
    assert "It takes none." in client.post("/api/groups?a=1", json={}).json()["detail"]


def test_a_plus_in_a_query_is_a_space_and_says_so(service: Service) -> None:
    client = service.client()
    for path in ("generations?user_id=a+b", "storage/me?user_id=a+b", "events?stream=budget/a+b"):
        answer = client.get(f"/api/v1/{path}")
        assert (answer.status_code, answer.json()["field"]) in {(422, "user_id"), (422, "stream")}
        assert "%2B" in answer.json()["detail"]
        assert client.get(f"/api/v1/{path}".replace("+", "%2B")).status_code == 200


def test_any_read_takes_min_position(wire: Wire, calls: list[tuple[str, str, list[str], list[str]]]) -> None:
    """The contract, "Position"."""
    without = [
        path
        for method, path, _, in_query in calls
        if method == "GET" and path.startswith("/api/v1/") and "min_position" not in in_query
    ]
    assert without == ["/api/v1/stream"]
    assert wire.ask("POST", "/api/v1/generations/check?min_position=0000000000000001")[1]["code"] == "missing_field"


@pytest.mark.parametrize(
    "header",
    [
        *(b"Authorization: Bearer \xff\xfe", b"Idempotency-Key: \xff", b"Scrip-Organisation: \xff", b"If-Match: \xff"),
        *(b"Content-Type: \xff", b"Last-Event-ID: \xff", b"Request-Id: \xff", b"Content-Encoding: \xff"),
    ],
)
def test_a_header_in_no_character_set_is_no_fault_of_ours(service: Service, header: bytes) -> None:
    at = urlsplit(service.url)
    login = b"" if header.startswith(b"Auth") else b"Authorization: Bearer " + service.token("admin").encode() + b"\r\n"
    for target in (b"PATCH /api/v1/accounts/user:ann:credits", b"POST /api/groups", b"GET /api/v1/stream?types=%00"):
        head = target + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n"
        with socket.create_connection((str(at.hostname), at.port), timeout=10) as connection:
            connection.sendall(head + login + header + b"\r\n\r\n{}")
            status = int(connection.recv(4_096).split(b" ", 2)[1])
        assert 400 <= status < 500, (target, header)
