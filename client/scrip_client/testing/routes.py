"""Which function of the fake server answers which path, and for which roles."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from scrip_client.testing.flow import Ledger
from scrip_client.testing.ledger import Body
from scrip_client.testing.refusals import Refused

Handler = Callable[..., Body | list[Body]]
_WORKERS = frozenset({"worker", "org_admin", "admin"})
_ADMINS = frozenset({"org_admin", "admin"})
_ALL = _WORKERS | {"user"}


def _route(method: str, path: str, handler: Handler, roles: frozenset[str] = _WORKERS) -> tuple[Any, ...]:
    return method, re.compile(path.replace("{}", "([^/]+)")), handler, roles


_A, _G = "/api/v1/accounts/{}", "/api/v1/generations"
ROUTES = (
    _route("POST", f"{_A}/grants", Ledger.grant, _ADMINS),
    _route("POST", f"{_A}/grants/{{}}/void", Ledger.void, _ADMINS),
    _route("GET", f"{_A}/balance", Ledger.balance, _ALL),
    _route("POST", f"{_A}/reservations", Ledger.reserve),
    _route("POST", f"{_A}/reservations/{{}}/capture", Ledger.capture),
    _route("POST", f"{_A}/reservations/{{}}/release", Ledger.release),
    _route("POST", f"{_A}/reservations/{{}}/extend", Ledger.extend_hold),
    _route("POST", f"{_A}/debits", Ledger.debit),
    _route("POST", f"{_A}/debits/{{}}/refunds", Ledger.refund, _ADMINS),
    _route("GET", f"{_A}/transactions", Ledger.transactions, _ALL),
    _route("POST", "/api/v1/quotes", Ledger.quote, _ALL),
    _route("POST", f"{_G}/check", Ledger.check, _ALL),
    _route("POST", _G, Ledger.create, _ALL),
    _route("GET", _G, Ledger.list_generations, _ALL),
    _route("POST", f"{_G}/{{}}/start", Ledger.start),
    _route("POST", f"{_G}/{{}}/cancel", Ledger.cancel, _ALL),
    _route("POST", f"{_G}/{{}}/extend", Ledger.extend),
    _route("POST", f"{_G}/{{}}/confirm", Ledger.confirm),
    _route("POST", f"{_G}/{{}}/fail", Ledger.fail),
    _route("POST", f"{_G}/{{}}/refund", Ledger.refund_generation),
    _route("GET", f"{_G}/{{}}", Ledger.generation, _ALL),
    _route("GET", f"{_G}/{{}}/explain", Ledger.explain, _ALL),
    _route("GET", "/api/v1/contents", Ledger.list_contents, _ALL),
)


def handler_of(method: str, path: str, role: str) -> tuple[Handler, list[str]]:
    """What answers a request, and the names in its path. Raises Refused (403, 501)."""
    for verb, pattern, handler, roles in ROUTES:
        found = pattern.fullmatch(path)
        if verb == method and found:
            if role not in roles:
                raise Refused(403, "forbidden", f"The role {role} may not do this.")
            return handler, [unquote(part) for part in found.groups()]
    raise Refused(501, "not_in_the_fake", f"The fake server does not know {method} {path}.")
