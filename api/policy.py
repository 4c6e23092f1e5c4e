"""Who may do what: the contract's role table, one line for each operation. A route without a line stops the start."""

from collections.abc import Iterable
from typing import NamedTuple

from api.problems import Problem
from domain.credits.address import Address
from domain.resources.table import RESOURCES
from domain.settings.setting import Owner
from infra.security.principal import Principal, Role

USER, WORKER, ORG_ADMIN, AUDITOR, ADMIN = Role.USER, Role.WORKER, Role.ORG_ADMIN, Role.AUDITOR, Role.ADMIN


class Rule(NamedTuple):
    """The roles that may, and the scope that an API key with limited scopes needs; no roles: open to everybody."""

    roles: frozenset[Role]
    scope: str


def _rule(scope: str, *roles: Role) -> Rule:
    return Rule(frozenset(roles), scope)


OPEN = _rule("")
_READ = _rule("credits:read", USER, WORKER, ORG_ADMIN, AUDITOR, ADMIN)
_ASK = _rule("prices:read", USER, WORKER, ORG_ADMIN, AUDITOR, ADMIN)
_SPEND = _rule("credits:spend", WORKER, ORG_ADMIN, ADMIN)
_MANAGE = _rule("credits:manage", ORG_ADMIN, ADMIN)
_INSPECT = _rule("events:read", ORG_ADMIN, AUDITOR, ADMIN)
_ALERTS = _rule("alerts:manage", ORG_ADMIN, ADMIN)
_KEYS = _rule("keys:manage", ORG_ADMIN, ADMIN)
_LOOK = _rule("generations:read", USER, WORKER, ORG_ADMIN, AUDITOR, ADMIN)
_GENERATE = _rule("generations:create", USER, WORKER, ORG_ADMIN, ADMIN)
_SETTLE = _rule("generations:settle", WORKER, ORG_ADMIN, ADMIN)
_GROUPS = _rule("groups:manage", ORG_ADMIN, ADMIN)
_PLATFORM = _rule("platform:manage", ADMIN)
_PLATFORM_READ = _rule("platform:read", AUDITOR, ADMIN)
_STREAM = _rule("events:stream", USER, WORKER, ORG_ADMIN, AUDITOR, ADMIN)
_BUDGETS = _rule("budgets:read", USER, WORKER, ORG_ADMIN, AUDITOR, ADMIN)

POLICY: dict[str, Rule] = {
    "list_accounts": _READ,
    "configure_account": _MANAGE,
    "read_balance": _READ,
    "list_transactions": _READ,
    "read_statement": _READ,
    "grant_credits": _MANAGE,
    "list_grants": _READ,
    "list_expirations": _READ,
    "void_grant": _MANAGE,
    "reserve_credits": _SPEND,
    "list_reservations": _READ,
    "read_reservation": _READ,
    "capture_reservation": _SPEND,
    "release_reservation": _SPEND,
    "extend_reservation": _SPEND,
    "debit_credits": _SPEND,
    "read_debit": _READ,
    "refund_debit": _MANAGE,
    "transfer_credits": _MANAGE,
    # Each operation of a batch is checked by its own line.
    "run_batch": _rule("", WORKER, ORG_ADMIN, ADMIN),
    "read_prices": _ASK,
    "publish_prices": _rule("prices:manage", ADMIN),
    "preview_prices": _PLATFORM_READ,
    "list_price_versions": _PLATFORM_READ,
    "quote_price": _ASK,
    "read_me": _READ,
    "use_my_credits": _rule("credits:spend", USER, WORKER, ORG_ADMIN, ADMIN),
    "check_generation": _LOOK,
    "create_generation": _GENERATE,
    "cancel_generation": _GENERATE,
    "start_generation": _SETTLE,
    "extend_generation": _SETTLE,
    "confirm_generation": _SETTLE,
    "fail_generation": _SETTLE,
    "refund_generation": _SETTLE,
    "list_generations": _LOOK,
    "read_generation": _LOOK,
    "explain_generation": _LOOK,
    "list_contents": _LOOK,
    "delete_content": _GENERATE,
    "read_my_storage": _LOOK,
    "set_storage_limit": _rule("storage:manage", ORG_ADMIN, ADMIN),
    "list_groups": _rule("groups:read", USER, WORKER, ORG_ADMIN, AUDITOR, ADMIN),
    "read_group": _rule("groups:read", USER, WORKER, ORG_ADMIN, AUDITOR, ADMIN),
    "read_group_usage": _rule("groups:read", WORKER, ORG_ADMIN, AUDITOR, ADMIN),
    "list_group_members": _rule("groups:read", WORKER, ORG_ADMIN, AUDITOR, ADMIN),
    "create_group": _GROUPS,
    "edit_group": _GROUPS,
    "preview_group": _GROUPS,
    "delete_group": _GROUPS,
    "add_group_members": _GROUPS,
    "remove_group_members": _GROUPS,
    "delete_group_members": _GROUPS,
    "track_generation": _rule("groups:track", WORKER, ORG_ADMIN, ADMIN),
    "read_my_budget": _BUDGETS,
    "read_budget": _BUDGETS,
    "check_budget": _BUDGETS,
    "list_my_costs": _BUDGETS,
    "read_budget_analytics": _BUDGETS,
    "read_budget_alerts": _BUDGETS,
    "read_budget_health": _BUDGETS,
    "set_my_budget": _rule("budgets:set", USER, WORKER, ORG_ADMIN, ADMIN),
    "set_budget": _rule("budgets:manage", ORG_ADMIN, ADMIN),
    "record_costs": _rule("budgets:record", WORKER, ORG_ADMIN, ADMIN),
    "create_organisation": _PLATFORM,
    "list_organisations": _PLATFORM_READ,
    "list_at_risk": _PLATFORM_READ,
    "read_organisation": _rule("organisation:read", ORG_ADMIN, AUDITOR, ADMIN),
    "configure_organisation": _rule("organisation:manage", ORG_ADMIN, ADMIN),
    "choose_plan": _PLATFORM,
    "list_plans": _ASK,
    "publish_plan": _PLATFORM,
    "list_features": _ASK,
    "publish_features": _PLATFORM,
    "list_packages": _ASK,
    "publish_packages": _PLATFORM,
    "use_tokens": _rule("tokens:use", USER, WORKER, ORG_ADMIN, ADMIN),
    "read_token_stats": _READ,
    "list_token_usage": _READ,
    "create_purchase": _rule("purchases:create", USER, WORKER, ORG_ADMIN, ADMIN),
    "mark_purchase_paid": _MANAGE,  # and a plan's only the platform
    "cancel_purchase": _rule("purchases:create", USER, WORKER, ORG_ADMIN, ADMIN),
    "list_purchases": _READ,
    "payment_webhook": OPEN,  # a signature in the place of a login
    "write_off_shortfall": _MANAGE,
    "list_users": _rule("users:read", WORKER, ORG_ADMIN, AUDITOR, ADMIN),
    "read_user": _rule("users:read", USER, WORKER, ORG_ADMIN, AUDITOR, ADMIN),
    "list_settings": _LOOK,
    "search": _INSPECT,
    "read_analytics": _INSPECT,
    "list_user_usage": _INSPECT,
    "list_group_usage": _INSPECT,
    "list_forecasts": _INSPECT,
    "issue_session_token": _rule("sessions:issue", WORKER, ORG_ADMIN, ADMIN),
    "create_api_key": _KEYS,
    "list_api_keys": _KEYS,
    "revoke_api_key": _KEYS,
    "list_alerts": _INSPECT,
    "list_my_alerts": _READ,
    "read_alert_rules": _ALERTS,
    "set_alert_rules": _ALERTS,
    "list_webhooks": _ALERTS,
    "create_webhook": _ALERTS,
    "change_webhook": _ALERTS,
    "delete_webhook": _ALERTS,
    "list_deliveries": _ALERTS,
    "resend_delivery": _ALERTS,
    "follow_events": _STREAM,
    "issue_stream_ticket": _STREAM,
    "list_events": _INSPECT,
    "read_event": _INSPECT,
    "verify_audit": _INSPECT,
    "prove_event": _INSPECT,
    "read_stream_state": _INSPECT,
    "start_rebuild": _PLATFORM,
    "read_rebuild": _PLATFORM_READ,
    "acknowledge_topic_faults": _PLATFORM,
    "read_operations": _PLATFORM_READ,
    "list_quarantine": _rule("quarantine:read", AUDITOR, ADMIN),
    "retry_quarantined": _rule("quarantine:manage", ADMIN),
    "livez": OPEN,
    "readyz": OPEN,
    "health": OPEN,
    "metrics": OPEN,
    "openapi": OPEN,
    "asyncapi": OPEN,
    "docs": OPEN,
    "docs_file": OPEN,
} | {
    f"{do}_{on}_{name}": rule
    for on in (Owner.USER, Owner.MODEL)
    for name in RESOURCES.settings[on]
    for do, rule in (("read", _LOOK), ("set", _rule("limits:manage", ORG_ADMIN, ADMIN)))
}

SCOPES = frozenset(rule.scope for rule in POLICY.values() if rule.scope)


class PolicyMismatch(Exception):
    """Routes and policy do not name the same operations: the service must not start."""


def check_policy(operations: Iterable[str]) -> None:
    """Raises PolicyMismatch where a route has no line, or a line no route."""
    routed = set(operations)
    without, unused = sorted(routed - POLICY.keys()), sorted(POLICY.keys() - routed)
    if without or unused:
        raise PolicyMismatch(
            f"routes without a policy: {without or 'none'}; policies without a route: {unused or 'none'}"
        )


def authorise(principal: Principal, operation: str, address: Address | None = None) -> None:
    """Let the principal do the operation, on the account at `address` where it has one. Raises Problem (403)."""
    rule = POLICY[operation]
    if principal.role not in rule.roles:
        raise Problem(403, "forbidden", f"The role {principal.role.value} may not do this.", role=principal.role.value)
    if principal.scopes is not None and rule.scope and rule.scope not in principal.scopes:
        raise Problem(403, "missing_scope", f"The API key lacks the scope {rule.scope}.", scope=rule.scope)
    if address is not None and principal.role is Role.USER and not owns(principal, address):
        raise Problem(403, "not_own", "A user may only see and use their own accounts.")


def is_administrative(operation: str) -> bool:
    """Whether only administrators, of an organisation or of the platform, may do this."""
    roles = POLICY[operation].roles
    return bool(roles) and roles <= {ORG_ADMIN, ADMIN}


def owns(principal: Principal, address: Address) -> bool:
    """Whether the account is the principal's own."""
    return address.owner_type == "user" and address.owner_id == principal.sub
