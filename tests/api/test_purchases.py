"""Purchases: delivered at once on invoice, or once by a signed callback; and what an account owes (S3)."""

import json
import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from infra.payments.providers import UnsafePayments, provider_of
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


def test_s3_a_package_on_invoice_is_delivered_at_once_and_once(manual: Service) -> None:
    """S3-9: token packages bought on demand."""
    ann = user()
    client = manual.client("user", ann)
    bought = client.post(PATH, json={"package": "credits_1000"}, headers={"Idempotency-Key": ann})
    assert bought.status_code == 201, bought.text
    told = bought.json()
    assert (told["status"], told["price"], told["account"]) == ("completed", PRICE, f"user:{ann}:credits")
    assert told["checkout_url"] is None
    assert available(manual, f"user:{ann}:credits") == 1_000
    again = client.post(PATH, json={"package": "credits_1000"}, headers={"Idempotency-Key": ann})
    assert (again.status_code, again.json()) == (201, told)
    assert available(manual, f"user:{ann}:credits") == 1_000
    manual.project()
    (listed,) = client.get(PATH).json()["items"]
    assert (listed["purchase_id"], listed["status"], listed["price"]) == (told["purchase_id"], "completed", PRICE)
    assert manual.client("user", user()).get(PATH).json()["items"] == []
    assert client.get(PATH, params={"user_id": "bob"}).status_code == 403
    every = manual.client("auditor").get(PATH, params={"user_id": ann, "status": "completed"}).json()["items"]
    assert [row["purchase_id"] for row in every] == [told["purchase_id"]]


def test_s3_plan_tokens_are_the_organisations(manual: Service) -> None:
    org = f"p{secrets.token_hex(4)}"
    bought = manual.client("user", "ann", org=org).post(PATH, json={"package": "leads_50"}).json()
    assert bought["account"] == f"org:{org}:tokens.lead_generation"
    body = {"action": "deduct", "token_type": "lead_generation"}
    used = manual.client("worker", org=org).post("/api/v1/tokens/check-balance", json=body).json()
    assert (used["allowed"], used["balance"]) == (True, 45)  # on the starter plan


def test_s3_a_plan_is_bought_for_a_cycle_or_for_twelve(manual: Service) -> None:
    """S3-9: annual prepaid discount: 12 x 29 less 20 %."""
    org = f"p{secrets.token_hex(4)}"
    boss = manual.client(org=org)
    annual = boss.post(PATH, json={"plan": "pro", "billing": "annual"})
    assert annual.status_code == 201, annual.text
    assert annual.json()["price"] == {"amount": "278.40", "currency": "USD"}
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
