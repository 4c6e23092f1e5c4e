"""An assessment as it is told to callers: the body of the check and of a refusal (contract, S0)."""

from collections.abc import Sequence
from typing import Any

from domain.generations.alternatives import alternatives
from domain.generations.assessment import OK, Assessment
from domain.generations.events import ResourceCheck
from domain.resources.table import Resources, table
from domain.wording import amount_text


def told(assessment: Assessment) -> dict[str, Any]:
    """The whole answer, the numbers beside their form for people; `usd` is micro-USD."""
    resources = table(assessment.work)
    facts: dict[str, Any] = {}
    for each in resources:
        facts |= each.facts(assessment, [check for check in assessment.checks if check.resource == each.name])
    return {
        "can_proceed": assessment.ok,
        "reason": assessment.reason,
        **facts,
        "quote": assessment.quoted()._asdict(),
        "checks": [checked(resources, check) for check in assessment.checks],
        "alternatives": [] if assessment.ok else alternatives(assessment),
    }


def checked(resources: Resources, check: ResourceCheck) -> dict[str, Any]:
    """One resource's answer."""
    what, _, subject = check.subject.partition("/")
    deficit = 0 if check.ok else max(1, check.needed - (check.available or 0))
    numbers = {"needed": check.needed, "available": check.available, "limit": check.limit, "deficit": deficit}
    return {
        "resource": check.resource,
        "subject": subject or what,
        "ok": check.ok,
        "reason": OK if check.ok else check.reason,
        **numbers,
        "message": OK if check.ok else resources.shown(check.resource).sentence(check),
        "formatted": {name: _formatted(what, name, amount) for name, amount in numbers.items()},
    }


def _formatted(what: str, name: str, amount: int | None) -> str:
    if amount is None:
        return "none" if name == "limit" else "unlimited"
    return amount_text(what, amount)


def sentences(resources: Resources, checks: Sequence[ResourceCheck], reason: str) -> str:
    """All that is short, the reason first."""
    failed = sorted((check for check in checks if not check.ok), key=lambda check: check.reason != reason)
    return " ".join(resources.shown(check.resource).sentence(check) for check in failed)
