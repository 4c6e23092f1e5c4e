"""`.` and `..` are no ids, whatever they would name and wherever they stand (contract, "Identity", "Generations")."""

from typing import Any

import jwt
import pytest

from tests.api.service import SECRET, Service

ACCOUNT = "/api/v1/accounts/user:ann:credits"
GIFT = {"amount": 1, "source": "gift"}
CHAT = {"operation": "chat"}
ASK = {**CHAT, "user_id": "ann"}
IN_BODIES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", f"{ACCOUNT}/transfers", {"to": "user:%:credits", "amount": 1}),
    ("POST", f"{ACCOUNT}/transfers", {"to": "user:bob:%", "amount": 1}),
    ("POST", f"{ACCOUNT}/reservations", {"amount": 1, "id": "%"}),
    ("POST", f"{ACCOUNT}/grants", {**GIFT, "external_ref": "%"}),
    ("POST", "/api/v1/purchases", {"package": "credits_1000", "account": "user:%:credits"}),
    ("POST", "/api/v1/generations", {**CHAT, "user_id": "%"}),
    ("POST", "/api/v1/generations", {**ASK, "id": "%"}),
    ("POST", "/api/v1/generations", {**ASK, "parent_id": "%"}),
    ("POST", "/api/v1/generations/check", {**ASK, "model": "%"}),
    ("POST", "/api/v1/generations/check", {**ASK, "provider": "%"}),
    ("POST", "/api/v1/generations/check", {**ASK, "feature": "%"}),
    ("POST", "/api/v1/generations/check", {**ASK, "token_type": "%"}),
    ("POST", "/api/v1/tokens/check-balance", {"action": "check", "feature": "%", "user_id": "ann"}),
    ("POST", "/api/v1/generations/g/confirm", {"contents": [{"id": "%"}]}),
    ("POST", "/api/groups", {"name": "g", "id": "%"}),
    ("POST", "/api/group-members", {"group_id": "g", "user_ids": ["%"]}),
    ("POST", "/api/v1/session-tokens", {"user_id": "%"}),
    ("POST", "/api/v1/batch", {"operations": [{"path": "/api/v1/accounts/user:%:credits/grants", "body": GIFT}]}),
    ("PATCH", "/api/v1/organisations/acme", {"pay_from": ["group:%"]}),
    ("PUT", "/api/v1/prices", {"entries": [{"model": "%", "credits": 1}]}),
    ("PUT", "/api/v1/features", {"features": [], "token_costs": {"%": 1}}),
    ("POST", "/api/v1/organisations", {"id": "%"}),
]
IN_ADDRESSES = [
    ("POST", "/api/v1/accounts/user:%:credits/grants"),
    ("POST", "/api/v1/accounts/user:ann:%/grants"),
    ("GET", "/api/v1/accounts/user:%:credits/balance"),
    ("GET", "/api/v1/budgets/me?user_id=%"),
    ("GET", "/api/v1/storage/me?user_id=%"),
    ("GET", "/api/groups?user_id=%"),
    ("GET", "/api/v1/generations?user_id=%"),
    ("GET", "/api/v1/contents?user_id=%"),
    ("GET", "/api/v1/purchases?user_id=%"),
]


def with_dots(value: Any, dots: str) -> Any:
    """The value with `dots` in the place of each `%`."""
    if isinstance(value, dict):
        return {with_dots(name, dots): with_dots(each, dots) for name, each in value.items()}
    if isinstance(value, list):
        return [with_dots(each, dots) for each in value]
    return value.replace("%", dots) if isinstance(value, str) else value


@pytest.mark.parametrize(("method", "path", "body"), IN_BODIES)
def test_no_id_in_a_body(service: Service, method: str, path: str, body: dict[str, Any]) -> None:
    client = service.client("admin")
    for dots in (".", ".."):
        answer = client.request(method, path, json=with_dots(body, dots))
        told = answer.json()
        if path.endswith("batch"):
            told = told["results"][0]["body"]
        assert (told.get("status"), told.get("code")) in {(422, "invalid_value"), (422, "invalid_setting")}, answer.text


@pytest.mark.parametrize(("method", "path"), IN_ADDRESSES)
def test_no_id_in_an_address(service: Service, method: str, path: str) -> None:
    client = service.client()
    for dots in (".", ".."):
        answer = client.request(method, path.replace("%", dots), json=GIFT if method == "POST" else None)
        assert answer.status_code == 422, answer.text


def test_no_id_in_a_tokens_claims(service: Service) -> None:
    for claims in ({"sub": ".."}, {"org": ".."}, {"sub": "."}, {"org": "."}):
        token = jwt.encode({"sub": "a", "org": "acme", "role": "user", "exp": 2**33} | claims, SECRET)
        answer = service.client(None, Authorization=f"Bearer {token}").get("/api/auth/me")
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    foreign = service.client("admin", **{"Scrip-Organisation": ".."}).get("/api/auth/me")
    assert foreign.status_code == 422


@pytest.mark.parametrize("zone", ["localtime", "right/UTC", "posix/Europe/Berlin", "posixrules", "Factory", "utc"])
def test_a_time_zone_is_one_that_every_client_knows(service: Service, zone: str) -> None:
    answer = service.client().patch("/api/v1/organisations/acme", json={"time_zone": zone})
    assert (answer.status_code, answer.json()["field"]) == (422, "time_zone"), answer.text
