"""Support: one search, everything about a user, and putting it right by refunds and gifts."""

import html
import re
from typing import Any

import httpx
import pytest

from tests.api.service import Service
from tests.console.conftest import Visitor, csrf_of

SCRIPT = "<script>alert('x')</script>"
FILM: dict[str, Any] = {
    "operation": "video",
    "model": "MiniMax-Hailuo-02",
    "options": {"resolution": "1080P", "duration": 6},
}
PAGE = "/support/users/u_1"
CREDITS = "/api/v1/accounts/user:u_1:credits"
KEY = re.compile(r'name="key" value="([^"]+)"')


@pytest.fixture(scope="module")
def lived(site: Service) -> Service:
    """A user with a purchase, a group, generations of several ends, a plain charge and a refusal."""
    boss, worker = site.client("org_admin"), site.client("worker", "gpu")
    paid = {"amount": 5000, "source": "purchase", "external_ref": "pay_77", "reason": SCRIPT}
    boss.post(f"{CREDITS}/grants", json=paid).raise_for_status()
    boss.post("/api/groups", json={"id": "film", "name": SCRIPT, "video_limit": 5}).raise_for_status()
    boss.post("/api/group-members", json={"group_id": "film", "user_ids": ["u_1"]}).raise_for_status()
    for id_ in ("done", "broken", "running"):
        asked = {**FILM, "id": id_, "user_id": "u_1", "prompt": SCRIPT}
        worker.post("/api/v1/generations", json=asked).raise_for_status()
    worker.post("/api/v1/generations/done/confirm", json={}).raise_for_status()
    worker.post("/api/v1/generations/broken/fail", json={"outcome": "provider_error"}).raise_for_status()
    many = {**FILM, "options": {**FILM["options"], "count": 9}, "id": "no", "user_id": "u_1"}
    assert worker.post("/api/v1/generations", json=many).status_code == 402
    boss.post(f"{CREDITS}/debits", json={"amount": 40, "reason": SCRIPT}).raise_for_status()
    buyer = site.client("user", "u_1")
    bought = buyer.post("/api/v1/purchases", json={"package": "credits_1000"}).json()["purchase_id"]
    boss.post(f"/api/v1/purchases/{bought}/paid", json={}).raise_for_status()
    site.project()
    return site


def read(client: httpx.Client, path: str, status: int = 200) -> str:
    """A page's text; nothing that was typed may stand in it unescaped."""
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    assert SCRIPT not in answer.text
    return html.unescape(answer.text)


def available(site: Service) -> int:
    balance = site.client("org_admin").get(f"{CREDITS}/balance").json()
    number: int = balance["available"]
    return number


@pytest.mark.usefixtures("lived")
class TestSearch:
    @pytest.mark.parametrize(
        ("asked", "found"),
        [
            ("q=u_1", f'href="{PAGE}">u_1</a>'),
            ("q=don", 'href="/generations/done"'),
            ("generation=done", 'href="/generations/done"'),
            ("q=pay_77", "payment pay_77"),
            ("q=%20done%20", "exact"),
        ],
    )
    def test_one_search_finds_users_generations_and_payments(self, visitor: Visitor, asked: str, found: str) -> None:
        assert found in read(visitor("org_admin"), f"/support?{asked}")

    def test_what_is_not_there_is_said(self, visitor: Visitor) -> None:
        client = visitor("auditor")
        assert "Nothing found" in read(client, f"/support?q={SCRIPT}")
        assert "Nothing found" in read(client, "/support?q=" + "x" * 400)
        assert "Whom is it about?" in read(client, "/support?q=%20")

    def test_users_may_not_search(self, visitor: Visitor) -> None:
        for path in ("/support", PAGE):
            assert "Your role may not see this page." in read(visitor("user"), path, 403)


@pytest.mark.usefixtures("lived")
class TestUser:
    def test_everything_about_a_user_stands_on_one_page(self, visitor: Visitor) -> None:
        page = read(visitor("org_admin"), PAGE)
        assert "3,760 available" in page
        assert "1,100 in progress" in page
        assert "1,100 credits" in page
        assert 'href="/generations/done"' in page
        assert "Group limit" in page
        assert "1,100 held" in page
        assert "1 group" in page
        assert "40 credits charged." in page

    def test_an_auditor_sees_it_and_changes_nothing(self, visitor: Visitor) -> None:
        client = visitor("auditor")
        page = read(client, PAGE)
        assert "1,100 credits" in page
        assert "Refund" not in page
        assert "Give credits" not in page
        form = {"csrf": csrf_of(page), "amount": "5", "reason": "r"}
        assert client.post(f"{PAGE}/gift", data=form).status_code == 403

    def test_nobody_is_said_to_be_nobody(self, visitor: Visitor) -> None:
        assert "No such user yet" in read(visitor("org_admin"), "/support/users/who%20ever".replace("%20", "-"))

    def test_a_gift_is_given_once(self, visitor: Visitor, lived: Service) -> None:
        client = visitor("org_admin")
        page = read(client, PAGE)
        before = available(lived)
        key = KEY.findall(page)[0]
        form = {"csrf": csrf_of(page), "key": key, "amount": "1,000", "unit": "credits", "reason": SCRIPT}
        assert client.post(f"{PAGE}/gift", data={**form, "csrf": ""}).status_code == 403
        for _ in range(2):
            assert client.post(f"{PAGE}/gift", data=form).headers["location"] == PAGE
        assert "Given: 1,000 credits." in read(client, PAGE)
        assert available(lived) == before + 1000

    @pytest.mark.parametrize("amount", ["0", "-5", "ten", "", "1.5", SCRIPT])
    def test_a_gift_that_cannot_be_is_explained_and_stays_typed(self, visitor: Visitor, amount: str) -> None:
        client = visitor("org_admin")
        form = {"csrf": csrf_of(client.get(PAGE).text), "amount": amount, "unit": "tokens", "reason": SCRIPT}
        answer = client.post(f"{PAGE}/gift", data=form)
        assert answer.status_code == 422
        assert 'role="alert"' in answer.text
        assert SCRIPT not in answer.text
        assert '<option value="tokens" selected>' in answer.text
        assert f'name="amount" type="text" value="{html.escape(amount, quote=True).replace("&#x27;", "&#39;")}"' in (
            answer.text
        )

    def test_a_generation_is_refunded_once_and_in_place(self, visitor: Visitor, lived: Service) -> None:
        client = visitor("org_admin")
        page = read(client, PAGE)
        before = available(lived)
        form = {"csrf": csrf_of(page), "generation": "done", "reason": SCRIPT}
        for _ in range(2):  # each from a page of its own: the second finds nothing left
            assert client.post(f"{PAGE}/refund", data=form).status_code == 303
        assert available(lived) == before + 1100
        lived.project()
        assert 'role="alert"' in read(client, PAGE)
        client.post(f"{PAGE}/refund", data={**form, "generation": "no-such"})
        assert 'role="alert"' in read(client, PAGE)

    def test_a_charge_without_a_generation_is_refunded_too(self, visitor: Visitor, lived: Service) -> None:
        client = visitor("org_admin")
        charge = re.findall(r'href="(/support/users/u_1\?debit=[^"]+)"', read(client, PAGE))
        page = read(client, charge[0])
        assert "40 credits charged" in page
        assert "40 credits go back to the grants that paid." in page
        before = available(lived)
        debit = charge[0].partition("debit=")[2]
        form = {"csrf": csrf_of(page), "debit": debit, "account": "user:u_1:credits", "reason": "by mistake"}
        client.post(f"{PAGE}/refund", data=form)
        assert available(lived) == before + 40
        lived.project()
        assert "40 of it refunded." in read(client, charge[0])
        assert "has no charge" in read(client, f"{PAGE}?debit=no-such")
