"""The calendar of what expires on an account."""

from typing import Any

import psycopg

from tests.api.generating import ok
from tests.api.service import Service, address
from tests.conftest import move_clock


def grant(service: Service, account: str, amount: int, days: int | None = None, **more: Any) -> str:
    body: dict[str, Any] = {"amount": amount, "source": "gift", **more}
    if days is not None:
        with psycopg.connect(service.database.owner_uri) as connection:
            (at,) = connection.execute(
                "select date_trunc('second', scrip_now()) + %s * interval '1 day'", (days,)
            ).fetchone() or (None,)
        body["expires_at"] = at.isoformat()
    return str(ok(service.client().post(f"/api/v1/accounts/{account}/grants", json=body), 201)["grant_id"])


def calendar(service: Service, account: str) -> dict[str, Any]:
    return ok(service.client("user", account.split(":")[1]).get(f"/api/v1/accounts/{account}/expirations"))


def test_what_expires_when_and_what_is_used_first(service: Service) -> None:
    account = address()
    grant(service, account, 1_000)
    late = grant(service, account, 50, 30)
    soon = grant(service, account, 400, 14)
    ok(service.client("worker").post(f"/api/v1/accounts/{account}/reservations", json={"amount": 30}), 201)
    told = calendar(service, account)
    assert [(item["amount"], item["used_first"]) for item in told["items"]] == [(370, True), (50, False)]
    assert [each["grant_id"] for item in told["items"] for each in item["grants"]] == [soon, late]
    assert told["items"][0]["on"] == told["items"][0]["expires_at"][:10]
    assert (told["total"], told["never"], told["truncated"]) == (420, 1_000, False)
    move_clock(service.database, "15 days")
    assert [item["amount"] for item in calendar(service, account)["items"]] == [50]


def test_what_is_preferred_is_used_before_what_expires(service: Service) -> None:
    account = address()
    grant(service, account, 10, 5, priority=9)
    grant(service, account, 10, priority=1)
    assert [item["used_first"] for item in calendar(service, account)["items"]] == [False]


def test_an_account_without_anything(service: Service) -> None:
    told = calendar(service, address())
    assert (told["items"], told["total"], told["never"]) == ([], 0, 0)


def test_own_accounts_alone(service: Service) -> None:
    path = f"/api/v1/accounts/{address()}/expirations"
    assert service.client("user", "somebody-else").get(path).status_code == 403
    assert service.client("auditor").get(path).status_code == 200
