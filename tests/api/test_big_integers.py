"""Whole numbers that JavaScript cannot hold travel as strings for those who ask, in every answer."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.http.edge import as_preferred, with_strings
from api.http.fields import MOST_EXACT
from domain.credits.commands import Grant
from infra.writer.submission import Submission
from tests.api.live.listening import Stream
from tests.api.service import ORG, Service, address
from tests.waiting import patient

ASKED = {"Prefer": "big-integers=string"}
WHOLE = 2**53 + 1


def big(value: Any) -> Any:
    """What a value is for those who ask."""
    if isinstance(value, dict):
        return {name: big(each) for name, each in value.items()}
    if isinstance(value, list):
        return [big(each) for each in value]
    return str(value) if type(value) is int and abs(value) > MOST_EXACT else value


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(['"', '\\"', "\\", "9" * 20, '\\\\"9'])
NUMBERS = st.integers(-(2**70), 2**70) | st.sampled_from([MOST_EXACT, MOST_EXACT + 1, -MOST_EXACT - 1, 0])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, st.booleans())
@settings(max_examples=200, derandomize=True, deadline=None)
def test_only_big_whole_numbers_change(value: Any, ascii_: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_).encode()
    assert json.loads(with_strings(body)) == big(value)
    if big(value) == value:
        assert with_strings(body) == body


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("big-integers=string", True),
        ('respond-async, Big-Integers = "string"', True),
        ("wait=5,big-integers=string;x=y", True),
        ("big-integers=number", False),
        ("big-integers=strings", False),
        ("big-integers", False),
        ("", False),
        ("return=minimal", False),
    ],
)
def test_how_it_is_asked_for(service: Service, prefer: str, applied: bool) -> None:
    answer = service.client("user").get("/api/auth/me", headers={"Prefer": prefer})
    assert answer.status_code == 200
    assert (answer.headers.get("preference-applied") == "big-integers=string") is applied
    assert answer.headers.get_list("vary", split_commas=True) == ["Prefer"]


@pytest.mark.parametrize(
    ("role", "path", "status"),
    [
        ("user", "/api/auth/me", 200),
        (None, "/api/auth/me", 401),
        (None, "/api/openapi.json", 200),
        (None, "/livez", 200),
        ("user", "/api/v1/nothing", 404),
        ("user", "/api/v1/accounts/x/balance", 422),
    ],
)
def test_a_cache_is_told_that_the_form_depends_on_who_asks(
    service: Service, role: str | None, path: str, status: int
) -> None:
    """Also by the answer to who does not ask: a cache would give that one to who does, and the other way round."""
    client = service.client(role)
    for headers in ({}, ASKED):
        for method in ("GET", "HEAD"):
            answer = client.request(method, path, headers=headers)
            assert answer.headers.get_list("vary", split_commas=True) == ["Prefer"], (method, headers)
        assert answer.status_code == status


@pytest.fixture(scope="module")
def rich(service: Service) -> str:
    """The path of an account with more than 2^53 credits, as the sum of many grants may be."""
    account = address()
    command = Grant(address=account, grant_id="g", amount=WHOLE, source="gift")
    service.writer.submit([Submission(org=ORG, command=command, actor="t", caller="t")]).result(patient(20))
    return f"/api/v1/accounts/{account}"


def test_a_big_balance_is_exact_as_a_number_and_as_a_string(service: Service, rich: str) -> None:
    client, whole = service.client(), WHOLE
    plain = client.get(f"{rich}/balance")
    assert f'"available":{whole}'.encode() in plain.content
    assert "preference-applied" not in plain.headers
    asked = client.get(f"{rich}/balance", headers=ASKED)
    assert (asked.json()["available"], asked.json()["granted"]) == (str(whole), str(whole))
    assert asked.json()["reserved"] == 0
    assert int(asked.headers["content-length"]) == len(asked.content)
    assert client.head(f"{rich}/balance", headers=ASKED).headers["content-length"] == str(len(asked.content))


def test_refusals_lists_batches_and_streams_are_answers_too(service: Service, rich: str) -> None:
    client, whole = service.client(), WHOLE
    refused = client.post(f"{rich}/transfers", json={"to": "user:x:tokens", "amount": 1}, headers=ASKED)
    assert (refused.status_code >= 400, refused.headers["preference-applied"]) == (True, "big-integers=string")
    service.project()
    listed = client.get(f"/api/v1/accounts?prefix={rich.rsplit('/', 1)[1]}", headers=ASKED)
    assert str(whole) in {each.get("available") for each in listed.json()["items"]}
    with client.stream("GET", "/api/v1/stream", headers=ASKED) as answer:
        assert answer.headers["preference-applied"] == "big-integers=string"
        blocks = Stream(answer).blocks()
        next(blocks)
        assert client.post(f"{rich}/debits", json={"amount": 5}).status_code == 201
        told = next(line for block in blocks for line in block if line.startswith("data: "))
    assert json.loads(told.removeprefix("data: "))["figures"]["amount"] == 5


def test_a_stream_is_rewritten_line_by_line_however_it_is_cut() -> None:
    large = b"9999999999999999999"
    body = b'retry: 2000\nid: %b\n\nevent: x\ndata: {"a": %b, "b": "%b"}\n\n' % (large, large, large)
    wanted = body.replace(b'"a": %b' % large, b'"a": "%b"' % large)

    async def run(size: int) -> bytes:
        got = b""

        async def send(message: Any) -> None:
            nonlocal got
            got += message.get("body", b"")

        asked = as_preferred(send, b"big-integers=string")
        await asked(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}
        )
        for at in range(0, len(body), size):
            await asked({"type": "http.response.body", "body": body[at : at + size], "more_body": True})
        await asked({"type": "http.response.body", "body": b""})
        return got

    for size in (1, 7, 64, len(body)):
        assert asyncio.run(run(size)) == wanted


def test_no_request_may_carry_a_number_that_javascript_cannot_hold(service: Service) -> None:
    """So no request needs a string in a number's place."""
    described = service.client(None).get("/api/openapi.json").json()
    bodies = [
        content["schema"]
        for methods in described["paths"].values()
        for call in methods.values()
        for content in call.get("requestBody", {}).get("content", {}).values()
    ]
    seen: set[str] = set()
    unbounded: list[str] = []

    def walk(schema: Any, where: str) -> None:
        if isinstance(schema, list):
            for each in schema:
                walk(each, where)
        if not isinstance(schema, dict):
            return
        named = schema.get("$ref", "").rpartition("/")[2]
        if named and named not in seen:
            seen.add(named)
            walk(described["components"]["schemas"][named], named)
        if schema.get("type") == "integer" and not (schema.get("maximum", 2**60) <= MOST_EXACT or "const" in schema):
            unbounded.append(where)
        for name, each in schema.items():
            if isinstance(each, dict | list):
                walk(each, f"{where}.{name}")

    walk(bodies, "")
    assert not unbounded


def test_browsers_of_other_origins_may_ask(module_database: Any) -> None:
    from tests.api.service import running, settings_of

    with running(module_database, settings_of(module_database, allowed_origins="https://app.example")) as service:
        answer = httpx.options(
            f"{service.url}/api/auth/me",
            headers={
                "Origin": "https://app.example",
                "Access-Control-Request-Method": "GET",
                "Access-Control-Request-Headers": "prefer",
            },
        )
        assert "prefer" in answer.headers["access-control-allow-headers"].lower()
