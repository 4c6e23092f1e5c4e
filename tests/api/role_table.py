"""The contract's role table, call by call: who may do what, and to whose things. Written from the contract alone.

Each line names a call, the row of the contract's table that it belongs to, and what the call is about. A role `user`
may do what its row allows for what is its own; the others for anything of their organisation.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

USER, WORKER, ORG_ADMIN, AUDITOR, ADMIN = "user", "worker", "org_admin", "auditor", "admin"
ROLES = (USER, WORKER, ORG_ADMIN, AUDITOR, ADMIN)

Row = frozenset[str]

READ = Row(ROLES)  # balances, holds, history, contents, own budget, plan tokens, groups one is in
ASK = Row(ROLES)  # checks, quotes, prices: an auditor reads, and these change nothing
CREATE = Row(ROLES) - {AUDITOR}  # create a generation, cancel while held
SELF = Row(ROLES) - {AUDITOR}  # credits/me, check-balance, delete own content, own budget, purchases
SETTLE = Row({WORKER, ORG_ADMIN, ADMIN})  # start, confirm, ..., reserve, debit, track, cost records, session tokens
MANAGE = Row({ORG_ADMIN, ADMIN})  # grant, void, refund, transfer, groups, ceilings, keys, webhooks, rules, settings
INSPECT = Row({ORG_ADMIN, AUDITOR, ADMIN})  # events, audit, export, verify, analytics of the organisation
STAFF = Row(ROLES) - {USER}  # lists of other people: a user reads their own alone
LOOK_AROUND = Row({AUDITOR, ADMIN})  # the platform, read
PLATFORM = Row({ADMIN})  # prices, plans, packages, features, other organisations, quarantine, rebuild


class Line(NamedTuple):
    """`about`: what the path, the query or the body names; its owner is the caller, somebody else, or a stranger.

    `account` and `user` stand in the path, `query` and `body` give a `user_id`; `generation`, `content`, `group` and
    `organisation` are things with an id in the path; `thing` is any other; "" is the whole organisation.
    """

    row: Row
    about: str = ""
    body: Mapping[str, Any] = MappingProxyType({})


_ACCOUNT = "/api/v1/accounts/{address}"
_GENERATION = "/api/v1/generations/{id}"
_ENTRY = {"id": "c1", "user_id": "me", "cost": "0.04", "success": True}

CALLS: dict[str, Line] = {
    "GET /api/v1/accounts": Line(READ),
    f"PATCH {_ACCOUNT}": Line(MANAGE, "account", {"frozen": False}),
    f"GET {_ACCOUNT}/balance": Line(READ, "account"),
    f"GET {_ACCOUNT}/transactions": Line(READ, "account"),
    f"GET {_ACCOUNT}/statement": Line(READ, "account"),
    f"GET {_ACCOUNT}/grants": Line(READ, "account"),
    f"GET {_ACCOUNT}/expirations": Line(READ, "account"),
    f"POST {_ACCOUNT}/grants": Line(MANAGE, "account", {"amount": 1, "source": "gift"}),
    f"POST {_ACCOUNT}/grants/{{id}}/void": Line(MANAGE, "account"),
    f"GET {_ACCOUNT}/reservations": Line(READ, "account"),
    f"GET {_ACCOUNT}/reservations/{{id}}": Line(READ, "account"),
    f"POST {_ACCOUNT}/reservations": Line(SETTLE, "account", {"amount": 1}),
    f"POST {_ACCOUNT}/reservations/{{id}}/capture": Line(SETTLE, "account"),
    f"POST {_ACCOUNT}/reservations/{{id}}/release": Line(SETTLE, "account"),
    f"POST {_ACCOUNT}/reservations/{{id}}/extend": Line(SETTLE, "account", {"ttl_seconds": 60}),
    f"POST {_ACCOUNT}/debits": Line(SETTLE, "account", {"amount": 1}),
    f"GET {_ACCOUNT}/debits/{{id}}": Line(READ, "account"),
    f"POST {_ACCOUNT}/debits/{{id}}/refunds": Line(MANAGE, "account"),
    f"POST {_ACCOUNT}/transfers": Line(MANAGE, "account", {"to": "user:x:credits", "amount": 1}),
    f"POST {_ACCOUNT}/shortfall/write-off": Line(MANAGE, "account"),
    "POST /api/v1/batch": Line(SETTLE, "", {"operations": [{"path": "/nowhere"}]}),
    "GET /api/auth/me": Line(READ),
    "POST /api/credits/me": Line(SELF, "", {"action": "reserve", "amount": 1}),
    "POST /api/v1/session-tokens": Line(SETTLE, "", {"user_id": "u"}),
    "GET /api/v1/prices": Line(ASK),
    "PUT /api/v1/prices": Line(PLATFORM, "", {"entries": [{"model": "m"}]}),
    "POST /api/v1/prices/preview": Line(LOOK_AROUND, "", {"entries": [{"model": "m", "credits": 1}]}),
    "GET /api/v1/prices/versions": Line(LOOK_AROUND),
    "POST /api/v1/quotes": Line(ASK, "", {"operation": "image"}),
    # Generations, contents, storage
    "POST /api/v1/generations/check": Line(ASK, "body", {"operation": "chat"}),
    "POST /api/v1/generations": Line(CREATE, "body", {"operation": "chat"}),
    "GET /api/v1/generations": Line(READ, "query"),
    f"GET {_GENERATION}": Line(READ, "generation"),
    f"GET {_GENERATION}/explain": Line(READ, "generation"),
    f"POST {_GENERATION}/cancel": Line(CREATE, "generation"),
    f"POST {_GENERATION}/start": Line(SETTLE, "generation"),
    f"POST {_GENERATION}/extend": Line(SETTLE, "generation", {"ttl_seconds": 60}),
    f"POST {_GENERATION}/confirm": Line(SETTLE, "generation"),
    f"POST {_GENERATION}/fail": Line(SETTLE, "generation", {"outcome": "other"}),
    f"POST {_GENERATION}/refund": Line(SETTLE, "generation", {"reason": "r"}),
    "GET /api/v1/contents": Line(READ, "query"),
    "DELETE /api/v1/contents/{id}": Line(SELF, "content"),
    "GET /api/v1/storage/me": Line(READ),
    "PUT /api/v1/users/{id}/storage-limit": Line(MANAGE, "user", {"bytes": 1_000_000_000}),
    "GET /api/v1/settings": Line(READ),
    "GET /api/v1/users/{id}/running-limit": Line(READ, "user"),
    "GET /api/v1/models/{model}/running-limit": Line(READ),
    "PUT /api/v1/users/{id}/running-limit": Line(MANAGE, "user", {"limit": 5}),
    "PUT /api/v1/models/{model}/running-limit": Line(MANAGE, "", {"limit": 5}),
    # Groups
    "GET /api/groups": Line(READ),
    "POST /api/groups": Line(MANAGE, "", {"name": "g"}),
    "GET /api/groups/{id}": Line(READ, "group"),
    "PATCH /api/groups/{id}": Line(MANAGE, "group", {"name": "h"}),
    "POST /api/groups/{id}/preview": Line(MANAGE, "group", {"image_limit": 1}),
    "DELETE /api/groups/{id}": Line(MANAGE, "group"),
    "GET /api/groups/{id}/members": Line(STAFF, "group"),
    "GET /api/groups/{id}/usage": Line(STAFF, "group"),
    "POST /api/group-members": Line(MANAGE, "", {"group_id": "none", "user_ids": ["u"]}),
    "POST /api/group-members/remove": Line(MANAGE, "", {"group_id": "none", "user_ids": ["u"]}),
    "DELETE /api/group-members": Line(MANAGE, "", {"group_id": "none", "user_ids": ["u"]}),
    "POST /api/track-generation": Line(SETTLE, "", {"user_id": "u", "type": "image"}),
    # Budgets
    "GET /api/v1/budgets/me": Line(READ),
    "PUT /api/v1/budgets/me": Line(SELF, "", {"monthly_budget": "20"}),
    "GET /api/v1/users/{id}/budget": Line(READ, "user"),
    "PUT /api/v1/users/{id}/budget": Line(MANAGE, "user", {"monthly_budget": "20"}),
    "POST /api/v1/budgets/check": Line(ASK, "body", {"expected_cost": "0.04"}),
    "POST /api/v1/budgets/costs": Line(SETTLE, "", {"entries": [_ENTRY]}),
    "GET /api/v1/budgets/me/costs": Line(READ),
    "GET /api/v1/budgets/me/analytics": Line(READ),
    "GET /api/v1/budgets/me/alerts": Line(READ),
    "GET /api/v1/budgets/health": Line(READ),
    # Organisations, plans, tokens, packages
    "GET /api/v1/organisations": Line(LOOK_AROUND),
    "POST /api/v1/organisations": Line(PLATFORM, "", {"id": "newcomer"}),
    "GET /api/v1/organisations/{id}": Line(INSPECT, "organisation"),
    "PATCH /api/v1/organisations/{id}": Line(MANAGE, "organisation", {"time_zone": "UTC"}),
    "PUT /api/v1/organisations/{id}/plan": Line(PLATFORM, "organisation", {"plan": "pro"}),
    "GET /api/v1/organisations/at-risk": Line(LOOK_AROUND),
    "GET /api/v1/plans": Line(ASK),
    "PUT /api/v1/plans/{id}": Line(PLATFORM, "", {"tokens": {"forecast": 1}}),
    "GET /api/v1/features": Line(ASK),
    "PUT /api/v1/features": Line(PLATFORM, "", {"features": {}}),
    "POST /api/v1/tokens/check-balance": Line(SELF, "body", {"action": "check", "token_type": "forecast"}),
    "GET /api/v1/tokens/stats": Line(READ),
    "GET /api/v1/tokens/usage-log": Line(READ),
    "GET /api/v1/packages": Line(ASK),
    "PUT /api/v1/packages": Line(PLATFORM, "", {"packages": []}),
    "GET /api/v1/purchases": Line(READ),
    "POST /api/v1/purchases": Line(SELF, "", {"package": "none"}),
    "POST /api/v1/purchases/{id}/paid": Line(MANAGE, "thing"),
    "POST /api/v1/purchases/{id}/cancel": Line(SELF, "thing"),
    # Support, alerts, keys, analytics
    "GET /api/v1/users": Line(STAFF),
    "GET /api/v1/users/{id}": Line(READ, "user"),
    "GET /api/v1/search": Line(INSPECT),
    "GET /api/v1/alerts": Line(INSPECT),
    "GET /api/v1/alerts/me": Line(READ),
    "GET /api/v1/alert-rules": Line(MANAGE),
    "PUT /api/v1/alert-rules": Line(MANAGE, "", {"rules": {}}),
    "GET /api/v1/webhooks": Line(MANAGE),
    "POST /api/v1/webhooks": Line(MANAGE, "", {"url": "https://example.com/hook"}),
    "PATCH /api/v1/webhooks/{id}": Line(MANAGE, "thing", {"enabled": False}),
    "DELETE /api/v1/webhooks/{id}": Line(MANAGE, "thing"),
    "GET /api/v1/webhooks/{id}/deliveries": Line(MANAGE, "thing"),
    "POST /api/v1/webhooks/{id}/resend": Line(MANAGE, "thing", {"delivery_id": "d"}),
    "GET /api/v1/api-keys": Line(MANAGE),
    "POST /api/v1/api-keys": Line(MANAGE, "", {"name": "k"}),
    "DELETE /api/v1/api-keys/{id}": Line(MANAGE, "thing"),
    "GET /api/v1/analytics": Line(INSPECT),
    "GET /api/v1/analytics/users": Line(INSPECT),
    "GET /api/v1/analytics/groups": Line(INSPECT),
    "GET /api/v1/forecasts": Line(INSPECT),
    # Operators and auditors
    "GET /api/v1/stream": Line(READ),
    "POST /api/v1/stream/tickets": Line(READ),
    "GET /api/v1/events": Line(INSPECT),
    "GET /api/v1/events/{position}": Line(INSPECT),
    "GET /api/v1/audit/verify": Line(INSPECT),
    "GET /api/v1/audit/proof/{position}": Line(INSPECT),
    "GET /api/v1/events/{position}/state": Line(INSPECT),
    "POST /api/v1/rebuilds": Line(PLATFORM),
    "GET /api/v1/rebuilds/current": Line(LOOK_AROUND),
    "POST /api/v1/topic-faults/acknowledge": Line(PLATFORM, "", {"ids": [1]}),
    "GET /api/v1/operations": Line(LOOK_AROUND),
    "GET /api/v1/quarantine": Line(LOOK_AROUND),
    "POST /api/v1/quarantine/{id}/retry": Line(PLATFORM),
}

# No login: what tells nothing of anybody, and a callback that is signed instead.
OPEN_CALLS = {
    "GET /livez",
    "GET /readyz",
    "GET /health",
    "GET /metrics",
    "GET /api/openapi.json",
    "GET /api/asyncapi.json",
    "GET /api/docs",
    "GET /api/docs/{version}/{file}",
    "POST /api/v1/payments/{provider}/webhook",
}
