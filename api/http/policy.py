"""Who may do what: the contract's rules. Each endpoint names one of them; `api.endpoints.POLICY` is the whole table."""

from typing import NamedTuple

from api.problems import Problem
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
