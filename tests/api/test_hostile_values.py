"""What a stranger or a caller may send, in every place that takes a value: an answer below 500, and the service lives.

Names and values of queries and paths are walked in test_queries.py.
"""

import base64
import hmac
import json
import random
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from itertools import cycle
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.app import ENDPOINTS
from tests.api.service import SECRET, Service, address
from tests.waiting import patient

ME = "/api/auth/me"
DEEP = 3_000
SCALARS: list[Any] = [
    *(None, True, 0, -1, 1.5, 2**53, 2**63, 2**64, -(2**63) - 1, 10**18, 10**400, 1e308, float("inf"), float("nan")),
    *("", "\0", "\ud800", "\u202e", "\x1b[2J", "a" * 20_000, "'; drop table events; --", "../..", "1e999", "{}", "%00"),
]
VALUES = st.recursive(
    st.sampled_from(SCALARS) | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
QUICK = settings(
    max_examples=40, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Caller:
    """A connection on which anything may be sent as it is."""

    def __init__(self, service: Service) -> None:
        self._at = urlsplit(service.url)
        self.login = {"Authorization": f"Bearer {service.token('admin')}"}
        self._connection = HTTPConnection(str(self._at.hostname), self._at.port, timeout=patient(30))

    def status(self, method: str, target: str, body: bytes | None = None, **headers: bytes | str) -> int:
        given: dict[str, bytes | str] = {**self.login}
        given.update((name.replace("_", "-"), value) for name, value in headers.items())
        if body is not None:
            given.setdefault("Content-Type", "application/json")
        self._connection.request(method, target, body, given)
        answer = self._connection.getresponse()
        if "event-stream" in answer.headers.get("content-type", ""):
            self._connection.close()
        else:
            told = answer.read()
            assert answer.status < 500 or answer.status == 503, (target, headers, told)
        return answer.status

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def caller(service: Service) -> Iterator[Caller]:
    made = Caller(service)
    yield made
    made.close()


def part(value: Any) -> str:
    """A part of a token. Half of a surrogate pair, NaN and numbers of any size are sent as JSON writes them."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def signed(head: Any, claims: Any) -> str:
    signing = f"{part(head)}.{part(claims)}"
    made = hmac.digest(SECRET.encode(), signing.encode(), "sha256")
    return f"{signing}.{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}"


@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jku", "jwk", "x"]), VALUES, max_size=5)
    | VALUES
)
@QUICK
def test_a_tokens_head_may_be_anything(caller: Caller, head: Any) -> None:
    assert caller.status("GET", ME, Authorization=f"Bearer {signed(head, {})}") in {401, 431}
    if isinstance(head, dict):
        told = signed({**head, "alg": "HS256"}, {"exp": time.time() + 60})
        assert caller.status("GET", ME, Authorization=f"Bearer {told}") in {401, 431}


CLAIMS = ["exp", "nbf", "iat", "sub", "org", "role", "iss", "aud", "jti"]


@given(st.dictionaries(st.sampled_from(CLAIMS), VALUES, max_size=4) | VALUES)
@QUICK
def test_the_claims_of_a_signed_token_may_be_anything(caller: Caller, claims: Any) -> None:
    """A provider's signature says who wrote them, not that they make sense."""
    good = {"exp": int(time.time()) + 60, "sub": "u_1", "org": "acme", "role": "user"}
    for each in (claims, good | claims if isinstance(claims, dict) else [claims]):
        token = signed({"alg": "HS256"}, each)
        assert caller.status("GET", ME, Authorization=f"Bearer {token}") in {200, 401, 431}


@pytest.mark.parametrize("where", ["head", "claims", "exp", "sub"])
def test_a_token_of_any_depth_and_any_number(caller: Caller, where: str) -> None:
    deep = "[" * DEEP + "]" * DEEP
    head, claims = '{"alg":"HS256"}', '{"exp":9999999999,"sub":"u","org":"o","role":"user"}'
    for value in (deep, "9" * 5_000, "1" + "0" * 400, "-1e999", '"' + "\\ud800" * 9 + '"'):
        if where == "head":
            head = f'{{"alg":"HS256","kid":{value}}}'
        else:
            claims = f'{{"exp":9999999999,"org":"o","role":"user","sub":"u","{where}":{value}}}'
        parts = [base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode() for text in (head, claims)]
        made = hmac.digest(SECRET.encode(), ".".join(parts).encode(), "sha256")
        token = ".".join([*parts, base64.urlsafe_b64encode(made).rstrip(b"=").decode()])
        assert caller.status("GET", ME, Authorization=f"Bearer {token}") in {200, 401}


HEADERS = [
    *("Idempotency-Key", "If-Match", "If-None-Match", "Scrip-Organisation", "Accept", "Content-Type", "Prefer"),
    *("Last-Event-ID", "Request-Id", "X-Request-Id", "Cookie", "Origin", "Referer", "Forwarded", "X-Forwarded-Host"),
    *("X-Forwarded-For", "Content-Encoding", "Authorization", "Accept-Language", "Range", "X-HTTP-Method-Override"),
]
BYTES = [
    b"",
    b"\xff\xfe",
    b"\x80" * 300,
    b'"' * 99,
    b"," * 99,
    b"=;" * 99,
    b"a" * 9_000,
    b"%00",
    b"*",
    b"Bearer scrip_",
    b"9" * 500,
    b"[" * 500,
    b"\xe2\x80\xae",
    b"\t\x0b",
]


@pytest.mark.parametrize("name", HEADERS)
def test_any_header_may_be_anything(caller: Caller, name: str) -> None:
    account = f"/api/v1/accounts/{address()}"
    calls = [
        ("GET", ME, None),
        ("GET", "/api/v1/events", None),
        ("GET", "/livez", None),
        ("POST", f"{account}/grants", b'{"amount": 1, "source": "gift"}'),
        ("POST", "/api/v1/quotes", b'{"operation": "chat"}'),
        ("POST", "/api/v1/stream/tickets", b"{}"),
        ("GET", "/no/such/page", None),
    ]
    order = cycle(calls)
    for value in BYTES:
        for method, path, body in (next(order), next(order)):
            caller.status(method, path, body, **{name: value})


BODIES = [
    *(b"", b"null", b"[]", b'""', b"0", b"true", b"{", b"\xff", b"\x00", b"{}" * 2, b'{"a":1,"a":2}', b'{"\\u0000":1}'),
    *(
        b'{"\\ud800":1}',
        b"NaN",
        b"[" * DEEP,
        b"[" * DEEP + b"]" * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b"1" * 5_000,
    ),
    b'{"a":' + b"9" * 5_000 + b"}",
]


def writes() -> list[tuple[str, str]]:
    """Method and path of every call that takes a body."""
    found = [
        (each.method, each.path_format.format(**dict.fromkeys(each.convertors, "user:nobody:credits")))
        for each in ENDPOINTS
        if each.method in {"POST", "PUT", "PATCH", "DELETE"}
    ]
    assert len(found) > 50
    return found


def test_any_body_may_be_anything(service: Service, caller: Caller) -> None:
    order = cycle(BODIES)
    for method, path in writes():
        for _ in range(2):
            caller.status(method, path, next(order))


def test_any_field_may_be_anything(service: Service, caller: Caller) -> None:
    """Each field that a body may have, with some of the values in turn, beside others that are as odd."""
    paths = service.client(None).get("/api/openapi.json").json()
    schemas, rng = paths["components"]["schemas"], random.Random(13)
    tried = 0
    for path, methods in paths["paths"].items():
        for method, call in methods.items():
            content = call.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            fields = schemas.get(content.get("$ref", "").rpartition("/")[2], {}).get("properties", {})
            target = path
            for name in [each["name"] for each in call.get("parameters", []) if each["in"] == "path"]:
                target = target.replace(f"{{{name}}}", "user:nobody:credits")
            for field in fields:
                odd = rng.choice(SCALARS)
                value = rng.choice([odd, odd, [odd] * 3, {"a": odd, "\0": 1}])
                body = {field: value, **{other: rng.choice(SCALARS) for other in fields if rng.random() < 0.3}}
                caller.status(method.upper(), target, json.dumps(body).encode())
                tried += 1
    assert tried > 150
    assert service.client().get(ME).status_code == 200
