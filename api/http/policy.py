"""Who may do what, by the contract's rules, and what is logged of it. Each endpoint names one of the rules.

Logged is everything that was denied, and everything that only administrators may do: with actor, organisation,
operation and outcome. Never a body, a path, a credential or a text of the caller's: every value is one of ours or an
id that was checked, so no line can be forged.
"""

from http import HTTPStatus
from typing import Final, NamedTuple

import msgspec
import structlog
from starlette.types import Scope

from api.http.problems import Problem
from domain.credits.address import Address
from infra.security.principal import Principal, Role

USER, WORKER, ORG_ADMIN, AUDITOR, ADMIN = Role.USER, Role.WORKER, Role.ORG_ADMIN, Role.AUDITOR, Role.ADMIN


class Rule(NamedTuple):
    """The roles that may, and the scope that an API key with limited scopes needs. No roles: open to everybody."""

    roles: frozenset[Role]
    scope: str

    @property
    def administrative(self) -> bool:
        """Whether only administrators, of an organisation or of the platform, may do this."""
        return bool(self.roles) and self.roles <= {ORG_ADMIN, ADMIN}


def _rule(scope: str, *roles: Role) -> Rule:
    return Rule(frozenset(roles), scope)


_ALL = (USER, WORKER, ORG_ADMIN, AUDITOR, ADMIN)


class May:
    """The rules by what they allow."""

    ANYBODY = _rule("")  # no login
    READ_CREDITS = _rule("credits:read", *_ALL)
    SPEND_OWN_CREDITS = _rule("credits:spend", USER, WORKER, ORG_ADMIN, ADMIN)
    SPEND_CREDITS = _rule("credits:spend", WORKER, ORG_ADMIN, ADMIN)
    MANAGE_CREDITS = _rule("credits:manage", ORG_ADMIN, ADMIN)
    SEND_BATCHES = _rule("", WORKER, ORG_ADMIN, ADMIN)  # each operation of a batch is checked by its own rule
    READ_PRICES = _rule("prices:read", *_ALL)
    SET_PRICES = _rule("prices:manage", ADMIN)
    READ_GENERATIONS = _rule("generations:read", *_ALL)
    CREATE_GENERATIONS = _rule("generations:create", USER, WORKER, ORG_ADMIN, ADMIN)
    SETTLE_GENERATIONS = _rule("generations:settle", WORKER, ORG_ADMIN, ADMIN)
    SET_STORAGE = _rule("storage:manage", ORG_ADMIN, ADMIN)
    READ_OWN_GROUPS = _rule("groups:read", *_ALL)
    READ_GROUPS = _rule("groups:read", WORKER, ORG_ADMIN, AUDITOR, ADMIN)
    MANAGE_GROUPS = _rule("groups:manage", ORG_ADMIN, ADMIN)
    TRACK_IN_GROUPS = _rule("groups:track", WORKER, ORG_ADMIN, ADMIN)
    READ_BUDGETS = _rule("budgets:read", *_ALL)
    SET_OWN_BUDGET = _rule("budgets:set", USER, WORKER, ORG_ADMIN, ADMIN)
    SET_BUDGETS = _rule("budgets:manage", ORG_ADMIN, ADMIN)
    RECORD_COSTS = _rule("budgets:record", WORKER, ORG_ADMIN, ADMIN)
    SET_LIMITS = _rule("limits:manage", ORG_ADMIN, ADMIN)
    READ_ORGANISATION = _rule("organisation:read", ORG_ADMIN, AUDITOR, ADMIN)
    SET_ORGANISATION = _rule("organisation:manage", ORG_ADMIN, ADMIN)
    USE_TOKENS = _rule("tokens:use", USER, WORKER, ORG_ADMIN, ADMIN)
    BUY = _rule("purchases:create", USER, WORKER, ORG_ADMIN, ADMIN)
    READ_OWN_USER = _rule("users:read", *_ALL)
    READ_USERS = _rule("users:read", WORKER, ORG_ADMIN, AUDITOR, ADMIN)
    ISSUE_SESSIONS = _rule("sessions:issue", WORKER, ORG_ADMIN, ADMIN)
    MANAGE_KEYS = _rule("keys:manage", ORG_ADMIN, ADMIN)
    MANAGE_ALERTS = _rule("alerts:manage", ORG_ADMIN, ADMIN)
    READ_EVENTS = _rule("events:read", ORG_ADMIN, AUDITOR, ADMIN)
    FOLLOW_EVENTS = _rule("events:stream", *_ALL)
    READ_QUARANTINE = _rule("quarantine:read", AUDITOR, ADMIN)
    RETRY_QUARANTINED = _rule("quarantine:manage", ADMIN)
    READ_PLATFORM = _rule("platform:read", AUDITOR, ADMIN)
    MANAGE_PLATFORM = _rule("platform:manage", ADMIN)


SCOPES = frozenset(rule.scope for rule in vars(May).values() if isinstance(rule, Rule) and rule.scope)


def authorise(principal: Principal, rule: Rule, address: Address | None = None) -> None:
    """Raises Problem (403) for who may not do what the rule is for, or not on the account at `address`."""
    if principal.role not in rule.roles:
        raise Problem(403, "forbidden", f"The role {principal.role.value} may not do this.", role=principal.role.value)
    if principal.scopes is not None and rule.scope and rule.scope not in principal.scopes:
        raise Problem(403, "missing_scope", f"The API key lacks the scope {rule.scope}.", scope=rule.scope)
    if address is not None and principal.role is Role.USER and not owns(principal, address):
        raise Problem(403, "not_own", "A user may only see and use their own accounts.")


def owns(principal: Principal, address: Address) -> bool:
    """Whether the account is the principal's own."""
    return address.owner_type == "user" and address.owner_id == principal.sub


DENIED: Final = frozenset({401, 403, 404, 429})
_ANONYMOUS: Final = frozenset({401, 429})
_UNKNOWN = "unknown"

log = structlog.get_logger()


class _Told(msgspec.Struct):
    code: str = _UNKNOWN


def known(scope: Scope, principal: Principal, org: str) -> None:
    """Keep who calls, and for which organisation, for the log."""
    scope["scrip.who"] = (principal, org)


def record(scope: Scope, status: int, body: bytes) -> None:
    """Log an answered request if it is to be. `body`: of the answer, where that is one of the DENIED.

    A path that does not exist is no operation; only the metrics count it.
    """
    endpoint = scope.get("route")
    if endpoint is None:
        return
    operation = endpoint.name
    who: tuple[Principal, str] | None = scope.get("scrip.who")
    if who is None:
        if status in _ANONYMOUS:
            log.warning("denied", operation=operation, actor=None, org=None, status=status, outcome=_code(body))
        return
    principal, org = who
    if status in DENIED:
        denied(principal, org, operation, status, _code(body))
    elif principal.role is Role.ADMIN or endpoint.may.administrative:
        outcome = "done" if status < HTTPStatus.BAD_REQUEST else "not done"
        log.info("administration", operation=operation, actor=principal.actor, org=org, status=status, outcome=outcome)


def denied(principal: Principal, org: str, operation: str, status: int, code: str) -> None:
    """Log what was denied: a request, or one operation of a batch, which is answered with 200 itself."""
    log.warning("denied", operation=operation, actor=principal.actor, org=org, status=status, outcome=code)


def _code(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Told).code
    except msgspec.DecodeError:
        return _UNKNOWN
