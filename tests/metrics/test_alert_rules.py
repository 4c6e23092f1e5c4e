"""The alert rules for Prometheus ask for what is exported, and each leads to its page of the runbook."""

import re
from typing import Any

import pytest
import yaml

from tests.metrics.queries import FOLDER, exported_labels, parsed, problems, read
from tests.source_tree import ROOT

RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(read("alerts.yml"))["groups"] for rule in group["rules"]
}
RUNBOOK = "docs/runbook.md"


def anchors_of(page: str) -> set[str]:
    """Where links into a page can lead: its headings, each by the anchor beside it, else by its words."""
    headings = re.findall(r"^#+ +(.+?)(?: *\{:? *#([\w-]+) *\})?$", page, re.MULTILINE)
    return {anchor or re.sub(r"[^\w]+", "-", words.lower()).strip("-") for words, anchor in headings}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_asks_for_what_there_is_and_says_what_to_do(name: str) -> None:
    rule = RULES[name]
    assert re.fullmatch(r"Scrip([A-Z][a-z]+)+", name)
    parsed(rule["expr"])
    assert problems(rule["expr"]) == []
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert set(rule["annotations"]) == {"summary", "runbook_url"}
    assert rule["annotations"]["summary"].endswith(".")
    assert re.fullmatch(rf"{RUNBOOK}#[a-z]+(-[a-z]+)*", rule["annotations"]["runbook_url"])
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}


def test_every_rule_has_a_page_of_its_own_in_the_runbook() -> None:
    anchors = [rule["annotations"]["runbook_url"].partition("#")[2] for rule in RULES.values()]
    assert len(anchors) == len(set(anchors))
    assert set(anchors) - anchors_of((ROOT / RUNBOOK).read_text(encoding="utf-8")) == set()


def test_the_jobs_are_those_of_the_scrape_configuration() -> None:
    scraped = yaml.safe_load(read("prometheus.yml"))
    jobs = {each["job_name"] for each in scraped["scrape_configs"]}
    named = {job for rule in RULES.values() for job in re.findall(r'job="([^"]+)"', rule["expr"])}
    assert named == jobs == {"scrip-api", "scrip-roles"}
    assert [name for name in scraped["rule_files"] if not (FOLDER / name).is_file()] == []


def test_the_check_sees_what_does_not_exist() -> None:
    assert problems("scrip_nothing > 1") == ["scrip_nothing is not exported"]
    assert problems('sum(scrip_refusals_total{kode="x"})') == ["scrip_refusals_total has no label kode"]
    assert problems("sum by (kode) (rate(scrip_refusals_total[5m]))") == ["nothing has the label kode to group by"]
    assert problems("scrip_refusals > 1") == ["scrip_refusals is not exported"]
    assert problems("sum(scrip_writer_connected) + (-scrip_nothing)") == ["scrip_nothing is not exported"]
    with pytest.raises(ValueError, match="unclosed"):
        parsed("sum(")


def test_anchors_are_found_in_headings() -> None:
    page = "# The book\n\n## Read models lag\ntext\n### `x` stops! {: #read-models-stopped }\n"
    assert anchors_of(page) == {"the-book", "read-models-lag", "read-models-stopped"}


def test_names_of_metrics_follow_the_conventions() -> None:
    assert [name for name in exported_labels() if not re.fullmatch(r"(scrip|process)_[a-z]+(_[a-z]+)*", name)] == []
