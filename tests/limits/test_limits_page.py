"""docs/limits.md: every row is tried, nothing that is tried is missing there, and its numbers are the code's."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from domain.prices.catalogue import CATALOGUE
from domain.prices.publish import PublishPrices
from infra.partitions import PLATFORM
from infra.settings import Settings
from infra.writer.submission import Submission
from tests.api.service import Service, running, settings_of
from tests.cli.program import ROOT
from tests.conftest import Database
from tests.limits import of_machines, of_operation, of_organisations, of_requests
from tests.limits.bound import Attacker, Bound
from tests.limits.page import Row, rows

ROWS = {row.what: row for row in rows()}
PARTS = (of_requests, of_organisations, of_machines, of_operation)
BOUNDS: dict[str, Bound] = {what: bound for part in PARTS for what, bound in part.BOUNDS.items()}
TRIED = sorted(what for what, bound in BOUNDS.items() if callable(bound.tried))
ELSEWHERE = sorted({bound.tried for bound in BOUNDS.values() if isinstance(bound.tried, str)})
# Quick to reach; what the page calls the default is compared with the settings' own.
LOWERED = {
    "rate_limit": 2,
    "free_limit": 4,  # an even number
    "free_limit_users": 6,
    "free_limit_programs": 3,
    "max_streams": 5,
}


@pytest.fixture(scope="module")
def lowered(module_database: Database) -> Iterator[Service]:
    """An API with the catalogue's prices, a few of whose bounds are low."""
    with running(module_database, settings_of(module_database, **LOWERED)) as service:
        first = PublishPrices(entries=CATALOGUE, first=True)
        prices = Submission(org=PLATFORM, command=first, actor="bootstrap", caller="bootstrap", key="prices:1")
        service.writer.submit([prices]).result(20)
        yield service


def test_each_row_is_tried_and_each_attempt_has_its_row() -> None:
    assert len(ROWS) == len(rows()), "two rows have one name"
    assert len(BOUNDS) == sum(len(part.BOUNDS) for part in PARTS)
    assert sorted(ROWS.keys() - BOUNDS.keys()) == [], "rows that nothing tries"
    assert sorted(BOUNDS.keys() - ROWS.keys()) == [], "attempts without a row"


@pytest.mark.parametrize("what", sorted(ROWS))
def test_a_number_is_the_codes(what: str) -> None:
    row, bound = ROWS[what], BOUNDS[what]
    told = re.match(r"[\d,]+", row.default)
    assert told, row
    assert told[0] == f"{bound.value:,.0f}"
    if row.setting != "fixed":
        name = row.setting.strip("`").removeprefix("SCRIP_").lower()
        assert Settings.model_fields[name].default == bound.value


@pytest.mark.parametrize("what", TRIED)
def test_an_attempt_gets_what_the_page_says(lowered: Service, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    def patch(module: Any, name: str, value: Any) -> None:
        monkeypatch.setattr(module, name, value)

    row, tried = ROWS[what], BOUNDS[what].tried
    assert callable(tried)
    answer = tried(Attacker(lowered, patch))
    if row.refusal is None:
        assert answer.status_code == 200, answer.text
        return
    assert (answer.status_code, answer.json()["code"]) == row.refusal, answer.text
    assert ("retry-after" in answer.headers) == row.tells_when


@pytest.mark.parametrize("name", ELSEWHERE)
def test_the_test_that_tries_it_is_there(name: str) -> None:
    file, _, function = name.partition("::")
    assert re.search(rf"^def {function}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_a_row_that_is_wrong_is_noticed() -> None:
    row = Row("h", "w", "1", "fixed", "`429 rate_limited`, `Retry-After`; more")
    assert (row.refusal, row.tells_when) == ((429, "rate_limited"), True)
    assert Row("h", "w", "1", "fixed", "it ends").refusal is None
