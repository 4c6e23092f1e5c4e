"""Many commands in one request: each checked and answered as if it came alone."""

from typing import Any

import httpx
import pytest

from tests.api.service import Service, address


@pytest.fixture
def account(service: Service) -> str:
    """An account with 100 credits."""
    made = address()
    body = {"amount": 100, "source": "gift"}
    assert service.client().post(f"/api/v1/accounts/{made}/grants", json=body).status_code == 201
    return made


def run(
    client: httpx.Client, operations: list[dict[str, Any]], headers: dict[str, str] | None = None, **more: Any
) -> list[dict[str, Any]]:
    answer = client.post("/api/v1/batch", json={"operations": operations, **more}, headers=headers)
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def debit(account: str, amount: Any, **more: Any) -> dict[str, Any]:
    return {"path": f"/api/v1/accounts/{account}/debits", "body": {"amount": amount}, **more}


def debited(service: Service, account: str) -> int:
    return int(service.client().get(f"/api/v1/accounts/{account}/balance").json()["debited"])


def test_results_come_in_order_and_one_failure_stops_no_other(service: Service, account: str) -> None:
    """S4-5."""
    path = f"/api/v1/accounts/{account}"
    results = run(
        service.client(),
        [
            debit(account, 10),
            debit(account, 1_000),
            debit(account, 0),
            {"path": "/api/v1/quotes", "body": {"operation": "chat"}},
            {"path": path + "/reservations", "body": {"amount": 5, "id": f"in-{account}", "reason": "x"}},
            {"path": f"{path}/reservations/in-{account.replace(':', '%3A')}/capture"},
            {"path": path + "/reservations/none/release", "body": {}},
            {"path": path + "/grants", "body": {"amount": 1, "source": "gift", "extra": 1}},
            {"path": f"/api/v1/accounts/{account}/nothing"},
        ],
    )
    assert [result["status"] for result in results] == [201, 402, 422, 422, 201, 200, 404, 422, 422]
    codes = [result["body"].get("code") for result in results]
    assert codes[1:4] == ["insufficient_credits", "invalid_value", "not_batchable"]
    assert codes[7:] == ["unknown_field", "not_batchable"]
    assert debited(service, account) == 15


def test_atomic_applies_all_or_nothing(service: Service, account: str) -> None:
    client = service.client()
    results = run(client, [debit(account, 10), debit(account, 1_000), debit(account, 20)], atomic=True)
    assert [result["status"] for result in results] == [409, 402, 409]
    assert results[0]["body"]["code"] == "not_applied"
    results = run(client, [debit(account, 10), debit(account, -1)], atomic=True)
    assert [result["status"] for result in results] == [409, 422]
    assert debited(service, account) == 0
    results = run(client, [debit(account, 10), debit(account, 20)], atomic=True)
    assert [result["status"] for result in results] == [201, 201]
    assert debited(service, account) == 30


def test_a_key_means_the_same_in_a_batch_and_alone(service: Service, account: str) -> None:
    client = service.client()
    alone = client.post(
        f"/api/v1/accounts/{account}/debits", json={"amount": 3}, headers={"Idempotency-Key": f"k{account}"}
    )
    results = run(
        client, [debit(account, 3, idempotency_key=f"k{account}"), debit(account, 4, idempotency_key=f"k{account}")]
    )
    assert results[0] == {"status": 201, "body": alone.json()}
    assert (results[1]["status"], results[1]["body"]["code"]) == (422, "idempotency_key_reused")
    assert debited(service, account) == 3


def test_the_key_of_a_batch_covers_its_operations(service: Service, account: str) -> None:
    client, key = service.client(), {"Idempotency-Key": f"batch-{account}"}
    first = run(client, [debit(account, 1), debit(account, 2)], key)
    assert run(client, [debit(account, 1), debit(account, 2)], key) == first
    assert debited(service, account) == 3


def test_the_policy_holds_for_each_operation(service: Service, account: str) -> None:
    worker = service.client("worker")
    grant = {"path": f"/api/v1/accounts/{account}/grants", "body": {"amount": 1, "source": "gift"}}
    results = run(worker, [debit(account, 1), grant])
    assert [result["status"] for result in results] == [201, 403]


def test_a_debit_of_another_account_is_not_refunded(service: Service, account: str) -> None:
    client, other = service.client(), address()
    made = client.post(f"/api/v1/accounts/{account}/debits", json={"amount": 5}).json()["debit_id"]
    results = run(
        client,
        [
            {"path": f"/api/v1/accounts/{other}/debits/{made}/refunds"},
            {"path": f"/api/v1/accounts/{account}/debits/{made}/refunds"},
        ],
    )
    assert [result["status"] for result in results] == [404, 201]


def test_the_bounds_of_a_batch(service: Service, account: str) -> None:
    client = service.client()
    for operations, status in (
        ([], 422),
        ([debit(account, 1)] * 1_001, 422),
        ([debit(account, 1, surprise=1)], 422),
        ([{"body": {}}], 422),
    ):
        answer = client.post("/api/v1/batch", json={"operations": operations})
        assert answer.status_code == status, answer.text
    assert client.post("/api/v1/batch", content=b" " * 4_194_305).status_code == 413
    assert debited(service, account) == 0
    assert [
        result["status"]
        for result in run(client, [debit(account, 1) | {"path": f"/api/v1/accounts/{account}/debits"}] * 100)
    ] == [201] * 100
    large = debit(account, 1) | {"body": {"amount": 1, "metadata": {"a": "x" * 70_000}}}
    assert run(client, [large])[0]["status"] in {413, 422}
