"""The page of alert rules: when each is raised, and which figures an organisation may change."""

from __future__ import annotations

from cli.reference.markdown import head, table
from infra.alert_rules import RULES

INTRODUCTION = """Each crossing is told once: on `scrip.notifications`, under `GET /api/v1/alerts` and by webhook.
Every rule can be switched off and its figures changed with `PUT /api/v1/alert-rules`. What to do
about each is in the [runbook](../runbook.md#alerts)."""


def page() -> str:
    """The whole page."""
    rows = []
    for rule in RULES.values():
        figures = [
            f"`{name}` {each.default:,} ({each.least:,} to {each.most:,})" for name, each in rule.thresholds.items()
        ]
        rows.append((f"`{rule.name}`", f"`{rule.type}`", rule.about, ", ".join(figures)))
    return (
        head("Alert rules", INTRODUCTION) + "\n" + table(("rule", "notification type", "raised when", "figures"), rows)
    )
