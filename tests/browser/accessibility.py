"""Axe's verdict on a page, as a person can act on it."""

from collections.abc import Iterator
from typing import Any

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page

FAULTS = {"serious", "critical"}
OPTIONS = {"resultTypes": ["violations"]}


def accessibility_faults(page: Page) -> list[str]:
    """The serious and critical faults, one line for each element, shadow trees included."""
    violations = Axe().run(page, options=OPTIONS).response["violations"]
    return [line for rule in violations if rule["impact"] in FAULTS for line in _lines(rule)]


def _lines(rule: dict[str, Any]) -> Iterator[str]:
    for node in rule["nodes"]:
        # An element in a shadow tree is named by the way to it: a list of selectors.
        path = " > ".join(" >> ".join(part) if isinstance(part, list) else part for part in node["target"])
        why = " ".join(node["failureSummary"].split())
        yield f"{rule['id']} ({rule['impact']}): {path}: {node['html'][:120]}: {why}"
