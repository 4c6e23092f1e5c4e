"""The page of all metrics, from what the roles export."""

from __future__ import annotations

from typing import Any

from cli.exported_metrics import exported_metrics
from cli.reference.markdown import head, table

INTRODUCTION = """The API has them at `GET /metrics`; all roles serve theirs on `SCRIP_METRICS_PORT`. All are
in the text format of Prometheus. Labels are routes, operations and codes, never ids: how many
series there are does not depend on how many users there are. The processes' own (`process_…`)
come beside them.

[alerts.yml](../metrics/alerts.yml) has alert rules, [prometheus.yml](../metrics/prometheus.yml) the targets, and
there are two Grafana dashboards, [business](../metrics/grafana/scrip-business.json) and
[operations](../metrics/grafana/scrip-operations.json). The [runbook](../runbook.md#figures) says what to do."""


def page() -> str:
    """The whole page."""
    told: dict[str, tuple[Any, list[str]]] = {}
    for role, families in exported_metrics().items():
        for family in families:
            told.setdefault(family.name, (family, []))[1].append(role)
    rows = [
        (
            f"`{name}{'_total' if family.type == 'counter' else ''}`",
            family.type,
            ", ".join(f"`{label}`" for label in getattr(family, "_labelnames", ())),
            ", ".join(roles),
            family.documentation,
        )
        for name, (family, roles) in sorted(told.items())
    ]
    return head("Metrics", INTRODUCTION) + "\n" + table(("metric", "type", "labels", "role", "meaning"), rows)
