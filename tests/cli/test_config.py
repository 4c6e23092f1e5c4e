"""`scrip config`: all settings, no secret."""

import json

from infra.settings import Settings
from tests.cli.program import scrip

SECRET = "a-secret-that-must-not-be-shown-0123456789"


def test_every_setting_is_shown_with_its_meaning() -> None:
    shown = scrip("config", "--json", SCRIP_PARTITIONS="6")
    rows = {row["name"]: row for row in json.loads(shown.stdout)}
    assert set(rows) == {f"SCRIP_{name.upper()}" for name in Settings.model_fields}
    assert all(row["description"] for row in rows.values())
    assert rows["SCRIP_PARTITIONS"]["current"] == "6"
    assert rows["SCRIP_PARTITIONS"]["default"] == "12"
    assert rows["SCRIP_PARTITIONS"]["set"] is True


def test_secrets_are_masked() -> None:
    uri = f"postgresql://scrip_writer:{SECRET}@db/scrip"
    for form in ([], ["--json"]):
        shown = scrip("config", *form, SCRIP_JWT_SECRET=SECRET, SCRIP_WRITER_URL=uri)
        assert shown.returncode == 0
        assert SECRET not in shown.stdout
        assert "********" in shown.stdout


def test_a_wrong_setting_is_one_sentence() -> None:
    answer = scrip("config", SCRIP_PARTITIONS="many")
    assert answer.returncode == 1
    assert answer.stderr.startswith("scrip: The setting SCRIP_PARTITIONS is wrong:")
    assert len(answer.stderr.splitlines()) == 1
