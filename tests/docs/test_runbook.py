"""Whatever sends somebody to the runbook finds its heading there, and each entry says what an entry must say."""

import re

import pytest
import yaml

from cli.doctor.codes import CODES
from infra.alerts import RULES
from tests.cli.program import ROOT
from tests.docs.blocks import DOCS

RUNBOOK = (DOCS / "runbook.md").read_text(encoding="utf-8")
ENTRIES = dict(re.findall(r"^### .*?\{: #([a-z0-9-]+) \}\n(.*?)(?=^###? |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
PARTS = ("**Meaning.**", "**See.**", "**Do.**", "**Worry.**")


def _named_in(*folders: str) -> set[str]:
    """The anchors that dashboards and rules name."""
    files = [file for folder in folders for file in (ROOT / folder).rglob("*") if file.suffix in (".json", ".yml")]
    return {
        found
        for file in files
        for found in re.findall(r"(?:runbook\.md|\$\{runbook\})#([a-z0-9-]+)", file.read_text("utf-8"))
    }


@pytest.mark.parametrize("anchor", ENTRIES)
def test_an_entry_says_what_it_means_how_to_see_it_what_to_do_and_when_to_worry(anchor: str) -> None:
    places = [ENTRIES[anchor].find(part) for part in PARTS]
    assert all(place >= 0 for place in places), f"{anchor} lacks one of {PARTS}"
    assert places == sorted(places)


def test_every_heading_below_a_chapter_is_an_entry() -> None:
    assert RUNBOOK.count("\n### ") == len(ENTRIES)


def test_every_alert_of_an_organisation_has_its_entry() -> None:
    assert {rule.replace("_", "-") for rule in RULES} <= ENTRIES.keys()


def test_every_alert_and_panel_leads_to_an_entry() -> None:
    named = _named_in("docs/metrics")
    assert named, "no rule names the runbook"
    assert named <= ENTRIES.keys()


def test_everything_that_the_doctor_finds_has_its_entry() -> None:
    assert CODES.keys() <= ENTRIES.keys()


def test_every_figure_for_operators_leads_to_an_entry() -> None:
    source = (ROOT / "api" / "operator" / "figures.py").read_text(encoding="utf-8")
    named = set(re.findall(r"_figure\(\s*\"([a-z0-9-]+)\"", source))
    assert len(named) > 10, "the figures are told in another way"
    assert named <= ENTRIES.keys()


def test_every_prometheus_alert_is_named_where_it_is_told() -> None:
    groups = yaml.safe_load((DOCS / "metrics/alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        entry = ENTRIES[rule["annotations"]["runbook_url"].partition("#")[2]]
        assert f"`{rule['alert']}`" in entry, rule["alert"]
