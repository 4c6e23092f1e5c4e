"""The identities of rows are for ever: a file imported by an older version is not charged again by a newer one."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.importing.forms import ByPriceBook, ByRates, Form
from cli.importing.prices import Prices
from domain.prices.catalogue import CATALOGUE
from tests.cli.importing import rows_in

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden" / "import" / "rows.json").read_text("utf-8"))
FORMS: dict[str, Form] = {
    "trace": ByRates("user:trace:credits", {"ContextTokens": 1, "GeneratedTokens": 4}),
    "quoted": ByRates("user:trace:credits", {"ContextTokens": 1, "GeneratedTokens": 4}),
    "general": ByPriceBook(None, Prices(CATALOGUE)),
    "amounts": ByPriceBook("org:acme:credits"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_row_keeps_its_identity_and_its_content(name: str, tmp_path: Path) -> None:
    found = rows_in(tmp_path, GOLDEN[name]["file"].encode(), FORMS[name])
    rows = [[row.id, row.account, row.data] for row in found]
    assert rows == GOLDEN[name]["rows"]
