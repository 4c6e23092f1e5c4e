"""May this generation run? One assessment of all that it needs, used by the check and by the decision alike."""

from functools import lru_cache
from typing import NamedTuple

from domain.bounds import MAX_SLICES
from domain.budgets import state as budgets
from domain.credits import address
from domain.credits.account import Account, account_of
from domain.credits.refusals import TooManyGrantsAtOnce
from domain.credits.rules import payable
from domain.generations.events import Held, Quoted, Short
from domain.generations.needs import Needs, needs_of
from domain.generations.request import Request
from domain.groups import state as groups
from domain.kernel.work import Work
from domain.organisations.events import Resource
from domain.organisations.state import Organisation, organisation_of
from domain.quotas.events import Amounts
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
    """What is needed, what each resource says to it, and what would be held."""

    needs: Needs
    checks: tuple[Short, ...]
    holds: tuple[Held, ...]

    @property
    def ok(self) -> bool:
        """Whether it may run."""
        return all(check.ok for check in self.checks)

    @property
    def reason(self) -> str:
        """`ok`, or the first reason of the contract's order."""
        failed = {check.reason for check in self.checks if not check.ok}
        return next((reason for reason in REASONS if reason in failed), OK)


def assess(work: Work, request: Request) -> Assessment:
    """Assess a request against current states. Raises what `needs_of` raises, and TooManyGrantsAtOnce."""
    organisation = organisation_of(work)
    needs = needs_of(work, request)
    quote = needs.quote
    checks: list[Short] = []
    holds: list[Held] = []
    if quote.plan_tokens and organisation.enforces(Resource.PLAN):
        _plan(work, organisation, quote, checks, holds)
    if organisation.enforces(Resource.GROUPS):
        _groups(work, request.user, needs, checks, holds)
    if quote.usd and organisation.enforces(Resource.BUDGET):
        _budget(work, request.user, quote.usd, checks, holds)
    if (quote.bytes or request.bytes is not None) and organisation.enforces(Resource.STORAGE):
        _storage(work, organisation, request, quote.bytes, checks, holds)
    for resource, amount in ((Resource.TOKENS, quote.tokens), (Resource.CREDITS, quote.credits)):
        if amount and organisation.enforces(resource):
            _payers(work, organisation, request.user, resource, amount, checks, holds)
    return Assessment(needs, tuple(checks), tuple(holds))


def payers(work: Work, organisation: Organisation, user: str, unit: str) -> tuple[str, ...]:
    """The streams of the accounts that pay for a user, in order (organisation setting `pay_from`)."""
    return _payers_of(organisation.pay_from, work.org, user, unit)


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


def split_over(work: Work, streams: tuple[str, ...], amount: int) -> list[tuple[str, int]]:
    """How much each account pays of an amount, in order; less in total where they do not have it.

    Raises TooManyGrantsAtOnce.
    """
    parts, left = [], amount
    for stream in streams:
        account = account_of(work, stream)
        part = min(left, spendable(account))
        if part > 0:
            at_once(account, part)
            parts.append((stream, part))
            left -= part
    return parts


def _payers(
    work: Work,
    organisation: Organisation,
    user: str,
    resource: Resource,
    amount: int,
    checks: list[Short],
    holds: list[Held],
) -> None:
    unit = resource.value
    streams = payers(work, organisation, user, unit)
    parts = split_over(work, streams, amount)
    paid = sum(part for _, part in parts)
    holds += [Held(resource, stream, {unit: part}) for stream, part in parts]
    available = sum(spendable(account_of(work, stream)) for stream in streams)
    checks.append(Short(resource, paid == amount, f"insufficient_{unit}", amount, available, None, unit))


def _plan(work: Work, organisation: Organisation, quote: Quoted, checks: list[Short], holds: list[Held]) -> None:
    token_type = quote.token_type or ""
    stream = plan_account(work.org, token_type)
    account = account_of(work, stream)
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
    work: Work,
    user: str,
    needs: Needs,
    checks: list[Short],
    holds: list[Held],
) -> None:
    """Every group that the user is in must have room (S1); team quotas for plan tokens are limits like the others."""
    amounts: Amounts = dict(needs.counted)
    if needs.quote.plan_tokens:
        amounts[f"tokens.{needs.quote.token_type}"] = needs.quote.plan_tokens
    if not amounts:
        return
    for group_id in groups.groups_joined(work, user):
        stream, group = groups.stream_of(group_id), groups.group_of(work, group_id)
        if not group.live:
            continue
        for what, amount in amounts.items():
            limit = group.limit(what)
            available = None if limit is None else max(0, limit - group.quota.taken(what))
            ok = available is None or amount <= available
            checks.append(Short(Resource.GROUPS, ok, "group_limit", amount, available, limit, f"{what}/{group_id}"))
        holds.append(Held(Resource.GROUPS, stream, amounts))


def _budget(
    work: Work,
    user: str,
    usd: int,
    checks: list[Short],
    holds: list[Held],
) -> None:
    stream, budget = budgets.stream_of(user), budgets.budget_of(work, user)
    available = budget.remaining
    checks.append(Short(Resource.BUDGET, usd <= available, "budget_exceeded", usd, available, budget.monthly, "usd"))
    holds.append(Held(Resource.BUDGET, stream, {budgets.USD: usd}))


def _storage(
    work: Work, organisation: Organisation, request: Request, size: int, checks: list[Short], holds: list[Held]
) -> None:
    stream, storage = storages.stream_of(request.user), storages.storage_of(work, request.user)
    limit = limit_of(storage, organisation, request.defaults.storage_limit)
    available = limit - storage.quota.taken(storages.BYTES)
    ok = size <= available
    checks.append(Short(Resource.STORAGE, ok, "insufficient_storage", size, max(0, available), limit, "bytes"))
    if size:
        holds.append(Held(Resource.STORAGE, stream, {storages.BYTES: size}))
