"""A chargeback takes back what a grant gave: what is left of it, and whatever comes back to it later."""

from typing import Any

import pytest

from tests.api.generating import PATH, PICTURE, ok
from tests.api.service import Service, address


def bought(service: Service, path: str, amount: int) -> str:
    """A grant that a payment brought, by which the provider knows it."""
    body = {"amount": amount, "source": "purchase", "external_ref": f"pi-{path.rpartition('/')[2].replace(':', '-')}"}
    return str(ok(service.client().post(f"{path}/grants", json=body), 201)["grant_id"])


def balance(service: Service, path: str) -> dict[str, Any]:
    found = ok(service.client().get(f"{path}/balance"))
    left = found["available"] + found["reserved"] + found["debited"] - found["refunded"] + found["expired"]
    assert left + found["voided"] + found["transferred_out"] == found["granted"] + found["transferred_in"]
    return found


def status(service: Service, path: str, grant: str) -> dict[str, Any]:
    service.project()
    items = ok(service.client().get(f"{path}/grants"))["items"]
    return next(each for each in items if each["grant_id"] == grant)


def test_a_chargeback_of_a_spent_grant_takes_back_its_refund(service: Service) -> None:
    boss, path = service.client(), f"/api/v1/accounts/{address()}"
    grant = bought(service, path, 100)
    debit = ok(boss.post(f"{path}/debits", json={"amount": 100}), 201)["debit_id"]
    service.project()
    done = ok(boss.post(f"{path}/grants/{grant}/void", json={"reason": "chargeback"}))
    assert done["voided"] == 0
    shown = status(service, path, grant)
    assert (shown["status"], shown["spent"], shown["voided"]) == ("voided", 100, 0)
    ok(boss.post(f"{path}/debits/{debit}/refunds", json={"amount": 60}), 201)
    found = balance(service, path)
    assert (found["available"], found["refunded"], found["voided"]) == (0, 60, 60)
    shown = status(service, path, grant)
    assert (shown["status"], shown["spent"], shown["voided"]) == ("voided", 40, 60)
    assert ok(boss.post(f"{path}/grants/{grant}/void", json={}), 404)["code"] == "not_found"


def test_what_a_generation_gives_back_is_taken_back(service: Service) -> None:
    boss, worker, owner = service.client(), service.client("worker", "w"), address()
    path, user = f"/api/v1/accounts/{owner}", owner.split(":")[1]
    grant = bought(service, path, 180)
    spent, held = (ok(worker.post(PATH, json={**PICTURE, "user_id": user}), 201)["generation_id"] for _ in range(2))
    ok(worker.post(f"{PATH}/{spent}/confirm", json={}))
    ok(boss.post(f"{path}/grants/{grant}/void", json={}))
    ok(worker.post(f"{PATH}/{held}/fail", json={"outcome": "provider_error"}))
    ok(boss.post(f"{PATH}/{spent}/refund", json={"reason": "bad"}))
    found = balance(service, path)
    assert (found["available"], found["voided"], found["debited"], found["refunded"]) == (0, 180, 90, 90)


def test_a_grant_that_was_given_away_is_known_on_both_accounts(service: Service) -> None:
    boss, mine, theirs = service.client(), address(), address()
    path, other = f"/api/v1/accounts/{mine}", f"/api/v1/accounts/{theirs}"
    grant = bought(service, path, 100)
    ok(boss.post(f"{path}/transfers", json={"to": theirs, "amount": 100}), 201)
    ok(boss.post(f"{other}/debits", json={"amount": 100}), 201)
    service.project()
    for each in (path, other):
        assert ok(boss.post(f"{each}/grants/{grant}/void", json={}))["voided"] == 0
        assert status(service, each, grant)["status"] == "voided"


@pytest.mark.parametrize("name", ["unknown", "01a1fecc-98a1-7972-9b5b-5dc5c73ddd07"])
def test_a_grant_that_never_was_is_not_found(service: Service, name: str) -> None:
    path = f"/api/v1/accounts/{address()}"
    bought(service, path, 5)
    service.project()
    assert ok(service.client().post(f"{path}/grants/{name}/void", json={}), 404)["code"] == "not_found"
