"""Support finds what somebody wrote in about: a user, a generation, a payment, by the id or how it begins."""

import secrets
from typing import Any

import pytest

from infra.payments import provider_of
from tests.api.generating import PATH, PICTURE, ok
from tests.api.service import Service, settings_of

ORG = f"se{secrets.token_hex(4)}"


@pytest.fixture(scope="module")
def found(service: Service) -> Service:
    """Ann has paid, generated, been charged and been held for; Otto is another user."""
    boss, worker = service.client(org=ORG), service.client("worker", org=ORG)
    account = "/api/v1/accounts/user:ann:credits"
    paid = {
        "amount": 1_000,
        "source": "purchase",
        "external_ref": "pay_778",
        "paid": {"amount": "9.00", "currency": "EUR"},
    }
    ok(boss.post(f"{account}/grants", json=paid), 201)
    ok(boss.post("/api/v1/accounts/user:otto:credits/grants", json={"amount": 1, "source": "gift"}), 201)
    ok(worker.post(PATH, json={"id": "job-1", "user_id": "ann", **PICTURE}), 201)
    ok(worker.post(PATH, json={"id": "job-10", "user_id": "ann", **PICTURE}), 201)
    ok(worker.post(f"{PATH}/job-1/confirm", json={}))
    ok(worker.post(f"{account}/reservations", json={"id": "hold-1", "amount": 5}), 201)
    ok(boss.post("/api/groups", json={"id": "films", "name": "Films"}), 201)
    service.project()
    return service


def hits(service: Service, text: str, role: str = "org_admin", org: str = ORG) -> list[dict[str, Any]]:
    answer = service.client(role, org=org).get("/api/v1/search", params={"q": text})
    listed: list[dict[str, Any]] = ok(answer)["hits"]
    return listed


def named(found: list[dict[str, Any]]) -> list[tuple[str, str, bool]]:
    return [(hit["kind"], hit["id"], hit["exact"]) for hit in found]


def test_a_user_by_the_beginning_of_the_id(found: Service) -> None:
    (hit,) = hits(found, "an")
    assert (hit["kind"], hit["user_id"], hit["exact"]) == ("user", "ann", False)
    assert hit["detail"] == "815 credits available, 95 held"


def test_generations_the_exact_one_first(found: Service) -> None:
    generation, other, charge = hits(found, "job-1")
    assert named([generation, other]) == [("generation", "job-1", True), ("generation", "job-10", False)]
    assert (charge["kind"], charge["label"], charge["detail"]) == ("debit", "90 credits charged", "FLUX.1 [dev]")
    (hit,) = hits(found, "job-10")
    assert (hit["label"], hit["detail"], hit["user_id"]) == ("image FLUX.1 [dev]", "held", "ann")


def test_a_payment_reference(found: Service) -> None:
    (hit,) = hits(found, " pay_778 ")
    assert (hit["kind"], hit["user_id"], hit["account"], hit["exact"]) == ("grant", "ann", "user:ann:credits", True)
    assert (hit["label"], hit["detail"]) == ("1,000 credits granted (purchase)", "815 left, live, payment pay_778")
    assert [hit["exact"] for hit in hits(found, "pay_7")] == [False]


def test_a_grant_a_charge_a_hold_and_a_group(found: Service) -> None:
    boss = found.client(org=ORG)
    gift = ok(boss.get("/api/v1/accounts/user:otto:credits/grants"))["items"][0]
    assert [(hit["kind"], hit["label"]) for hit in hits(found, gift["grant_id"])] == [
        ("grant", "1 credit granted (gift)")
    ]
    paid = ok(boss.get(f"{PATH}/job-1/explain"))["paid_by"][0]["debit_id"]
    assert ("debit", "90 credits charged") in [(hit["kind"], hit["label"]) for hit in hits(found, paid)]
    assert [(hit["kind"], hit["label"]) for hit in hits(found, "hold")] == [("reservation", "5 credits held")]
    assert [(hit["kind"], hit["label"], hit["detail"]) for hit in hits(found, "film")] == [
        ("group", "Films", "0 members")
    ]


def test_a_purchase_by_its_id_and_by_its_payment(found: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found.services, "payments", provider_of(settings_of(found.database, payments="manual")))
    price = {"amount": "5.00", "currency": "USD"}
    small = {"id": "small", "name": "Small", "unit": "credits", "amount": 10, "price": price}
    ok(found.client("admin").put("/api/v1/packages", json={"packages": [small]}))
    made = ok(found.client("user", "ann", ORG).post("/api/v1/purchases", json={"package": "small"}), 201)
    ok(found.client(org=ORG).post(f"/api/v1/purchases/{made['purchase_id']}/paid", json={}))
    found.project()
    kinds = [hit["kind"] for hit in hits(found, made["purchase_id"])]
    assert kinds[0] == "purchase"
    by_payment = hits(found, f"invoice.{made['purchase_id']}")
    assert {hit["kind"] for hit in by_payment} == {"purchase", "grant"}
    assert all(hit["exact"] and hit["user_id"] == "ann" for hit in by_payment)


def test_who_sees_what(found: Service) -> None:
    assert hits(found, "job-1", org="globex") == []
    assert [hit["kind"] for hit in hits(found, ORG, "admin", "globex")] == ["organisation"]
    assert hits(found, ORG, "auditor") == []
    for role in ("user", "worker"):
        assert found.client(role, org=ORG).get("/api/v1/search", params={"q": "a"}).status_code == 403
    assert found.client(org=ORG).get("/api/v1/search", params={"q": ""}).status_code == 422
    assert hits(found, "%' or 'a'='a") == []
    assert hits(found, "<script>") == []
