"""Attempts on bounds of what an answer holds: the bound is lowered, and the answer says that it is cut, or refuses."""

from typing import Any

import httpx
import psycopg

from api import prices
from api.accounts import reads as accounts_reads
from api.generations import explain
from api.generations import reads as generations_reads
from api.http import lists
from api.users import analytics
from api.users import reads as users_reads
from tests.limits.bound import Attacker

GENERATIONS = "/api/v1/generations"


def _ok(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code in (200, 201), answer.text
    told: dict[str, Any] = answer.json()
    return told


def _debited(attacker: Attacker, *users: str) -> None:
    for user in users:
        _ok(attacker.grant(f"user:{user}:credits"))
        _ok(attacker.client().post(f"/api/v1/accounts/user:{user}:credits/debits", json={"amount": 1}))
    attacker.service.project()


def _generated(attacker: Attacker, id_: str, **more: Any) -> None:
    body = {"id": id_, "user_id": "u", "operation": "chat", **more}
    _ok(attacker.client().post(GENERATIONS, json=body))


def figures(attacker: Attacker) -> httpx.Response:
    """A report on one refused check, where it may have no figure."""
    attacker.lower(analytics, "MAX_ROWS", 0)
    with psycopg.connect(attacker.service.database.owner_uri) as connection:
        connection.execute(
            "insert into refused_checks (org, id, at, user_id, operation, reason, deficit, actor, left_out)"
            " values (%s, 'a', scrip_now(), 'u', 'chat', 'insufficient_tokens', 1, 'user:u', 4)",
            (attacker.org,),
        )
    answer = attacker.client().get("/api/v1/analytics", params={"metric": "refusals", "group_by": "none"})
    told = _ok(answer)
    assert (told["items"], told["truncated"], told["checks"]) == ([], True, 5)  # what was left out is in the sum
    return answer


def lines(attacker: Attacker) -> httpx.Response:
    """A file of two users, where it may have one."""
    attacker.lower(lists, "MOST", 1)
    _debited(attacker, "a", "b")
    answer = attacker.client().get("/api/v1/analytics/users", params={"format": "csv"})
    assert answer.text.strip().count("\n") == 1, answer.text
    return answer


def movements(attacker: Attacker) -> httpx.Response:
    """A statement of two movements, where it may have one."""
    attacker.lower(accounts_reads, "MAX_MOVEMENTS", 1)
    _debited(attacker, "a")
    return attacker.client().get("/api/v1/accounts/user:a:credits/statement")


def hits(attacker: Attacker) -> httpx.Response:
    """A search that finds two users, where it may find one."""
    attacker.lower(users_reads, "MOST_HITS", 1)
    _debited(attacker, "hit1", "hit2")
    answer = attacker.client().get("/api/v1/search", params={"q": "hit"})
    assert len(_ok(answer)["hits"]) == 1
    return answer


def children(attacker: Attacker) -> httpx.Response:
    """A generation of two parts, where one is shown."""
    query = generations_reads.CHILDREN
    attacker.lower(generations_reads, "CHILDREN", query.replace(f"limit {generations_reads.MAX_CHILDREN}", "limit 1"))
    _ok(attacker.grant("user:u:tokens", 1_000))
    _generated(attacker, f"{attacker.org}-whole")
    for number in range(2):
        _generated(attacker, f"{attacker.org}-{number}", parent_id=f"{attacker.org}-whole")
    attacker.service.project()
    answer = attacker.client().get(f"{GENERATIONS}/{attacker.org}-whole")
    assert len(_ok(answer)["children"]) == 1
    return answer


def explanation(attacker: Attacker) -> httpx.Response:
    """An explanation that may read nothing but the generation itself."""
    attacker.lower(explain, "MAX_OTHERS", 0)
    _ok(attacker.grant("user:u:tokens", 1_000))
    _generated(attacker, f"{attacker.org}-told")
    answer = attacker.client().get(f"{GENERATIONS}/{attacker.org}-told/explain")
    _ok(answer)
    return answer


def moments(attacker: Attacker) -> httpx.Response:
    """One grant that ends, where no moment is shown."""
    attacker.lower(accounts_reads, "MAX_ITEMS", 0)
    body = {"amount": 1, "source": "gift", "expires_at": "2999-01-01T00:00:00Z"}
    _ok(attacker.client().post("/api/v1/accounts/user:u:credits/grants", json=body))
    answer = attacker.client().get("/api/v1/accounts/user:u:credits/expirations")
    told = _ok(answer)
    assert (told["items"], told["total"], told["truncated"]) == ([], 1, True)
    return answer


def kinds(attacker: Attacker) -> httpx.Response:
    """A preview over one kind of use, where none is priced."""
    attacker.lower(prices, "MAX_KINDS", 0)
    _ok(attacker.grant("user:u:tokens", 1_000))
    _generated(attacker, f"{attacker.org}-kind")
    _ok(attacker.client().post(f"{GENERATIONS}/{attacker.org}-kind/confirm", json={}))
    attacker.service.project()
    entries = {"entries": [{"model": "m", "credits": 1}]}
    answer = attacker.client("auditor").post("/api/v1/prices/preview", json=entries)
    assert _ok(answer)["truncated"] is True
    return answer
