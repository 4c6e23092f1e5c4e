"""What is too large, ambiguous or unstorable is refused with a code, and no event is written."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.api.service import Service, address

GRANT = '"amount":1,"source":"gift"'


def events(service: Service) -> int:
    with psycopg.connect(service.database.owner_uri) as connection:
        row = connection.execute("select count(*) from events").fetchone()
    return int(row[0]) if row else 0


@pytest.fixture
def unchanged(service: Service) -> Iterator[None]:
    """Nothing that the test does writes an event."""
    before = events(service)
    yield
    assert events(service) == before


BAD_BODIES = [
    ("", 422, "missing_field", "amount"),
    ("[]", 422, "invalid_value", None),
    ("null", 422, "invalid_value", None),
    ("{" + GRANT, 400, "malformed_json", None),
    ("{" + GRANT + "} {}", 400, "malformed_json", None),
    ("\ufeff{" + GRANT + "}", 400, "malformed_json", None),
    ('{"amount":1,"amount":2,"source":"gift"}', 400, "duplicate_key", "amount"),
    ("{" + GRANT + ',"metadata":{"a":{"b":1,"b":1}}}', 400, "duplicate_key", "b"),
    ('{"amount":NaN,"source":"gift"}', 400, "malformed_json", None),
    ("{" + GRANT + ',"metadata":{"a":NaN}}', 400, "malformed_json", None),
    ("{" + GRANT + ',"metadata":{"a":Infinity}}', 400, "malformed_json", None),
    ("{" + GRANT + ',"metadata":{"a":-Infinity}}', 400, "malformed_json", None),
    ("{" + GRANT + ',"metadata":{"a":1e400}}', 400, "number_out_of_range", None),
    ("{" + GRANT + ',"metadata":{"a":' + "9" * 30 + "}}", 400, "number_out_of_range", None),
    ('{"amount":' + "9" * 5_000 + ',"source":"gift"}', 400, "number_out_of_range", None),
    ('{"amount":1.0,"source":"gift"}', 422, "invalid_value", "amount"),
    ('{"amount":1e2,"source":"gift"}', 422, "invalid_value", "amount"),
    ('{"amount":true,"source":"gift"}', 422, "invalid_value", "amount"),
    ('{"amount":"1","source":"gift"}', 422, "invalid_value", "amount"),
    ('{"amount":null,"source":"gift"}', 422, "invalid_value", "amount"),
    ('{"amount":0,"source":"gift"}', 422, "invalid_value", "amount"),
    ('{"amount":-1,"source":"gift"}', 422, "invalid_value", "amount"),
    ('{"amount":1000000000001,"source":"gift"}', 422, "invalid_value", "amount"),
    ('{"amount":1,"source":"theft"}', 422, "invalid_value", "source"),
    ('{"amount":1}', 422, "missing_field", "source"),
    ("{" + GRANT + ',"surprise":1}', 422, "unknown_field", "surprise"),
    ("{" + GRANT + ',"priority":true}', 422, "invalid_value", "priority"),
    ("{" + GRANT + ',"priority":1001}', 422, "invalid_value", "priority"),
    ("{" + GRANT + ',"reason":"a\\u0000b"}', 400, "invalid_text", "reason"),
    ("{" + GRANT + ',"reason":"a\\u001bb"}', 400, "invalid_text", "reason"),
    ("{" + GRANT + ',"reason":"a\\u0085b"}', 400, "invalid_text", "reason"),
    ("{" + GRANT + ',"reason":"a\u0085b"}', 400, "invalid_text", "reason"),
    ("{" + GRANT + ',"reason":"a\u007fb"}', 400, "invalid_text", "reason"),
    ("{" + GRANT + ',"reason":"\\ud800"}', 400, "invalid_text", "reason"),
    ("{" + GRANT + ',"metadata":{"\\ud800":1}}', 400, "invalid_text", None),
    ("{" + GRANT + ',"metadata":{"a":["\\u0000"]}}', 400, "invalid_text", "metadata.a.0"),
    ("{" + GRANT + ',"reason":"' + "x" * 2_001 + '"}', 422, "invalid_value", "reason"),
    ("{" + GRANT + ',"metadata":{"a":"' + "x" * 4_096 + '"}}', 422, "invalid_value", "metadata"),
    ("{" + GRANT + ',"metadata":' + '{"a":' * 16 + "1" + "}" * 16 + "}", 400, "too_deep", None),
    ("{" + GRANT + ',"metadata":{"a":' + "[" * 10_000 + "]" * 10_000 + "}}", 400, "too_deep", None),
    ("{" + GRANT + ',"external_ref":"a b"}', 422, "invalid_value", "external_ref"),
    ("{" + GRANT + ',"external_ref":".."}', 422, "invalid_value", "external_ref"),
    ("{" + GRANT + ',"external_ref":"a\\n"}', 422, "invalid_value", "external_ref"),
    ("{" + GRANT + ',"external_ref":"' + "x" * 256 + '"}', 422, "invalid_value", "external_ref"),
    ("{" + GRANT + ',"expires_at":"2031-01-01"}', 422, "invalid_value", "expires_at"),
    ("{" + GRANT + ',"expires_at":"2031-01-01T00:00:00"}', 422, "invalid_value", "expires_at"),
    ("{" + GRANT + ',"expires_at":1930000000}', 422, "invalid_value", "expires_at"),
    ("{" + GRANT + ',"expires_at":"1930000000"}', 422, "invalid_value", "expires_at"),
    ("{" + GRANT + ',"expires_at":"9999-12-31T23:59:59-14:00"}', 422, "invalid_value", "expires_at"),
    ("{" + GRANT + ',"expires_at":"2001-01-01T00:00:00Z"}', 422, "invalid_time", "expires_at"),
    ("{" + GRANT + ',"paid":{"amount":1,"currency":"USD"}}', 422, "invalid_value", "paid.amount"),
    ("{" + GRANT + ',"paid":{"amount":"1.1234567","currency":"USD"}}', 422, "invalid_value", "paid.amount"),
    ("{" + GRANT + ',"paid":{"amount":"1","currency":"usd"}}', 422, "invalid_value", "paid.currency"),
]


@pytest.mark.parametrize(("body", "status", "code", "field"), BAD_BODIES)
def test_bad_bodies(service: Service, unchanged: None, body: str, status: int, code: str, field: str | None) -> None:
    answer = service.client().post(
        f"/api/v1/accounts/{address()}/grants",
        content=body.encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": "bad"},
    )
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem.get("field")) == (status, code, field), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["detail"]


def test_bytes_that_are_no_utf8(service: Service, unchanged: None) -> None:
    answer = service.client().post(
        f"/api/v1/accounts/{address()}/grants", content=b'{"amount":1,"source":"gift","reason":"\xff"}'
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")


def test_the_limit_is_in_the_answer(service: Service, unchanged: None) -> None:
    client, path = service.client(), f"/api/v1/accounts/{address()}/grants"
    assert client.post(path, json={"amount": 10**13, "source": "gift"}).json()["limit"] == 10**12
    assert client.post(path, content=b"x" * 65_537).json()["limit"] == 65_536


def test_a_body_of_64_kib_passes_and_one_more_byte_does_not(service: Service) -> None:
    client, path = service.client(), f"/api/v1/accounts/{address()}/grants"
    body = b'{"amount":1,"source":"gift"}'
    assert client.post(path, content=body.ljust(65_536)).status_code == 201
    answer = client.post(path, content=body.ljust(65_537))
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_a_body_without_a_length_is_counted_while_it_comes(service: Service, unchanged: None) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"amount":1,"source":"gift"}'
        for _ in range(70):
            yield b" " * 1_024

    answer = service.client().post(f"/api/v1/accounts/{address()}/grants", content=pieces())
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_texts_that_are_fine(service: Service) -> None:
    client, account = service.client(), address()
    metadata = {
        "deep": [[[[[[[[[[[[["x"]]]]]]]]]]]]],
        "float": 1.5,
        "big": 10**18 - 1,
        "text": "tab\tline\nä\U0001f600",
    }
    body = {"amount": 1, "source": "gift", "reason": "two\nlines", "metadata": metadata}
    assert client.post(f"/api/v1/accounts/{account}/grants", json=body).status_code == 201
    service.project()
    row = client.get(f"/api/v1/accounts/{account}/grants").json()["items"][0]
    assert (row["reason"], row["metadata"]) == ("two\nlines", metadata)


def test_text_is_never_part_of_a_statement(service: Service) -> None:
    """S1-6: no SQL injection; text is stored, and looked for, as it is."""
    client, text = service.client(), "x'); delete from events; --"
    made = client.post("/api/groups", json={"name": text, "description": text})
    assert made.status_code == 201, made.text
    before = events(service)
    assert client.get(f"/api/groups/{made.json()['id']}").json()["name"] == text
    for path, name in (("accounts", "prefix"), ("users", "prefix"), ("events", "actor"), ("generations", "model")):
        answer = client.get(f"/api/v1/{path}", params={name: "' or '1'='1"})
        assert (answer.status_code, answer.json().get("items", [])) in ((200, []), (422, [])), answer.text
    assert events(service) == before


@pytest.mark.parametrize(
    "account",
    [
        "user:u",
        "user::credits",
        ":u:credits",
        "user:u:",
        "user:u%00:credits",
        "user:u%20:credits",
        "user:ü:credits",
        "user:" + "u" * 256 + ":credits",
        "..",
    ],
)
def test_addresses_that_are_none(service: Service, unchanged: None, account: str) -> None:
    for method, rest in (("GET", "/balance"), ("POST", "/debits")):
        answer = service.client().request(
            method, f"/api/v1/accounts/{account}{rest}", json={"amount": 1} if method == "POST" else None
        )
        assert answer.status_code in {404, 422}, answer.text


def test_ids_take_every_character_of_the_contract(service: Service) -> None:
    client = service.client()
    account = "user:A-z.0_9:@|+=~:credits"
    path = "/api/v1/accounts/user%3AA-z.0_9%3A%40%7C%2B%3D~%3Acredits"
    assert client.post(path + "/grants", json={"amount": 100, "source": "gift"}).status_code == 201
    own = "J-b.1_x:@|+=~"
    assert client.post(path + "/reservations", json={"amount": 5, "id": own}).json()["reservation_id"] == own
    taken = client.post(path + "/reservations", json={"amount": 5, "id": own})
    assert (taken.status_code, taken.json()["code"], taken.json()["field"]) == (409, "exists", "id")
    captured = client.post(path + "/reservations/J-b.1_x%3A%40%7C%2B%3D~/capture")
    assert captured.status_code == 200, captured.text
    assert client.get(f"/api/v1/accounts/{account}/balance").json()["debited"] == 5


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/v1/accounts?limit=0", "limit"),
        ("/api/v1/accounts?limit=201", "limit"),
        ("/api/v1/accounts?limit=x", "limit"),
        ("/api/v1/accounts?prefix=%00", "prefix"),
        ("/api/v1/accounts?cursor=x", "cursor"),
        ("/api/v1/accounts?cursor=%C3%A9", "cursor"),
        ("/api/v1/accounts?min_position=7", "min_position"),
        ("/api/v1/events?after=1", "after"),
        ("/api/v1/events?from=yesterday", "from"),
        ("/api/v1/events?from=2030-01-02T00:00:00Z&to=2030-01-01T00:00:00Z", "to"),
        ("/api/v1/events/1", "position"),
        ("/api/v1/accounts/user:u:credits/reservations?status=lost", "status"),
        ("/api/v1/accounts/user:u:credits/balance?known_at=2999-01-01T00:00:00Z", "known_at"),
        ("/api/v1/accounts/user:u:credits/statement?format=doc", "format"),
        ("/api/v1/prices?version=0", "version"),
    ],
)
def test_bad_parameters(service: Service, path: str, field: str) -> None:
    answer = service.client().get(path)
    assert (answer.status_code, answer.json().get("field")) == (422, field), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_media_types_and_encodings(service: Service, unchanged: None) -> None:
    client, path = service.client(), f"/api/v1/accounts/{address()}/grants"
    body = b'{"amount":1,"source":"gift"}'
    for headers in ({"Content-Type": "text/plain"}, {"Content-Encoding": "gzip"}):
        assert client.post(path, content=body, headers=headers).status_code == 415


def test_a_header_given_twice_is_refused(service: Service, unchanged: None) -> None:
    answer = service.client().post(
        f"/api/v1/accounts/{address()}/grants",
        json={"amount": 1, "source": "gift"},
        headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")],
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "duplicate_header")


def test_no_such_path_and_no_such_method(service: Service) -> None:
    client = service.client()
    for method, path, status in (
        ("GET", "/api/v1/nothing", 404),
        ("DELETE", "/api/v1/prices", 405),
        ("GET", "/api/v1/prices/", 404),
    ):
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_a_caller_that_goes_away_changes_nothing(service: Service, unchanged: None) -> None:
    parts = urlsplit(service.url)
    head = (
        f"POST /api/v1/accounts/{address()}/grants HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.token()}\r\n"
        "Content-Length: 28\r\n\r\n"
    )
    with socket.create_connection((parts.hostname or "", parts.port or 0)) as connection:
        connection.sendall(head.encode() + b'{"amount":1,"sou')
    assert service.client().get("/livez").status_code == 200
