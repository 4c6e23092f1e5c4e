"""The Grafana dashboards are whole, and show every metric that there is."""

import json
import re
from functools import cache
from typing import Any

import pytest

from domain.registry import SCRIP
from tests.metrics.queries import FOLDER, exported_labels, problems, selectors
from tests.metrics.test_alert_rules import RULES

DASHBOARDS = sorted(file.name for file in (FOLDER / "grafana").glob("*.json"))
# What no panel shows, and why.
NOT_SHOWN = {
    "scrip_http_request_seconds_count": "a part of the histogram",
    "scrip_http_request_seconds_sum": "a part of the histogram",
    "scrip_writer_batch_seconds_count": "a part of the histogram",
    "scrip_writer_batch_seconds_sum": "a part of the histogram",
    "scrip_projector_foreign_records_total": "the alarm that stays is in `scrip_topic_faults`",
    "scrip_unpublished_partitions": "the relay's own figure is shown; this one is for the alarm where it has ended",
    "scrip_refused_checks_unpublished_total": "refusals are shown; these are those without a record",
    "scrip_writer_cut_batches_total": "how long the others wait is shown; this one says why a batch was small",
    "process_virtual_memory_bytes": "the resident memory is what counts",
    "process_start_time_seconds": "restarts are seen in `up`",
    "process_open_fds": "no role opens files without bounds",
    "process_max_fds": "the same",
}
WIDTH = 24
UNITS = {"short", "none", "s", "bytes", "percentunit", "reqps", "ops"}


@cache
def dashboard(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / "grafana" / name).read_text(encoding="utf-8"))
    return loaded


def panels(name: str) -> list[dict[str, Any]]:
    return [panel for panel in dashboard(name)["panels"] if panel["type"] != "row"]


def queries(name: str) -> list[str]:
    return [target["expr"] for panel in panels(name) for target in panel["targets"]]


def test_there_are_two() -> None:
    assert DASHBOARDS == ["scrip-business.json", "scrip-operations.json"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_query_asks_for_what_there_is(name: str) -> None:
    assert {query: problems(query) for query in queries(name) if problems(query)} == {}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_can_be_understood(name: str) -> None:
    anchors = {rule["annotations"]["runbook_url"].partition("#")[2] for rule in RULES.values()}
    for panel in panels(name):
        assert panel["title"], panel["id"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]
        for link in panel.get("links", []):
            assert re.fullmatch(r"\$\{runbook\}#[a-z-]+", link["url"]), panel["title"]
            assert link["url"].partition("#")[2] in anchors, panel["title"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_can_be_imported_anywhere(name: str) -> None:
    loaded = dashboard(name)
    assert loaded["uid"] == name.removesuffix(".json")
    assert loaded["schemaVersion"] == 39
    assert {each["name"] for each in loaded["templating"]["list"]} == {"datasource", "runbook"}
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels(name):
        assert panel["datasource"] == source
        assert [target["datasource"] for target in panel["targets"]] == [source] * len(panel["targets"])
    ids = [panel["id"] for panel in loaded["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_no_panel_lies_on_another(name: str) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard(name)["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= WIDTH, panel["title"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


def test_every_metric_is_shown_or_said_not_to_be() -> None:
    shown = {name for file in DASHBOARDS for query in queries(file) for name, _ in selectors(query)}
    assert set(exported_labels()) - shown == set(NOT_SHOWN)


def test_types_of_events_are_those_that_exist() -> None:
    asked = {
        labels["type"]
        for file in DASHBOARDS
        for query in queries(file)
        for name, labels in selectors(query)
        if name == "scrip_writer_events_total" and "type" in labels
    }
    assert asked
    assert asked <= set(SCRIP.events)
