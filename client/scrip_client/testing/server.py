"""The fake server: logins, idempotency keys, faults on demand and a clock that tests set, as an httpx transport."""

import json
from datetime import datetime, timedelta
from decimal import Decimal
from threading import RLock
from typing import Any

import httpx

from scrip_client.settling import OptionValue
from scrip_client.steps import Record
from scrip_client.testing.flow import Ledger
from scrip_client.testing.prices import Entry
from scrip_client.testing.refusals import Refused
from scrip_client.testing.routes import handler_of

KEPT = (402, 404, 409)  # refusals that are answers, kept under their key


class FakeScrip(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A server in memory: `AsyncScrip("http://scrip", token=fake.token(), transport=fake, publisher=fake.topic)`.

    It has credits, tokens, storage, prices, holds that expire by its clock, idempotency keys and roles. It has no
    groups, budgets, plans or organisations, and answers 501 to what it does not know. `unreachable`: nobody answers.
    `requests`: the method and path of every request that arrived.
    """

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.topic = FakeTopic(self)
        self.unreachable = False
        self.requests: list[tuple[str, str]] = []
        self._lost = 0
        self._guard = RLock()
        self._answers: dict[tuple[str, str], tuple[tuple[str, str, str], int, dict[str, Any]]] = {}

    @property
    def now(self) -> datetime:
        """The fake's clock."""
        return self.ledger.now

    def advance(self, seconds: float) -> None:
        """Move the clock, and let go what has expired."""
        with self._guard:
            self.ledger.now += timedelta(seconds=seconds)
            self.ledger.pass_time()

    def price(
        self,
        *,
        operation: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        credits: int | None = None,  # noqa: A002 - the contract's name
        tokens: int | None = None,
        usd: Decimal | None = None,
        rates: dict[str, int] | None = None,
        expected_usage: dict[str, int] | None = None,
        **options: OptionValue,
    ) -> None:
        """Set a price; `rates`: credits per 1,000 measured units, for settlement by usage.

        `expected_usage`: units of one use; a hold is sized from them where the request gives no `estimate`.
        """
        entry = Entry(operation, provider, model, options, credits, tokens, usd, rates or {}, expected_usage or {})
        self.ledger.prices.append(entry)

    def give(self, user: str, **amounts: int) -> None:
        """Grant by unit: `give("u_42", credits=500)`."""
        with self._guard:
            for unit, amount in amounts.items():
                self.ledger.grant({"amount": amount, "source": "gift"}, f"user:{user}:{unit}")

    def limit_storage(self, user: str, size: int) -> None:
        """Set a user's storage limit, in bytes."""
        self.ledger.shelf(user).limit = size

    def available(self, user: str, unit: str = "credits") -> int:
        """What a user may spend."""
        return self.ledger.account(f"user:{user}:{unit}").available

    def token(self, role: str = "worker", sub: str = "worker-1") -> str:
        """A token of this role."""
        return f"{role}:{sub}"

    def lose_answers(self, count: int) -> None:
        """Apply the next requests and lose their answers, as a connection does that breaks."""
        self._lost = count

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        with self._guard:
            if self.unreachable:
                raise httpx.ConnectError("the fake server is unreachable", request=request)
            self.requests.append((request.method, request.url.path))
            status, body, headers = self._answer(request)
            if self._lost:
                self._lost -= 1
                raise httpx.ReadError("the answer is lost", request=request)
            return httpx.Response(status, json=body, headers=headers)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        await request.aread()
        return self.handle_request(request)

    def _answer(self, request: httpx.Request) -> tuple[int, dict[str, Any], dict[str, str]]:
        try:
            role, sub = self._login(request)
        except Refused as refused:
            return refused.status, refused.body, {}
        content = request.read()
        key = request.headers.get("Idempotency-Key")
        if key is None or request.method == "GET":
            return *self._decide(request, role, sub, content), {}
        asked = (request.method, request.url.path, json.dumps(json.loads(content or b"{}"), sort_keys=True))
        if (sub, key) in self._answers:
            first, status, body = self._answers[sub, key]
            if first != asked:
                detail = "The Idempotency-Key was used for another request."
                return 422, Refused(422, "idempotency_key_reused", detail).body, {}
            return status, body, {"Idempotency-Replayed": "true"}
        status, body = self._decide(request, role, sub, content)
        if status < 300 or status in KEPT:
            self._answers[sub, key] = asked, status, body
        return status, body, {}

    def _login(self, request: httpx.Request) -> tuple[str, str]:
        role, _, sub = request.headers.get("Authorization", "").removeprefix("Bearer ").partition(":")
        if role not in ("user", "worker", "org_admin", "admin") or not sub:
            raise Refused(401, "invalid_token", "The token is not valid.")
        return role, sub

    def _decide(self, request: httpx.Request, role: str, sub: str, content: bytes) -> tuple[int, dict[str, Any]]:
        self.ledger.pass_time()
        try:
            handler, names = handler_of(request.method, request.url.path, role)
            body = dict(request.url.params) if request.method == "GET" else json.loads(content or b"{}")
            if role == "user":
                _own(body, names, sub)
            body.setdefault("user_id", sub) if request.method == "POST" else None
            told = handler(self.ledger, body, *names)
        except Refused as refused:
            return refused.status, refused.body
        if isinstance(told, list):
            return 200, _page(told, body)
        return (201 if _creates(request) else 200), told


class FakeTopic:
    """The usage topic and its reader in one: a message is applied when it is published, copies of it once."""

    def __init__(self, server: FakeScrip) -> None:
        self._server = server
        self._seen: set[tuple[str, str]] = set()
        self.records: list[Record] = []

    async def publish(self, record: Record) -> None:
        """Apply a settlement. What is refused is in quarantine on the real server, and dropped here."""
        self.records.append(record)
        headers, data = dict(record.headers), json.loads(record.value)
        identity = (headers["ce_source"].decode(), headers["ce_id"].decode())
        if identity in self._seen:
            return
        self._seen.add(identity)
        id_, success = data.pop("generation_id"), data.pop("success")
        ledger = self._server.ledger
        ledger.pass_time()
        try:
            (ledger.confirm if success else ledger.fail)(data, id_)
        except Refused:
            self._seen.discard(identity)  # it may be tried again

    async def close(self) -> None:
        """Nothing to close."""


def _own(body: dict[str, Any], names: list[str], sub: str) -> None:
    """A user acts for themselves."""
    named = body.get("user_id", sub)
    owners = [name.split(":")[1] for name in names if name.startswith("user:")]
    if any(owner != sub for owner in (named, *owners)):
        raise Refused(403, "other_user", "A user may act only for themselves.")


def _page(rows: list[dict[str, Any]], query: dict[str, Any]) -> dict[str, Any]:
    start, size = int(query.get("cursor", 0)), int(query.get("limit", 50))
    more = start + size < len(rows)
    return {"items": rows[start : start + size], "next_cursor": str(start + size) if more else None}


def _creates(request: httpx.Request) -> bool:
    """Whether a success is 201."""
    last = request.url.path.rpartition("/")[2]
    return request.method == "POST" and last in ("grants", "reservations", "debits", "refunds", "generations")
