"""Routes, OpenAPI document and policy name the same operations; whose accounts and things are shown to whom."""

import re

import httpx
import pytest

from api.app import DECLARED, ENDPOINTS, POLICY
from api.http.caller import Call
from api.http.command import Command
from api.http.endpoint import Routes, endpoint
from tests.api.service import Service, address

ROUTES = {each.name: (each.method, each.path) for each in ENDPOINTS}


def call(client: httpx.Client, service: Service, operation: str, account: str, **headers: str) -> httpx.Response:
    method, path = ROUTES[operation]
    path = path.replace("{address}", account).replace("{position}", "0000000000000001").replace("{id}", "some-id")
    return client.request(method, path, headers=headers)


def test_routes_document_and_policy_name_the_same_operations(service: Service) -> None:
    document = service.client(None).get("/api/openapi.json").json()
    documented = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    assert set(ROUTES) == set(POLICY) == documented


def test_an_endpoint_without_a_policy_stops_the_start() -> None:
    async def steal_credits(_call: Call) -> None:
        """Steal credits."""

    with pytest.raises(TypeError, match="may"):
        endpoint("POST /api/v1/steal")(steal_credits)  # type: ignore[call-arg]  # the rule is what is missing


def test_a_call_that_is_declared_twice_stops_the_start() -> None:
    with pytest.raises(ValueError, match="livez"):
        Routes([*ENDPOINTS, next(each for each in ENDPOINTS if each.name == "livez")])


OF_ACCOUNTS = (
    *("read_balance", "list_transactions", "read_statement", "list_grants", "list_reservations"),
    *("read_reservation", "read_debit"),
)


@pytest.mark.parametrize("operation", OF_ACCOUNTS)
def test_a_user_sees_no_account_of_another(service: Service, operation: str) -> None:
    for account in ("user:other:credits", "user:me:x:credits", "org:acme:credits", "group:me:credits"):
        answer = call(service.client("user", sub="me"), service, operation, account)
        assert answer.status_code == 403
        assert answer.json()["code"] == "not_own"


def test_another_organisation_in_query_or_body_is_forbidden(service: Service) -> None:
    client = service.client("worker")
    assert client.get("/api/v1/accounts?org=globex").status_code == 403
    assert client.get("/api/v1/accounts?organisation=globex").status_code == 403
    assert client.get("/api/v1/accounts?org=acme").status_code != 403
    body = {"amount": 1, "org": "globex"}
    answer = client.post("/api/v1/accounts/user:u:credits/reservations", json=body)
    assert (answer.status_code, answer.json()["code"]) == (403, "other_organisation")


def test_objects_of_another_organisation_do_not_exist(service: Service) -> None:
    account = address()
    path = f"/api/v1/accounts/{account}"
    here, there = service.client(), service.client(org="globex")
    granted = here.post(path + "/grants", json={"amount": 100, "source": "gift"}).json()
    held = here.post(path + "/reservations", json={"amount": 10}).json()["reservation_id"]
    debit = here.post(path + "/debits", json={"amount": 10}).json()["debit_id"]
    service.project()
    assert there.get(path + "/balance").json()["exists"] is False
    for method, rest in (
        ("GET", f"/reservations/{held}"),
        ("POST", f"/reservations/{held}/capture"),
        ("POST", f"/reservations/{held}/release"),
        ("GET", f"/debits/{debit}"),
        ("POST", f"/debits/{debit}/refunds"),
        ("POST", f"/grants/{granted['grant_id']}/void"),
    ):
        answer = there.request(method, path + rest)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), rest
    assert there.get(f"/api/v1/events/{granted['position']}").status_code == 404
    assert there.get("/api/v1/accounts").json()["items"] == []
    assert there.get("/api/v1/events").json()["items"] == []


def test_an_admin_names_the_organisation(service: Service) -> None:
    admin = service.client("admin", sub="root", org="platform")
    path = f"/api/v1/accounts/{address()}"
    assert admin.get(path + "/balance", headers={"Scrip-Organisation": "no such id"}).status_code == 422
    granted = admin.post(
        path + "/grants", json={"amount": 5, "source": "gift"}, headers={"Scrip-Organisation": "initech"}
    )
    assert granted.status_code == 201
    assert service.client(org="initech").get(path + "/balance").json()["granted"] == 5
    assert admin.get(path + "/balance").json()["exists"] is False


def test_a_user_lists_their_own_accounts_only(service: Service) -> None:
    boss = service.client()
    for account in ("user:ann:credits", "user:ann:tokens", "user:anna:credits", "user:ann:x:credits"):
        boss.post(f"/api/v1/accounts/{account}/grants", json={"amount": 1, "source": "gift"})
    service.project()
    ann = service.client("user", sub="ann")

    def listed(prefix: str) -> list[str]:
        page = ann.get("/api/v1/accounts", params={"prefix": prefix}).json()
        return [row["address"] for row in page["items"]]

    assert listed("") == listed("user:") == ["user:ann:credits", "user:ann:tokens"]
    assert listed("user:ann:t") == ["user:ann:tokens"]
    assert ann.get("/api/v1/accounts", params={"prefix": "user:anna"}).status_code == 403
    assert ann.get("/api/v1/accounts", params={"prefix": "user:ann:x:"}).status_code == 403


def test_every_command_is_a_route_with_its_model_in_the_document(service: Service) -> None:
    document = service.client(None).get("/api/openapi.json").json()
    for operation in (each for each in DECLARED if isinstance(each, Command)):
        described = document["paths"][operation.path.replace(":path}", "}")][operation.method.lower()]
        schema = described["requestBody"]["content"]["application/json"]["schema"]
        assert schema == {"$ref": f"#/components/schemas/{operation.body.__name__}"}
    references = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert references <= set(document["components"]["schemas"])
