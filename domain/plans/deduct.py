"""Use plan tokens of the organisation, or ask whether they could be used (S3)."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from domain.credits.account import account_of
from domain.credits.events import CreditsDebited
from domain.credits.rules import pay
from domain.groups.commands import count_use
from domain.groups.now import group_streams
from domain.groups.state import memberships_of
from domain.kernel.domain import Answerer, Decider, Module
from domain.kernel.work import Work
from domain.organisations.state import STREAM as ORGANISATION
from domain.organisations.state import organisation_of
from domain.plans.refusals import InsufficientTokens, PlanBlocked
from domain.plans.state import STREAM, catalogue_of, token_cost
from domain.refusal import Refusal, RefusalKind
from domain.resources.groups import GROUPS
from domain.resources.plan_tokens import plan_account

OK = "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUse:
    """`quantity` (1 to 10^12) uses of a token type or of a feature; with both, the feature is only a label.

    `complexity` as the feature has it. `user` is who uses them; team quotas of the user's groups hold.
    """

    token_type: str | None = None
    feature: str | None = None
    quantity: int = 1
    complexity: str | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensNow(TokenUse):
    """Ask whether a `DeductTokens` would be accepted now. The answer is a `TokenAnswer`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeductTokens(TokenUse):
    """Charge the use to the organisation's tokens of the type, at once and never below zero."""

    debit_id: str
    sealed: str | None = None


class TokenAnswer(NamedTuple):
    """Whether tokens can be used: `reason` is `ok` or a refusal's code, `cost` and `balance` (before it) are tokens.

    `refresh_date`: when the plan grants its next allowance; None before the first cycle.
    """

    allowed: bool
    reason: str
    token_type: str
    cost: int
    balance: int
    refresh_date: datetime | None
    refusal: Refusal | None = None


class TokensLeft(NamedTuple):
    """The balance after a deduction, and when the plan grants its next allowance; None before the first cycle."""

    balance: int
    refresh_date: datetime | None


def _first_streams(use: TokenUse) -> tuple[str, ...]:
    """What is known from the use alone."""
    return (ORGANISATION, memberships_of(use.user)) if use.user is not None else (ORGANISATION,)


def _further_streams(work: Work, use: TokenUse) -> tuple[str, ...]:
    """The account that pays, and the user's groups; no account for a type or feature that there is not."""
    feature = catalogue_of(work).features.get(use.feature or "")
    token_type = use.token_type or (feature.token_type if feature else None)
    account = (plan_account(work.org, token_type),) if token_type else ()
    return (*account, *(group_streams(work, use.user) if use.user is not None else ()))


def deduct(work: Work, command: DeductTokens) -> None:
    """The debit, with what it counts on the user's groups.

    Raises UnknownTokenUse, PlanBlocked, GroupLimit, InsufficientTokens, AccountClosed, AccountFrozen.
    """
    organisation, place = organisation_of(work), work.mark()
    token_type, cost = _cost(work, command)
    stream = plan_account(work.org, token_type)
    account = account_of(work, stream)
    spendable = max(0, account.spendable)
    if not spendable and not organisation.tokens.get(token_type):
        raise PlanBlocked(token_type=token_type, plan=organisation.plan, required=cost)
    if command.user is not None and organisation.enforces(GROUPS.name):  # a team quota must have room (S3)
        count_use(work, command.user, f"tokens.{token_type}", cost, command.debit_id)
    if cost > spendable:
        refresh_date = organisation.refresh_date(work.now) if organisation.tokens.get(token_type) else None
        raise InsufficientTokens(token_type=token_type, required=cost, available=spendable, refresh_date=refresh_date)
    debited = CreditsDebited(
        debit_id=command.debit_id,
        amount=cost,
        slices=pay(account, cost),
        item=command.feature or token_type,
        sealed=command.sealed,
        user=command.user,
    )
    work.emit(stream, debited, at=place)  # the debit first, then what it counts


def tokens_left(work: Work, command: DeductTokens) -> TokensLeft:
    """For the answer to a deduction that has just been decided."""
    token_type, _ = _cost(work, command)
    account = account_of(work, plan_account(work.org, token_type))
    return TokensLeft(max(0, account.spendable), organisation_of(work).refresh_date(work.now))


def tokens_now(work: Work, question: TokensNow) -> TokenAnswer:
    """What `deduct` would decide. Raises UnknownTokenUse."""
    token_type, cost = _cost(work, question)
    account = account_of(work, plan_account(work.org, token_type))
    use = DeductTokens(
        debit_id="",
        token_type=question.token_type,
        feature=question.feature,
        quantity=question.quantity,
        complexity=question.complexity,
        user=question.user,
    )
    refusal: Refusal | None = None
    try:
        deduct(work, use)
    except Refusal as refused:
        if refused.kind is RefusalKind.INVALID:
            raise
        refusal = refused
    reason = refusal.code if refusal else OK
    balance = max(0, account.spendable)
    refresh_date = organisation_of(work).refresh_date(work.now)
    return TokenAnswer(refusal is None, reason, token_type, cost, balance, refresh_date, refusal)


def _cost(work: Work, use: TokenUse) -> tuple[str, int]:
    return token_cost(
        catalogue_of(work),
        token_type=use.token_type,
        feature=use.feature,
        quantity=use.quantity,
        complexity=use.complexity,
    )


MODULE = Module(
    deciders={
        DeductTokens: Decider(
            _first_streams,
            deduct,
            platform=(STREAM,),
            streams_from_state=_further_streams,
            result_state=tokens_left,
        )
    },
    answerers={
        TokensNow: Answerer(_first_streams, tokens_now, platform=(STREAM,), streams_from_state=_further_streams)
    },
)
