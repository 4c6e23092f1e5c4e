"""An assessment as it is told to callers: the body of the check and of a refusal (contract, S0)."""

from typing import Any

from domain.credits.account import account_of
from domain.credits.refusals import InsufficientCredits
from domain.generations.alternatives import alternatives
from domain.generations.assess import OK, Assessment, payers, spendable
from domain.generations.events import Quoted, Short
from domain.generations.request import Request
from domain.kernel.work import Work
from domain.organisations.events import Resource
from domain.organisations.state import organisation_of
from domain.storage import state as storages
from domain.storage.now import limit_of
from domain.wording import amount_text, bytes_share_text, bytes_text, usd_text


def told(work: Work, request: Request, assessment: Assessment) -> dict[str, Any]:
    """The whole answer, the numbers beside their form for people."""
    organisation, storage = organisation_of(work), storages.storage_of(work, request.user)
    limit = limit_of(storage, organisation, request.defaults.storage_limit)
    used = storage.quota.used.get(storages.BYTES, 0)
    tokens = sum(spendable(account_of(work, stream)) for stream in payers(work, organisation, request.user, "tokens"))
    return {
        "can_proceed": assessment.ok,
        "reason": assessment.reason,
        "tokens_needed": _deficit(assessment, Resource.TOKENS),
        "storage_needed": _deficit(assessment, Resource.STORAGE),
        "current_tokens": tokens,
        "current_storage": used,
        "storage_limit": limit,
        "storage_percent": used * 1000 // limit / 10 if limit else 100.0,
        "storage_formatted": bytes_share_text(used, limit),
        "quote": quoted(assessment.needs.quote),
        "checks": [checked(check) for check in assessment.checks],
        "alternatives": [] if assessment.ok else alternatives(work, request, assessment),
    }


def quoted(quote: Quoted) -> dict[str, Any]:
    """A quote; `usd` is in micro-USD here, the edge writes it as a decimal string."""
    return quote._asdict()


def checked(check: Short) -> dict[str, Any]:
    """One resource's answer."""
    what, _, subject = check.subject.partition("/")
    deficit = 0 if check.ok else max(1, check.needed - (check.available or 0))
    numbers = {"needed": check.needed, "available": check.available, "limit": check.limit, "deficit": deficit}
    return {
        "resource": check.resource.value,
        "subject": subject or what,
        "ok": check.ok,
        "reason": OK if check.ok else check.reason,
        **numbers,
        "message": OK if check.ok else sentence(check),
        "formatted": {name: _formatted(what, name, amount) for name, amount in numbers.items()},
    }


def _formatted(what: str, name: str, amount: int | None) -> str:
    if amount is None:
        return "none" if name == "limit" else "unlimited"
    return amount_text(what, amount)


def sentence(check: Short) -> str:
    """Why a resource is short, for people."""
    what, _, subject = check.subject.partition("/")
    available = check.available or 0
    short = check.needed - available
    match check.reason:
        case "insufficient_credits":
            return str(InsufficientCredits(required=check.needed, available=available))
        case "insufficient_storage":
            return (
                f"Not enough storage. This needs {bytes_text(check.needed)}, but only {bytes_text(available)} of "
                f"{bytes_text(check.limit or 0)} is free. You're {bytes_text(short)} short."
            )
        case "budget_exceeded":
            return (
                f"Monthly budget exceeded. This costs {usd_text(check.needed)}, but only {usd_text(available)} of "
                f"{usd_text(check.limit or 0)} is left this month."
            )
        case "group_limit":
            named = what.removeprefix("tokens.").replace("_", " ") + (" tokens" if what.startswith("tokens.") else "s")
            limit = check.limit or 0
            return (
                f"The group {subject} has reached its limit: {limit - available} of {limit} {named} are used or held, "
                f"and this needs {check.needed}."
            )
        case "plan_blocked":
            return (
                f"The organisation's plan has no {what.removeprefix('tokens.')} tokens. Upgrade the plan to use this."
            )
        case _:
            named = f"{what.removeprefix('tokens.')} tokens" if what.startswith("tokens.") else "tokens"
            return (
                f"Insufficient tokens. You need {check.needed} {named} but only have {available}. "
                f"You're {short} tokens short."
            )


def sentences(assessment: Assessment) -> str:
    """All that is short, the reason first."""
    failed = [check for check in assessment.checks if not check.ok]
    failed.sort(key=lambda check: check.reason != assessment.reason)
    return " ".join(sentence(check) for check in failed)


def _deficit(assessment: Assessment, resource: Resource) -> int:
    return sum(
        check.needed - (check.available or 0)
        for check in assessment.checks
        if check.resource is resource and not check.ok
    )
