"""The demo's application: it talks to Scrip over HTTP as an admin, as workers and as users do."""

from __future__ import annotations

from typing import Any

import httpx

from cli.api_client import in_path, problem_of
from cli.demo.plan import EXPIRING, PATIENT_TTL_S, SHORT_TTL_S, Generation, Plan, account_of
from cli.demo.tally import Tally
from cli.failure import Failure
from cli.service.tokens import signed_token
from infra.settings import Settings

GRANTED = 1_000_000  # to each user: more than they can spend
POOR = "zoe"  # has 500 credits and wants what costs 1,100
POOR_CREDITS = 500
TIMEOUT_S = 30.0


class Platform:
    """Grants, quotes and reservations for the plan's users."""

    def __init__(self, http: httpx.AsyncClient, settings: Settings, plan: Plan, tally: Tally) -> None:
        """`http` has the service's address as its base."""
        self._http = http
        self._settings = settings
        self._plan = plan
        self._tally = tally
        self._tokens: dict[tuple[str, str, str], str] = {}
        self._quotes: dict[tuple[str, str, str], int] = {}

    async def grant_all(self) -> None:
        """Every user gets credits."""
        for org, users in self._plan.users.items():
            for user in users:
                await self._grant(org, user, GRANTED)

    async def be_refused(self) -> str:
        """A user with 500 credits asks for 1,100: the sentence of the refusal. Raises Failure if it is granted."""
        org, user = next(iter(self._plan.users)), f"{POOR}.{self._plan.run}"
        await self._grant(org, user, POOR_CREDITS)
        body = {
            "action": "reserve",
            "provider": "MiniMax",
            "model": "MiniMax-Hailuo-02",
            "options": {"resolution": "1080P", "duration": 6},
        }
        answer = await self._post("/api/credits/me", body, self._token(org, user, "user"), f"{user}:poor")
        if answer.status_code != httpx.codes.PAYMENT_REQUIRED:
            raise Failure(f"a user with {POOR_CREDITS} credits got {problem_of(answer)} for what costs 1,100")
        said = str(answer.json()["detail"])
        self._tally.refusals.append(said)
        return said

    async def reserve(self, generation: Generation) -> str:
        """Hold the credits of a generation and return the id of the hold. Raises Failure."""
        price = await self._quote(generation)
        key = f"demo:{self._plan.run}:{generation.number}"
        asked: dict[str, Any]
        if generation.by_user:
            asked = {"action": "reserve", "reason": "demo", **_item(generation)}
            token = self._token(generation.org, generation.user, "user")
            found = await self._must("/api/credits/me", asked, token, key)
            held = str(found["transaction_id"])
        else:
            ttl = SHORT_TTL_S if generation.fate in EXPIRING else PATIENT_TTL_S
            asked = {"amount": price, "ttl_seconds": ttl, "reason": "demo", "metadata": {"model": generation.model}}
            path = f"/api/v1/accounts/{in_path(generation.account)}/reservations"
            found = await self._must(path, asked, self._token(generation.org, "worker-1", "worker"), key)
            held = str(found["reservation_id"])
        self._tally.was_reserved(generation.number, price)
        return held

    async def balance(self, org: str, account: str) -> dict[str, Any]:
        """An account's figures as of now."""
        path = f"/api/v1/accounts/{in_path(account)}/balance"
        headers = {"Authorization": f"Bearer {self._token(org, 'auditor-1', 'auditor')}"}
        answer = await self._http.get(path, headers=headers)
        if not answer.is_success:
            raise Failure(problem_of(answer))
        found: dict[str, Any] = answer.json()
        return found

    async def _grant(self, org: str, user: str, amount: int) -> None:
        path = f"/api/v1/accounts/{in_path(account_of(user))}/grants"
        body = {"amount": amount, "source": "promotion", "reason": "welcome to the demo"}
        await self._must(path, body, self._token(org, "admin-1", "admin"), f"demo:grant:{user}")

    async def _quote(self, generation: Generation) -> int:
        asked = _item(generation)
        known = (generation.provider, generation.model, str(asked["options"]))
        if known not in self._quotes:
            token = self._token(generation.org, "worker-1", "worker")
            found = await self._must("/api/v1/quotes", asked, token, None)
            self._quotes[known] = int(found.get("quote", found)["credits"])
        return self._quotes[known]

    async def _must(self, path: str, body: dict[str, Any], token: str, key: str | None) -> dict[str, Any]:
        answer = await self._post(path, body, token, key)
        if not answer.is_success:
            raise Failure(f"POST {path}: {problem_of(answer)}")
        found: dict[str, Any] = answer.json()
        return found

    async def _post(self, path: str, body: dict[str, Any], token: str, key: str | None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        self._tally.requests += 1
        try:
            return await self._http.post(path, json=body, headers=headers, timeout=TIMEOUT_S)
        except httpx.HTTPError as error:
            raise Failure(f"The API does not answer POST {path}: {error or type(error).__name__}.") from error

    def _token(self, org: str, sub: str, role: str) -> str:
        known = (org, sub, role)
        if known not in self._tokens:
            self._tokens[known] = signed_token(self._settings, org=org, sub=sub, role=role, ttl_s=3600)
        return self._tokens[known]


def _item(generation: Generation) -> dict[str, Any]:
    return {"provider": generation.provider, "model": generation.model, "options": generation.options}
