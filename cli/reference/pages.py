"""The pages of alert rules, refusals, settings, metrics, read models and the command line."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import getdoc
from itertools import groupby
from typing import Any

import typer
from prometheus_client.core import Metric
from pydantic import SecretStr
from typer.cli import get_docs_for_click

from api.http.metrics import Metrics
from api.http.problems import refused
from cli.reference.markdown import head, table
from consumers.intake.batch import Tally
from consumers.intake.role import intake_metrics
from consumers.notifier.engine import Engine
from consumers.notifier.role import notifier_metrics
from consumers.projector import Counts, projector_metrics
from domain.refusal import Refusal
from domain.registry import SCRIP
from infra.alerts import RULES
from infra.relay.relay import Relay
from infra.relay.role import relay_metrics
from infra.settings import Settings
from infra.sweeper import sweeper_metrics
from infra.writer.ledger import Ledger
from infra.writer.reader import Reader
from infra.writer.submission import Refused
from infra.writer.writer import Writer
from projections.read_model import ReadModel
from projections.versions import tables

ALERTS = """Each crossing is reported once: on `scrip.notifications`, under `GET /api/v1/alerts` and by webhook.
Every rule can be switched off and its figures changed with `PUT /api/v1/alert-rules`. What to do
about each is in the [runbook](../runbook.md#alerts)."""
REFUSALS = """Errors are `application/problem+json` (RFC 9457) with a stable `code`, a sentence as `detail`, and
the numbers of the decision. Codes are an open list: treat an unknown one as refused. These are
what the ledger decided: they are kept under the request's idempotency key and come again with it,
those with 422 excepted. What the API says before the ledger is asked (400, 401, 403, 413, 415,
429) and when it cannot know (503) is never kept.

The ways out of each are in [Integrate an
application](../how-to/application-engineer.md#answers-that-are-not-a-success)."""
CONFIGURATION = """The service roles are configured by these environment variables; `scrip config` shows what they are
now, with secrets masked. `scrip up` and `scrip demo` set all of them themselves. A value out of its
bounds stops a role at its start with one sentence that names the variable."""
READ_MODELS = """The views of the schema `read` in PostgreSQL. [Ready SQL](../how-to/ready-sql.md) says with which
login, and has questions that are asked often. A login of one organisation sees the rows of that one. The views and
their columns have the same texts as comments: `\\d+ read.balances` in psql."""
COMMAND_LINE = """`./scrip` sets itself up on first use and runs a command. Every command explains itself with
`--help`, and those that answer something take `--json`. What can be expected to go wrong is one
sentence on standard error and exit status 1; wrong usage is exit status 2."""
METRICS = """The API has them at `GET /metrics`; all roles serve theirs on `SCRIP_METRICS_PORT`. All are
in the text format of Prometheus. Labels are routes, operations and codes, never ids: how many
series there are does not depend on how many users there are. The processes' own (`process_…`)
come beside them.

[alerts.yml](../metrics/alerts.yml) has alert rules, [prometheus.yml](../metrics/prometheus.yml) the targets, and
there are two Grafana dashboards, [business](../metrics/grafana/scrip-business.json) and
[operations](../metrics/grafana/scrip-operations.json). The [runbook](../runbook.md#figures) says what to do."""


def alerts_page() -> str:
    """When each alert is raised, and which figures an organisation may change."""
    rows = []
    for rule in RULES.values():
        figures = [
            f"`{name}` {each.default:,} ({each.least:,} to {each.most:,})" for name, each in rule.thresholds.items()
        ]
        rows.append((f"`{rule.name}`", f"`{rule.type}`", rule.about, ", ".join(figures)))
    return head("Alert rules", ALERTS) + "\n" + table(("rule", "notification type", "raised when", "figures"), rows)


def refusals_page() -> str:
    """Every code with which the ledger says no, its status and what it means."""
    rows: dict[str, tuple[int, list[str]]] = {}
    for refusal in _refusals():
        status = refused(Refused(code=refusal.code, kind=refusal.kind, detail="", facts={})).status
        rows.setdefault(refusal.code, (status, []))[1].append(" ".join((getdoc(refusal) or "").split()))
    listed = sorted((status, code, " / ".join(sorted(set(said)))) for code, (status, said) in rows.items())
    return (
        head("Refusals", REFUSALS)
        + "\n"
        + table(("status", "code", "meaning"), [(str(status), f"`{code}`", said) for status, code, said in listed])
    )


def _refusals(base: type[Refusal] = Refusal) -> Iterator[type[Refusal]]:
    for each in base.__subclasses__():
        if each.__module__.startswith("domain.") and hasattr(each, "code"):
            yield each
        yield from _refusals(each)


def settings_page() -> str:
    """All settings, from the class that reads them."""
    rows = [
        (f"`SCRIP_{name.upper()}`", field.description or "", _default(field.default), _bounds(field))
        for name, field in Settings.model_fields.items()
    ]
    return head("Configuration", CONFIGURATION) + "\n" + table(("variable", "meaning", "default", "bounds"), rows)


def _default(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "secret, empty" if not value.get_secret_value() else "secret"
    if value == "":
        return "empty"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _bounds(field: Any) -> str:
    return ", ".join(_limits(field.metadata))


def _limits(metadata: list[Any]) -> Iterator[str]:
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    for each in metadata:
        for name, word in words.items():
            if hasattr(each, name):
                yield f"{word} {getattr(each, name):,}"


def read_models_page() -> str:
    """The views with their columns, for people who ask in SQL."""
    return "\n".join([head("Read models", READ_MODELS), *map(_view, sorted(tables(), key=lambda model: model.name))])


def _view(model: ReadModel[Any]) -> str:
    further = [f"`{view.name}`: {view.about}\n" for view in model.views]
    key = f"Key: {', '.join(f'`{name}`' for name in model.key)}.\n"
    columns = table(("column", "type", "null", "meaning"), _columns(model))
    return "\n".join([f"## {model.name}\n", f"{model.about}\n", *further, key, columns])


def _columns(model: ReadModel[Any]) -> Iterator[tuple[str, str, str, str]]:
    named = {"int2": "smallint", "int4": "integer", "int8": "bigint", "bool": "boolean"}  # as psql has them
    for column in model.columns:
        type_ = f"`{named.get(column.type, column.type)}`"
        yield f"`{column.name}`", type_, "yes" if column.empty else "", model.about_column(column.name)
    for name in model.shows:
        yield f"`{name}`", "computed", "", model.about_column(name)


def commands_page(program: typer.core.TyperGroup) -> str:
    """The command line as typer documents it, under the panels that its help shows."""
    context, parts = typer.Context(program), [head("Command line", COMMAND_LINE)]
    for panel, commands in groupby(program.commands.values(), lambda command: command.rich_help_panel):  # type: ignore[attr-defined]
        parts.append(f"## {panel}\n")
        parts += [get_docs_for_click(obj=each, ctx=context, indent=2, call_prefix="scrip") for each in commands]
    return "\n".join(parts)


def metrics_page() -> str:
    """All metrics, from what the roles export."""
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
    return head("Metrics", METRICS) + "\n" + table(("metric", "type", "labels", "role", "meaning"), rows)


def exported_metrics() -> dict[str, list[Metric]]:
    """Role -> its metric families, as they are before anything has happened. Nothing is connected."""
    writer = Writer("", SCRIP)
    of_the_api = Metrics()
    of_the_api.watch(Ledger(writer, reader=Reader("", SCRIP)))
    collectors = {
        "api": of_the_api,
        "relay": relay_metrics(Relay("", {}, "")),
        "projector": projector_metrics(Counts()),
        "intake": intake_metrics(Tally(), writer),
        "sweeper": sweeper_metrics(int, writer),
        "notifier": notifier_metrics(Engine()),
    }
    return {role: list(collector.collect()) for role, collector in collectors.items()}
