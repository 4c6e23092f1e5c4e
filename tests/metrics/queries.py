"""What a PromQL query asks for, and what there is to be asked."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric

from cli.reference.pages import exported_metrics
from tests.source_tree import ROOT

FOLDER = ROOT / "docs" / "metrics"
# Prometheus puts these on every series; `up` is its own.
ADDED_LABELS = {"job", "instance"}
UP = "up"
VARIABLES = {"$__rate_interval": "5m", "$__interval": "1m"}  # Grafana's, as Prometheus gets them

Selector = tuple[str, dict[str, str]]


def parsed(query: str) -> Any:
    """The query's tree. Raises ValueError where Prometheus would not understand it."""
    for variable, value in VARIABLES.items():
        query = query.replace(variable, value)
    return promql_parser.parse(query)


def selectors(query: str) -> list[Selector]:
    """The metrics that a query names, each with what its labels must be."""
    found: list[Selector] = []
    _collect(parsed(query), found)
    return found


def _collect(node: Any, found: list[Selector]) -> None:
    if isinstance(node, promql_parser.VectorSelector):
        found.append((node.name or "", {each.name: each.value for each in node.matchers.matchers}))
        return
    for name in ("expr", "vector_selector", "lhs", "rhs", "param"):
        _collect_from(getattr(node, name, None), found)
    for argument in getattr(node, "args", None) or ():
        _collect_from(argument, found)


def _collect_from(node: Any, found: list[Selector]) -> None:
    if node is not None:
        _collect(node, found)


def grouped_by(query: str) -> set[str]:
    """The labels that a query's results are grouped by."""
    return {name.strip() for names in re.findall(r"\bby \(([^)]*)\)", query) for name in names.split(",")}


@cache
def exported_labels() -> dict[str, set[str]]:
    """Series name -> its labels, for everything that the roles export."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    families = [family for role in exported_metrics().values() for family in role]
    return {name: set(labels) for family in [*families, *registry.collect()] for name, labels in _series(family)}


def _series(family: Metric) -> list[tuple[str, tuple[str, ...]]]:
    labels: tuple[str, ...] = tuple(getattr(family, "_labelnames", ()))
    if family.type == "counter":
        return [(f"{family.name}_total", labels)]
    if family.type == "histogram":
        parts = (f"{family.name}_count", labels), (f"{family.name}_sum", labels)
        return [(f"{family.name}_bucket", (*labels, "le")), *parts]
    return [(family.name, labels)]


def problems(query: str) -> list[str]:
    """What a query asks for that no role exports."""
    labels_of = exported_labels()
    wrong = []
    for name, matchers in selectors(query):
        if name == UP:
            continue
        if name not in labels_of:
            wrong.append(f"{name} is not exported")
            continue
        wrong += [f"{name} has no label {label}" for label in matchers.keys() - labels_of[name] - ADDED_LABELS]
    known = {label for name, _ in selectors(query) if name != UP for label in labels_of.get(name, ())}
    wrong += [f"nothing has the label {label} to group by" for label in grouped_by(query) - known - ADDED_LABELS]
    return wrong


def read(name: str) -> str:
    """A file of docs/metrics."""
    return Path(FOLDER / name).read_text(encoding="utf-8")
