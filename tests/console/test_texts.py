"""What people wrote is shown so that it reorders nothing around it; balances are exact at any size."""

import re

from domain.credits.commands import Grant
from infra.writer.submission import Submission
from tests.api.service import ORG, Service
from tests.console.conftest import Visitor
from tests.waiting import patient

TEXT = "\u202enimda\u202c and \u2066more\u2069"
SHOWN = "[U+202E]nimda[U+202C] and [U+2066]more[U+2069]"


def test_marks_that_reorder_a_page_are_shown_as_codes(site: Service, visitor: Visitor) -> None:
    group = {"name": "نقاشان", "description": TEXT}
    assert site.client().post("/api/groups", json=group).status_code == 201
    site.project()
    page = visitor("org_admin", "boss").get("/admin/groups").text
    assert TEXT not in page
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", page)
    assert SHOWN in page
    assert "نقاشان" in page


def test_every_element_for_what_people_wrote_keeps_its_own_direction(site: Service, visitor: Visitor) -> None:
    page = visitor("org_admin", "boss").get("/admin/groups").text
    sheet = page.split('rel="stylesheet" href="')[1].split('"')[0]
    assert re.search(r":is\([^)]*\btd\b[^)]*\) \{ unicode-bidi: isolate; \}", site.client(None).get(sheet).text)


def test_a_balance_beyond_what_javascript_holds_is_exact(site: Service, visitor: Visitor) -> None:
    command = Grant(address="user:croesus:credits", grant_id="g", amount=2**53 + 1, source="gift")
    site.writer.submit([Submission(org=ORG, command=command, actor="t", caller="t")]).result(patient(20))
    site.project()
    assert f"{2**53 + 1:,}" in visitor("user", "croesus").get("/").text
