"""Documents to print: long texts are cut quickly, and who asks for many documents keeps nobody else waiting."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Event
from typing import Any

import httpx
import pytest
from fpdf import FPDF

from api.accounts import reads as accounts_reads
from api.accounts.statement_pdf import MOST_IN_A_CELL, as_pdf
from api.http import limits
from tests.api.service import Service
from tests.waiting import ENOUGH_S, wait_until

CELLS = 7
MEASURED = 11  # times: the whole, and half of what is left until one letter decides
ROWS = 20
LONG = {
    "Hindi": "क्रेडिट की वापसी ",
    "Arabic": "استرداد الرصيد ",
    "Latin": "long ",
    "marks alone": "\N{COMBINING DIAERESIS}",
}


@pytest.mark.parametrize("script", LONG)
def test_a_long_text_is_measured_a_few_times(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 characters of Hindi were measured 1,950 times, which took a second for each cell."""
    measured: list[int] = []
    width = FPDF.get_string_width

    def counted(page: FPDF, text: str, *given: Any, **named: Any) -> float:
        measured.append(len(text))
        found: float = width(page, text, *given, **named)
        return found

    monkeypatch.setattr(FPDF, "get_string_width", counted)
    long = (LONG[script] * 2_000)[:1_992]
    now = datetime(2026, 1, 1, tzinfo=UTC)
    row = {"created_at": now, "type": "debited", "amount": -1, "balance_after": 1, "item": long, "reason": long}
    movements = [row | {"actor": "user:u", "id": "d"}] * ROWS
    made = as_pdf(
        {"address": "user:u:credits", "from": None, "to": now, "opening": 0, "closing": 1, "movements": movements}
    )
    assert made.startswith(b"%PDF-")
    ours = [length for length in measured if length > 1]  # fpdf itself measures each text that it sets
    assert len(ours) <= ROWS * CELLS * (MEASURED + 1)
    assert max(ours) <= MOST_IN_A_CELL + 1


class Printing:
    """Documents that are not done before the test says so."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.go_on = Event()

    def make(self, _statement: dict[str, Any]) -> bytes:
        """In the place of `as_pdf`."""
        self.go_on.wait(ENOUGH_S)
        return b"%PDF-"

    def ask(self, org: str, sub: str = "boss") -> httpx.Response:
        """Ask for a document of this organisation."""
        path = "/api/v1/accounts/user:u:credits/statement"
        return self._service.client(org=org, sub=sub).get(path, params={"format": "pdf"}, timeout=ENOUGH_S)


@pytest.fixture
def printing(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Printing]:
    """What prints."""
    made = Printing(service)
    monkeypatch.setattr(accounts_reads, "as_pdf", made.make)
    yield made
    made.go_on.set()


def test_documents_have_a_bound_and_keep_nobody_else_waiting(service: Service, printing: Printing) -> None:
    """One login, one organisation and all have so many, and those who have none one more each, which is bounded too."""
    room = service.services.documents
    first = [("p0", f"s{number // 2}") for number in range(4)] + [("p0", "s2"), ("p0", "s3")]
    others = [(org, sub) for org in ("p1", "p2") for sub in ("s0", "s1")] + [(f"o{number}", "s") for number in range(5)]

    def asked(who: list[tuple[str, str]]) -> list[Future[httpx.Response]]:
        before = room.waiting
        asked = []
        for number, each in enumerate(who, before + 1):
            asked.append(callers.submit(printing.ask, *each))
            wait_until(lambda number=number: room.waiting == number, ENOUGH_S, "it is asked for")  # type: ignore[misc]
        return asked

    with ThreadPoolExecutor(limits.DOCUMENTS * 2) as callers:
        waiting = asked(first)
        own, organisation = printing.ask("p0", "s0"), printing.ask("p0", "s4")
        for answer, limit in ((own, limits.DOCUMENTS_OF_LOGIN), (organisation, limits.DOCUMENTS_OF_ORG)):
            assert (answer.status_code, answer.json()["code"]) == (429, "too_many_documents")
            assert (answer.json()["limit"], answer.headers["Retry-After"]) == (limit, "5")
        waiting += asked(others)
        full = printing.ask("p99")
        assert (full.status_code, full.json()["code"]) == (503, "overloaded")
        body = {"amount": 1, "source": "gift"}
        batch = {"operations": [{"path": "/api/v1/accounts/user:b:credits/grants", "body": body}]}
        assert service.client(org="p99").post("/api/v1/batch", json=batch).status_code == 200
        printing.go_on.set()
        assert {each.result(ENOUGH_S).status_code for each in waiting} == {200}
    wait_until(lambda: room.waiting == 0, ENOUGH_S, "all are made")
