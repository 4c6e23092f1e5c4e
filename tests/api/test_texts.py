"""A text that some store in the chain cannot hold is refused, wherever a call takes one."""

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import httpx
import psycopg
import pytest

from tests.api.role_table import CALLS
from tests.api.service import Service

# NUL; half of a surrogate pair; what separates texts on their way into the log; a control character of Latin-1.
BAD = ("\\u0000", "\\ud800", "\\u001e", "\\u001f", "\\u0085")
BAD_PARTS = ("%00", "%1E", "%1F", "%C2%85", "%ED%A0%80", "x" * 768)
WITH_BODY = [call for call in CALLS if call.partition(" ")[0] in ("POST", "PUT", "PATCH")]
WITH_PLACES = [call for call in CALLS if "{" in call]


@pytest.fixture(autouse=True)
def unchanged(service: Service) -> Iterator[None]:
    """Nothing here writes an event."""

    def events() -> Any:
        with psycopg.connect(service.database.owner_uri) as connection:
            return connection.execute("select count(*) from events").fetchone()

    before = events()
    yield
    assert events() == before


def filled(path: str, id_: str = "some-id") -> str:
    path = path.replace("{address}", "user:u:credits").replace("{position}", "0000000000000001")
    for name in ("{id}", "{name}", "{provider}", "{version}", "{content_id}", "{user_id}", "{unit}", "{model}"):
        path = path.replace(name, id_)
    return path


def send(client: httpx.Client, method: str, path: str, body: str) -> httpx.Response:
    return client.request(method, path, content=body.encode(), headers={"Content-Type": "application/json"})


def test_every_body(service: Service) -> None:
    client = service.client("admin")
    assert len(WITH_BODY) > 50
    for call, bad in zip(WITH_BODY, cycle(BAD), strict=False):
        method, _, path = call.partition(" ")
        answer = send(client, method, filled(path), f'{{"a":[{{"reason":"x{bad}"}}]}}')
        told = answer.json()
        if told["code"] == "not_offered":  # by a process without an intake
            continue
        assert (answer.status_code, told["code"], told["field"]) == (400, "invalid_text", "a.0.reason"), (call, told)


def test_every_kind_of_text(service: Service) -> None:
    client, path = service.client("admin"), "/api/v1/accounts/user:u:credits/grants"
    for bad in BAD:
        for body in (f'{{"reason":"x{bad}"}}', f'{{"x{bad}":1}}', f'{{"metadata":{{"a":["{bad}"]}}}}'):
            answer = send(client, "POST", path, body)
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_text"), (body, answer.text)


def test_every_place_of_a_path(service: Service) -> None:
    client = service.client("admin")
    others = cycle(BAD_PARTS[1:])
    for call in WITH_PLACES:
        method, _, path = call.partition(" ")
        for bad in (BAD_PARTS[0], next(others)):
            whole = path.replace("{address}", f"user:{bad}:credits")
            answer = send(client, method, filled(whole, bad), "{}")
            assert 400 <= answer.status_code < 500, (call, bad, answer.status_code, answer.text)


def test_an_idempotency_key(service: Service) -> None:
    client = service.client("admin")
    for bad in (b"a\x1fb", b"a\x1eb", b"\xff", b"x" * 256):
        answer = client.post(
            "/api/v1/accounts/user:u:credits/grants",
            json={"amount": 1, "source": "gift"},
            headers=[(b"Idempotency-Key", bad)],
        )
        assert answer.status_code == 400, answer.text
