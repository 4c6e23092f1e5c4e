"""The auditor's check as the commands run and show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cli.output import say, say_table, status

if TYPE_CHECKING:
    from infra.audit.report import Report
    from infra.settings import Settings


def audit(settings: Settings) -> Report:
    """Check everything against everything, with progress on standard error. Raises what reaching the servers raises."""
    from cli.service.interrupt import run_async
    from domain.registry import SCRIP
    from infra.audit.runs import audited

    with status("verifying") as show:

        def seen(section: str, done: int, total: int) -> None:
            show(f"verifying: {section} {done:,}{f' of {total:,}' if total else ''}")

        return run_async(audited(settings, SCRIP.resources.kinds, "cli", seen))


def show_audit(report: Mapping[str, Any]) -> None:
    """What was checked, with counts, and the first difference where something is off. `report`: as JSON has it."""
    rows = []
    for section in report["sections"]:
        checked = ", ".join(f"{count:,} {what}" for what, count in section["checked"].items())
        rows.append(
            (
                section["name"],
                "ok" if section["ok"] else "DIFFERENT",
                checked,
                f"{section['seconds']:.2f} s" if "seconds" in section else "",
            )
        )
    say_table("Verify", ("section", "", "checked", "time"), rows)
    for section in report["sections"]:
        found = section.get("first_difference")
        if found is not None:
            say(f"{section['name']}: {found['where']}: expected {found['expected']}, found {found['found']}")
    say("verify holds" if report["ok"] else "verify FAILED")
