"""May this generation run? One assessment of all that it needs, used by the check and by the decision alike."""

from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from domain.bounds import MAX_SLICES
from domain.budgets import state as budgets
from domain.credits import address
from domain.credits.account import Account
from domain.credits.refusals import TooManyGrantsAtOnce
from domain.credits.rules import payable
from domain.execution import View
from domain.generations.events import Held, Quoted, Short
from domain.generations.needs import Needs, needs_of
from domain.generations.request import Request
from domain.groups import state as groups
from domain.organisations.events import Resource
from domain.organisations.state import STREAM as ORGANISATION
from domain.organisations.state import Organisation
from domain.periods import Every
from domain.quotas.events import Amounts
from domain.quotas.quota import begun
from domain.storage import state as storages
from domain.storage.now import limit_of

OK = "ok"
# The reason of a refusal is the first of these that applies (contract).
REASONS = (
    "plan_blocked",
    "group_limit",
    "budget_exceeded",
    "insufficient_storage",
    "insufficient_tokens",
    "insufficient_credits",
)


class Assessment(NamedTuple):
    """What is needed, what each resource says to it, and what would be held; `begins`: periods that begin."""

    needs: Needs
    checks: tuple[Short, ...]
    holds: tuple[Held, ...]
    begins: tuple[tuple[str, Any], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it may run."""
        return all(check.ok for check in self.checks)

    @property
    def reason(self) -> str:
        """`ok`, or the first reason of the contract's order."""
        failed = {check.reason for check in self.checks if not check.ok}
        return next((reason for reason in REASONS if reason in failed), OK)


def assess(view: View, request: Request, now: datetime) -> Assessment:
    """Assess a request against current states. Raises what `needs_of` raises, and TooManyGrantsAtOnce."""
    organisation: Organisation = view.state(ORGANISATION)
    needs = needs_of(view, request, now)
    quote = needs.quote
    checks: list[Short] = []
    holds: list[Held] = []
    begins: list[tuple[str, Any]] = []
    if quote.plan_tokens and organisation.enforces(Resource.PLAN):
        _plan(view, organisation, quote, checks, holds)
    if organisation.enforces(Resource.GROUPS):
        _groups(view, organisation, request.user, needs, now, checks, holds, begins)
    if quote.usd and organisation.enforces(Resource.BUDGET):
        _budget(view, organisation, request.user, quote.usd, now, checks, holds, begins)
    if (quote.bytes or request.bytes is not None) and organisation.enforces(Resource.STORAGE):
        _storage(view, organisation, request, quote.bytes, checks, holds)
    for resource, amount in ((Resource.TOKENS, quote.tokens), (Resource.CREDITS, quote.credits)):
        if amount and organisation.enforces(resource):
            _payers(view, organisation, request.user, resource, amount, checks, holds)
    return Assessment(needs, tuple(checks), tuple(holds), tuple(begins))


def payers(view: View, organisation: Organisation, user: str, unit: str) -> tuple[str, ...]:
    """The streams of the accounts that pay for a user, in order (organisation setting `pay_from`)."""
    return _payers_of(organisation.pay_from, view.org, user, unit)


@lru_cache(maxsize=16_384)
def _payers_of(pay_from: tuple[str, ...], org: str, user: str, unit: str) -> tuple[str, ...]:
    owners = (owner.replace("{user}", user).replace("{org}", org) for owner in pay_from)
    return tuple(address.stream_of(f"{owner}:{unit}") for owner in owners)


def plan_account(org: str, token_type: str) -> str:
    """The stream of the organisation's tokens of a type."""
    return address.stream_of(f"org:{org}:tokens.{token_type}")


def spendable(account: Account) -> int:
    """What may be held of an account; nothing of one that is frozen or closed."""
    return 0 if account.frozen or account.closed else max(0, account.spendable)


def at_once(account: Account, amount: int) -> None:
    """Refuse what is spread over too many grants, also when it is only asked for. Raises TooManyGrantsAtOnce."""
    if len(account.grants) >= MAX_SLICES and amount > payable(account):
        raise TooManyGrantsAtOnce(limit=MAX_SLICES, possible=payable(account))


def split_over(view: View, streams: tuple[str, ...], amount: int) -> list[tuple[str, int]]:
    """How much each account pays of an amount, in order; less in total where they do not have it.

    Raises TooManyGrantsAtOnce.
    """
    parts, left = [], amount
    for stream in streams:
        account: Account = view.state(stream)
        part = min(left, spendable(account))
        if part > 0:
            at_once(account, part)
            parts.append((stream, part))
            left -= part
    return parts


def _payers(
    view: View,
    organisation: Organisation,
    user: str,
    resource: Resource,
    amount: int,
    checks: list[Short],
    holds: list[Held],
) -> None:
    unit = resource.value
    streams = payers(view, organisation, user, unit)
    parts = split_over(view, streams, amount)
    paid = sum(part for _, part in parts)
    holds += [Held(resource, stream, {unit: part}) for stream, part in parts]
    available = sum(spendable(view.state(stream)) for stream in streams)
    checks.append(Short(resource, paid == amount, f"insufficient_{unit}", amount, available, None, unit))


def _plan(view: View, organisation: Organisation, quote: Quoted, checks: list[Short], holds: list[Held]) -> None:
    token_type = quote.token_type or ""
    stream = plan_account(view.org, token_type)
    account: Account = view.state(stream)
    available = spendable(account)
    blocked = not available and not organisation.tokens.get(token_type)
    reason = "plan_blocked" if blocked else "insufficient_tokens"
    unit = f"tokens.{token_type}"
    ok = quote.plan_tokens <= available
    if ok:
        at_once(account, quote.plan_tokens)
    checks.append(
        Short(Resource.PLAN, ok, reason, quote.plan_tokens, available, organisation.tokens.get(token_type, 0), unit)
    )
    holds.append(Held(Resource.PLAN, stream, {unit: quote.plan_tokens}))


def _groups(
    view: View,
    organisation: Organisation,
    user: str,
    needs: Needs,
    now: datetime,
    checks: list[Short],
    holds: list[Held],
    begins: list[tuple[str, Any]],
) -> None:
    """Every group that the user is in must have room (S1); team quotas for plan tokens are limits like the others."""
    amounts: Amounts = dict(needs.counted)
    if needs.quote.plan_tokens:
        amounts[f"tokens.{needs.quote.token_type}"] = needs.quote.plan_tokens
    if not amounts:
        return
    for group_id in view.state(groups.memberships_of(user)).groups:
        stream = groups.stream_of(group_id)
        group: groups.Group = view.state(stream)
        if not group.live:
            continue
        for what, amount in amounts.items():
            limit = group.limit(what)
            available = None if limit is None else max(0, limit - group.quota.taken(what))
            ok = available is None or amount <= available
            checks.append(Short(Resource.GROUPS, ok, "group_limit", amount, available, limit, f"{what}/{group_id}"))
        holds.append(Held(Resource.GROUPS, stream, amounts))
        begins += [(stream, event) for event in begun(group.quota, group.every, organisation.time_zone, now)]


def _budget(
    view: View,
    organisation: Organisation,
    user: str,
    usd: int,
    now: datetime,
    checks: list[Short],
    holds: list[Held],
    begins: list[tuple[str, Any]],
) -> None:
    stream = budgets.stream_of(user)
    budget: budgets.Budget = view.state(stream)
    available = budget.remaining
    checks.append(Short(Resource.BUDGET, usd <= available, "budget_exceeded", usd, available, budget.monthly, "usd"))
    holds.append(Held(Resource.BUDGET, stream, {budgets.USD: usd}))
    begins += [(stream, event) for event in begun(budget.quota, Every.MONTH, organisation.time_zone, now)]


def _storage(
    view: View, organisation: Organisation, request: Request, size: int, checks: list[Short], holds: list[Held]
) -> None:
    stream = storages.stream_of(request.user)
    storage: storages.Storage = view.state(stream)
    limit = limit_of(storage, organisation, request.defaults.storage_limit)
    available = limit - storage.quota.taken(storages.BYTES)
    ok = size <= available
    checks.append(Short(Resource.STORAGE, ok, "insufficient_storage", size, max(0, available), limit, "bytes"))
    if size:
        holds.append(Held(Resource.STORAGE, stream, {storages.BYTES: size}))
