"""Purchases: delivered once they are paid, by an administrator's word or a signed callback; and what is owed (S3)."""

import json
import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from infra.payments import UnsafePayments, provider_of
from infra.webhooks.signature import new_secret, signed_headers
from tests.api.service import ORG, Service, running, settings_of
from tests.conftest import Database

SECRET, OLD_SECRET = new_secret(), new_secret()
PATH = "/api/v1/purchases"
CALLBACK = "/api/v1/payments/signed/webhook"
PRICE = {"amount": "10.00", "currency": "USD"}
PAGE = "https://pay.example/{organisation}/{purchase_id}?sum={amount}&in={currency}"


@pytest.fixture(scope="module")
def manual(module_database: Database) -> Iterator[Service]:
    """A deployment that sells on invoice."""
    with running(module_database, settings_of(module_database, payments="manual")) as made:
        yield made


@pytest.fixture(scope="module")
def signed(module_database: Database) -> Iterator[Service]:
    """A deployment whose provider signs callbacks."""
    settings = settings_of(
        module_database,
        payments="signed",
        payments_secret=SecretStr(f"{SECRET} {OLD_SECRET}"),
        payments_checkout_url=PAGE,
    )
    with running(module_database, settings) as made:
        yield made


def user() -> str:
    return f"u{secrets.token_hex(5)}"


def available(service: Service, account: str, org: str = ORG) -> int:
    told: int = service.client(org=org).get(f"/api/v1/accounts/{account}/balance").json()["available"]
    return told


def callback(
    service: Service, purchase: str, secret: str = SECRET, late_s: int = 0, org: str = ORG, **changed: Any
) -> httpx.Response:
    body = {"organisation": org, "purchase_id": purchase, "payment_id": f"pay-{purchase}", "status": "paid"}
    raw = json.dumps({**body, "price": PRICE, "livemode": True, **changed}).encode()
    with psycopg.connect(service.database.owner_uri) as connection:
        (now,) = connection.execute("select extract(epoch from scrip_now())::bigint").fetchone() or (0,)
    headers = signed_headers(secret, f"msg-{purchase}", now - late_s, raw)
    return service.client(None).post(CALLBACK, content=raw, headers={**headers, "Content-Type": "application/json"})


def test_without_a_provider_nothing_can_be_bought(service: Service) -> None:
    answer = service.client("user", "u").post(PATH, json={"package": "credits_1000"})
    assert (answer.status_code, answer.json()["code"]) == (409, "payments_not_configured")
    assert service.client(None).post(CALLBACK, json={}).status_code == 404


def test_s3_a_package_on_invoice_waits_until_an_administrator_has_the_money(manual: Service) -> None:
    """S3-9: token packages bought on demand. A user's own token buys, and never says that it is paid."""
    ann = user()
    client, boss = manual.client("user", ann), manual.client()
    bought = client.post(PATH, json={"package": "credits_1000"}, headers={"Idempotency-Key": ann})
    assert bought.status_code == 201, bought.text
    told = bought.json()
    assert (told["status"], told["price"], told["account"]) == ("pending", PRICE, f"user:{ann}:credits")
    assert told["checkout_url"] is None
    assert available(manual, f"user:{ann}:credits") == 0
    again = client.post(PATH, json={"package": "credits_1000"}, headers={"Idempotency-Key": ann})
    assert (again.status_code, again.json()) == (201, told)
    manual.project()
    (listed,) = client.get(PATH).json()["items"]
    assert (listed["purchase_id"], listed["status"], listed["price"]) == (told["purchase_id"], "pending", PRICE)
    paid = f"{PATH}/{told['purchase_id']}/paid"
    for role in ("user", "worker", "auditor"):
        assert manual.client(role, ann).post(paid, json={}).status_code == 403
    assert manual.client(org="globex").post(paid, json={}).status_code == 404
    assert available(manual, f"user:{ann}:credits") == 0
    done = boss.post(paid, json={"payment_ref": f"bank-{ann}"})
    assert (done.status_code, done.json()["status"]) == (200, "completed"), done.text
    assert available(manual, f"user:{ann}:credits") == 1_000
    for body in ({}, {"payment_ref": f"bank-{ann}"}):  # said again, it grants nothing again
        repeated = boss.post(paid, json=body)
        assert (repeated.status_code, repeated.json()["status"]) == (200, "completed"), repeated.text
    other = boss.post(paid, json={"payment_ref": f"other-{ann}"})
    assert (other.status_code, other.json()["code"]) == (409, "purchase_completed")
    late = boss.post(f"{PATH}/{told['purchase_id']}/cancel", json={})
    assert (late.status_code, late.json()["code"]) == (409, "purchase_completed")
    assert available(manual, f"user:{ann}:credits") == 1_000
    manual.project()
    (listed,) = client.get(PATH).json()["items"]
    assert (listed["status"], listed["payment_ref"]) == ("completed", f"bank-{ann}")
    assert manual.client("user", user()).get(PATH).json()["items"] == []
    assert client.get(PATH, params={"user_id": "bob"}).status_code == 403
    every = manual.client("auditor").get(PATH, params={"user_id": ann, "status": "completed"}).json()["items"]
    assert [row["purchase_id"] for row in every] == [told["purchase_id"]]


def test_one_payment_pays_for_one_purchase(manual: Service) -> None:
    ann, boss = user(), manual.client()
    first, second = (
        manual.client("user", ann).post(PATH, json={"package": "credits_1000"}).json()["purchase_id"] for _ in range(2)
    )
    ref = {"payment_ref": f"bank-{ann}"}
    assert boss.post(f"{PATH}/{first}/paid", json=ref).status_code == 200
    reused = boss.post(f"{PATH}/{second}/paid", json=ref)
    assert (reused.status_code, reused.json()["code"]) == (409, "payment_used")
    assert available(manual, f"user:{ann}:credits") == 1_000


def test_a_purchase_is_cancelled_by_its_buyer_or_an_administrator(manual: Service) -> None:
    ann = user()
    client, boss = manual.client("user", ann), manual.client()
    purchase = client.post(PATH, json={"package": "credits_1000"}).json()["purchase_id"]
    cancel = f"{PATH}/{purchase}/cancel"
    assert manual.client("user", user()).post(cancel, json={}).status_code == 403
    assert manual.client("auditor").post(cancel, json={}).status_code == 403
    assert boss.post(f"{PATH}/no-such-purchase/cancel", json={}).status_code == 404
    for _ in range(2):
        told = client.post(cancel, json={})
        assert (told.status_code, told.json()["status"]) == (200, "cancelled"), told.text
    manual.project()
    (listed,) = client.get(PATH).json()["items"]
    assert (listed["status"], listed["reason"]) == ("failed", "cancelled")
    assert boss.post(f"{PATH}/{purchase}/paid", json={}).status_code == 200  # the money came after all
    assert available(manual, f"user:{ann}:credits") == 1_000


def test_s3_plan_tokens_are_the_organisations(manual: Service) -> None:
    org = f"p{secrets.token_hex(4)}"
    refused = manual.client("user", "ann", org=org).post(PATH, json={"package": "leads_50"})
    assert (refused.status_code, refused.json()["code"]) == (403, "not_own"), refused.text
    boss = manual.client(org=org)
    bought = boss.post(PATH, json={"package": "leads_50"}).json()
    assert bought["account"] == f"org:{org}:tokens.lead_generation"
    assert available(manual, bought["account"], org) == 0
    assert boss.post(f"{PATH}/{bought['purchase_id']}/paid", json={}).status_code == 200
    body = {"action": "deduct", "token_type": "lead_generation"}
    used = manual.client("worker", org=org).post("/api/v1/tokens/check-balance", json=body).json()
    assert (used["allowed"], used["balance"]) == (True, 45)  # on the starter plan


def test_s3_a_plan_is_bought_for_a_cycle_or_for_twelve(manual: Service) -> None:
    """S3-9: annual prepaid discount: 12 x 29 less 20 %. The platform sells plans, so it says that one is paid."""
    org = f"p{secrets.token_hex(4)}"
    boss = manual.client(org=org)
    annual = boss.post(PATH, json={"plan": "pro", "billing": "annual"})
    assert annual.status_code == 201, annual.text
    assert annual.json()["price"] == {"amount": "278.40", "currency": "USD"}
    paid = f"{PATH}/{annual.json()['purchase_id']}/paid"
    assert boss.post(paid, json={}).status_code == 403
    assert boss.get(f"/api/v1/organisations/{org}").json()["plan"] == "starter"
    platform = manual.client("admin", **{"Scrip-Organisation": org})
    assert platform.post(paid, json={}).status_code == 200
    told = boss.get(f"/api/v1/organisations/{org}").json()
    assert (told["plan"], told["billing"], told["tokens"]["lead_generation"]["balance"]) == ("pro", "annual", 50)
    assert told["paid_until"] is not None
    assert manual.client("user", "ann", org=org).post(PATH, json={"plan": "pro"}).status_code == 403
    free = boss.post(PATH, json={"plan": "starter"})
    assert (free.status_code, free.json()["code"]) == (422, "not_for_sale")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"package": "credits_1000", "plan": "pro"}, 422),
        ({"package": "nothing"}, 422),
        ({"package": "credits_1000", "account": "user:other:credits"}, 403),
        ({"package": "leads_50", "account": "org:globex:tokens.lead_generation"}, 403),
        ({"package": "leads_50", "account": "org:acme:tokens.lead_generation"}, 403),
        ({"package": "credits_1000", "account": "org:acme:credits"}, 403),
        ({"package": "credits_1000", "account": "group:g1:credits"}, 403),
        ({"package": "credits_1000", "account": "robot:r2:credits"}, 422),
        ({"package": "credits_1000", "account": "user:ann:tokens"}, 422),
        ({"package": "credits_1000", "price": {"amount": "0.01"}}, 422),
        ({"package": "credits_1000", "amount": 10}, 422),
    ],
)
def test_what_a_user_may_not_buy(manual: Service, body: dict[str, Any], status: int) -> None:
    assert manual.client("user", "ann").post(PATH, json=body).status_code == status


def test_s3_a_signed_callback_grants_once(signed: Service) -> None:
    """S3-9: the contract's checkout_url, and the signed callback grants once."""
    ann = user()
    client = signed.client("user", ann)
    bought = client.post(PATH, json={"package": "credits_1000"}).json()
    purchase, account = bought["purchase_id"], bought["account"]
    assert bought["status"] == "pending"
    assert bought["checkout_url"] == f"https://pay.example/acme/{purchase}?sum=10.00&in=USD"
    assert available(signed, account) == 0
    by_hand = signed.client().post(f"{PATH}/{purchase}/paid", json={})
    assert (by_hand.status_code, by_hand.json()["code"]) == (409, "paid_by_provider")
    assert available(signed, account) == 0
    paid = callback(signed, purchase)
    assert (paid.status_code, paid.json()["status"]) == (200, "completed"), paid.text
    assert available(signed, account) == 1_000
    for secret in (SECRET, OLD_SECRET):  # the provider repeats itself, also while the secret is being changed
        assert callback(signed, purchase, secret).json() == paid.json()
    assert available(signed, account) == 1_000
    other = callback(signed, purchase, payment_id="pay-again")
    assert (other.status_code, other.json()["code"]) == (409, "purchase_completed")
    second = client.post(PATH, json={"package": "credits_1000"}).json()["purchase_id"]
    reused = callback(signed, second, payment_id=f"pay-{purchase}")
    assert (reused.status_code, reused.json()["code"]) == (409, "payment_used")
    assert available(signed, account) == 1_000


def test_a_callback_that_is_not_the_providers_changes_nothing(signed: Service) -> None:
    ann = user()
    bought = signed.client("user", ann).post(PATH, json={"package": "credits_1000"}).json()
    purchase = bought["purchase_id"]
    assert callback(signed, purchase, new_secret()).status_code == 401
    assert callback(signed, purchase, late_s=3_600).status_code == 401
    assert signed.client().post(CALLBACK, json={"purchase_id": purchase}).status_code == 401
    assert available(signed, bought["account"]) == 0


def test_a_callback_that_is_wrong(signed: Service) -> None:
    ann = user()
    bought = signed.client("user", ann).post(PATH, json={"package": "credits_1000"}).json()
    purchase = bought["purchase_id"]
    assert callback(signed, "no-such-purchase").status_code == 404
    assert callback(signed, purchase, org="globex").status_code == 404
    for price in ({"amount": "9.99", "currency": "USD"}, {"amount": "10.00", "currency": "EUR"}):
        wrong = callback(signed, purchase, price=price)
        assert (wrong.status_code, wrong.json()["code"]) == (422, "payment_mismatch")
    assert callback(signed, purchase, price=None).json()["code"] == "missing_field"
    assert callback(signed, purchase, status="maybe").status_code == 422
    failed = callback(signed, purchase, status="failed", reason="declined")
    assert (failed.status_code, failed.json()["status"]) == (200, "failed")
    assert available(signed, bought["account"]) == 0
    assert callback(signed, purchase).status_code == 200  # the money came after all
    assert available(signed, bought["account"]) == 1_000


def test_settings_with_which_payments_could_not_be_trusted(module_database: Database) -> None:
    for wrong in (
        {"payments": "cash"},
        {"payments": "signed", "payments_checkout_url": PAGE},
        {"payments": "signed", "payments_secret": SecretStr(SECRET)},
        {"payments": "signed", "payments_checkout_url": PAGE, "payments_secret": SecretStr("whsec_!")},
    ):
        with pytest.raises(UnsafePayments, match="SCRIP_PAYMENTS"):
            provider_of(settings_of(module_database, **wrong))
    assert provider_of(settings_of(module_database)) is None


def test_a_shortfall_is_written_off_by_administrators_only(service: Service) -> None:
    path = "/api/v1/accounts/user:debtor:credits/shortfall/write-off"
    assert service.client("worker").post(path, json={}).status_code == 403
    nothing = service.client().post(path, json={"reason": "bankrupt"})
    assert (nothing.status_code, nothing.json()["code"]) == (409, "exceeds_shortfall")


def test_what_an_account_owes_is_written_off_in_parts(service: Service) -> None:
    """The contract: a shortfall is collected from the next grant, or written off."""
    org = f"w{secrets.token_hex(4)}"
    boss, worker = service.client(org=org), service.client("worker", org=org)
    boss.patch(f"/api/v1/organisations/{org}", json={"over_actual": "available"})
    boss.post("/api/v1/accounts/user:ann:credits/grants", json={"amount": 320, "source": "gift"})
    video = {"operation": "video", "model": "MiniMax-Hailuo-02", "options": {"resolution": "512P", "duration": 6}}
    made = worker.post("/api/v1/generations", json={"user_id": "ann", **video}).json()["generation_id"]
    done = worker.post(f"/api/v1/generations/{made}/confirm", json={"actual": {"credits": 400}})
    assert (done.status_code, done.json()["shortfall"]) == (200, {"credits": 80}), done.text
    path = "/api/v1/accounts/user:ann:credits/shortfall/write-off"
    assert boss.post(path, json={"amount": 81}).status_code == 409
    part = boss.post(path, json={"amount": 30, "reason": "bankrupt"})
    assert (part.status_code, part.json()["amount"]) == (200, 30), part.text
    assert boss.post(path, json={}).json()["amount"] == 50
    assert boss.post(path, json={}).status_code == 409
