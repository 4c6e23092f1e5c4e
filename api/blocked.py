"""Refused checks and deductions, on their way to the topic `scrip.decisions` (contract: best effort)."""

from collections.abc import Callable
from typing import Any

from domain.money import micros
from infra.decisions import DEDUCTION, RefusedChecks


def publishing(checks: RefusedChecks) -> Callable[[str, dict[str, Any]], None]:
    """What `Services.on_refused_check` is to be: notes organisation and answer of a check that said no.

    With `deduction`, it was one of plan tokens.
    """

    def note(org: str, told: dict[str, Any]) -> None:
        short = next((check for check in told["checks"] if not check["ok"]), None)
        deficit = short["deficit"] if short else 0
        more = {"type_": DEDUCTION} if told.get("deduction") else {}
        checks.refused_check(
            org,
            told["user_id"],
            told["operation"],
            told.get("model"),
            told["reason"],
            micros(deficit) if isinstance(deficit, str) else deficit,
            told.get("actor", ""),
            told.get("at"),
            **more,
        )

    return note
