"""The pages of administration: what they say, who sees them, and that nothing typed is ever run."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import console
from api.http import database
from console.catalogue import ALL_PAGES
from console.person import ADMIN, ADMINS, AUDITOR, ORG_ADMIN
from tests.api.service import ORG, Service
from tests.console.conftest import Visitor, csrf_of

PAGES = [page for page in ALL_PAGES if page.path.startswith("/admin/")]
SCRIPT = "<script>alert('x')</script>"
SCREENS = (
    "/admin/groups", "/admin/groups/design", "/admin/groups/design?span=12m", "/admin/organisation", "/admin/gifts",
    "/admin/gifts?user=u_1", "/admin/purchases", "/admin/quotas", "/admin/quotas?prefix=u_",
    "/admin/alerts", "/admin/alerts/rules", "/admin/webhooks", "/admin/api-keys",
)  # fmt: skip
PARTS = (
    "/admin/parts/groups", "/admin/parts/new-group", "/admin/groups/design/edit", "/admin/groups/design/delete",
    "/admin/groups/design/members", "/admin/groups/design/members/picks?prefix=u", "/admin/groups/design/trial",
    "/admin/groups/design/now", "/admin/quotas/groups/design", "/admin/quotas/users/u_1", "/admin/parts/alerts",
    "/admin/parts/new-webhook", "/admin/parts/new-api-key",
)  # fmt: skip
PLATFORM_SCREENS = (
    "/admin/organisations",
    "/admin/plans",
    "/admin/prices",
    "/admin/prices?version=1",
    "/admin/packages",
)
PLATFORM_PARTS = ("/admin/parts/plan", "/admin/parts/plan?id=loud", "/admin/parts/paste-prices")


@pytest.fixture(scope="module", autouse=True)
def nobody_waits_for_read_models() -> Iterator[None]:
    """No projector runs here; `project` is called instead."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(database, "WAIT_S", 0.01)
        yield


@pytest.fixture(scope="module")
def lived(site: Service) -> Service:
    """Groups, users, a webhook, a key, a plan and prices, with a script in every text that may be one."""
    boss, admin = site.client("org_admin"), site.client("admin")
    group = {"id": "design", "name": f"Design {SCRIPT}", "description": SCRIPT, "image_limit": 4, "video_limit": 0}
    boss.post("/api/groups", json={**group, "token_quotas": {"forecast": 10}}).raise_for_status()
    boss.post("/api/groups", json={"id": "calm", "name": "Calm", "image_limit": 100}).raise_for_status()
    boss.post("/api/group-members", json={"group_id": "design", "user_ids": ["u_1", "u_2"]}).raise_for_status()
    for _ in range(3):
        boss.post("/api/track-generation", json={"user_id": "u_1", "type": "image"}).raise_for_status()
    grant = {"amount": 700, "source": "gift", "reason": SCRIPT}
    boss.post("/api/v1/accounts/user:u_1:credits/grants", json=grant).raise_for_status()
    hook = {"url": "https://hooks.example.com/x", "description": SCRIPT}
    boss.post("/api/v1/webhooks", json=hook).raise_for_status()
    boss.post("/api/v1/api-keys", json={"name": SCRIPT, "role": "worker"}).raise_for_status()
    admin.put("/api/v1/plans/loud", json={"name": SCRIPT, "tokens": {"forecast": 7}}).raise_for_status()
    admin.post("/api/v1/organisations", json={"id": "other", "plan": "pro"}).raise_for_status()
    book = admin.get("/api/v1/prices").json()
    loud = {"model": SCRIPT, "operation": "image", "options": {"note": SCRIPT}, "credits": 5}
    admin.put("/api/v1/prices", json={"entries": [*book["entries"], loud]}).raise_for_status()
    site.project()
    return site


def read(client: httpx.Client, path: str) -> str:
    """A page's text; nothing that was typed may stand in it unescaped."""
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert SCRIPT not in answer.text
    return html.unescape(answer.text)


@pytest.mark.usefixtures("lived")
class TestScreens:
    @pytest.mark.parametrize("path", [*SCREENS, *PARTS])
    def test_an_admin_of_the_organisation_sees_it(self, visitor: Visitor, path: str) -> None:
        assert read(visitor(ORG_ADMIN, "boss"), path)

    @pytest.mark.parametrize("path", [*PLATFORM_SCREENS, *PLATFORM_PARTS])
    def test_an_admin_of_the_platform_sees_it(self, visitor: Visitor, path: str) -> None:
        assert read(visitor(ADMIN, "root"), path)

    @pytest.mark.parametrize("path", PLATFORM_SCREENS[:3])
    def test_an_auditor_reads_what_the_platform_offers_and_finds_nothing_to_press(
        self, visitor: Visitor, path: str
    ) -> None:
        page = read(visitor(AUDITOR, "eye"), path)
        assert "New plan" not in page
        assert "Add a row" not in page
        assert "New organisation" not in page

    @pytest.mark.parametrize("path", [path for path in SCREENS if "?" not in path])
    @pytest.mark.parametrize("role", ["user", "worker", "auditor"])
    def test_other_roles_are_refused(self, visitor: Visitor, role: str, path: str) -> None:
        answer = visitor(role).get(path)
        assert answer.status_code == 403
        assert "may not see this page" in answer.text

    def test_every_page_is_for_admins_or_for_the_platform(self) -> None:
        for page in PAGES:
            assert page.roles <= ADMINS | {AUDITOR}, page.path
            assert page.method == "GET" or page.roles <= ADMINS or page.path.endswith("/preview"), page.path

    @pytest.mark.parametrize("page", [page for page in PAGES if page.method == "POST"], ids=lambda page: page.path)
    def test_no_form_acts_without_the_sessions_token(self, visitor: Visitor, page: object) -> None:
        path = getattr(page, "path").replace("{id}", "design")  # noqa: B009 - a page of the table
        answer = visitor(ADMIN, "root").post(path, data={"csrf": "guessed", "name": "x"})
        assert answer.status_code == 403
        assert "expired or was not sent from this page" in answer.text

    def test_what_is_not_there_is_told(self, visitor: Visitor) -> None:
        for path in ("/admin/groups/none", "/admin/webhooks/none", "/admin/prices?version=99"):
            assert visitor(ADMIN, "root", ORG).get(path).status_code == 404


@pytest.mark.usefixtures("lived")
class TestGroups:
    def test_the_one_closest_to_its_limit_stands_first_with_its_outlook(self, visitor: Visitor) -> None:
        page = read(visitor(ORG_ADMIN, "boss"), "/admin/groups")
        assert page.index("Design <script>") < page.index("Calm")
        assert "3 of 4" in page
        assert "Full in about 5 days" in page
        assert "Full: the next video is refused" in page
        assert "2 members" in page

    def test_its_page_shows_use_trend_and_limit_and_exports_them(self, visitor: Visitor) -> None:
        client = visitor(ORG_ADMIN, "boss")
        page = read(client, "/admin/groups/design")
        assert "Images in 30 days" in page
        assert "none in the 30 days before" in page
        assert "Use against the limit" in page
        report = client.get("/admin/groups/design/usage.csv?span=13w")
        assert report.headers["content-disposition"] == 'attachment; filename="group-usage.csv"'
        assert report.content.startswith(b"\xef\xbb\xbf")  # for Excel
        assert report.content.decode("utf-8-sig").startswith("group_id,name,start,image,image_limit")

    def test_a_group_of_another_organisation_is_not_there(self, visitor: Visitor) -> None:
        assert visitor(ORG_ADMIN, "boss", "other").get("/admin/groups/design").status_code == 404

    def test_an_organisation_without_groups_is_told_what_to_do(self, visitor: Visitor) -> None:
        assert "Create the first group" in read(visitor(ORG_ADMIN, "boss", "other"), "/admin/groups")

    def test_a_preview_says_who_would_be_refused(self, visitor: Visitor) -> None:
        client = visitor(ORG_ADMIN, "boss")
        token = csrf_of(client.get("/admin/groups/design/edit").text)
        typed = {"csrf": token, "name": "x", "image_limit": "2", "video_limit": "", "period": "total"}
        told = client.post("/admin/groups/design/preview", data=typed).text
        assert "the next one is refused" in told
        assert "2 members would be refused images" in told
        more = client.post("/admin/groups/design/preview", data=typed | {"image_limit": "9"}).text
        assert "No member is refused because of this." in more
        wrong = client.post("/admin/groups/design/preview", data=typed | {"image_limit": "many"}).text
        assert "is not a whole number" in wrong

    def test_pasted_users_are_looked_at_before_they_are_added(self, visitor: Visitor) -> None:
        client = visitor(ORG_ADMIN, "boss")
        token = csrf_of(client.get("/admin/groups/design/members").text)
        typed = {"csrf": token, "names": "u_1, u_3\nu_3;no/body"}
        file = {"file": ("people.csv", b"name,user_id\nAnn,u_4\n", "text/csv")}
        page = html.unescape(client.post("/admin/groups/design/members/preview", data=typed).text)
        assert "<b>1</b> not known to Scrip yet: a typing error or a new user. Will be added" in page
        assert "<b>1</b> named more than once. Added once" in page
        assert "<b>1</b> in the group already" in page
        assert "<b>1</b> cannot be ids. Left out" in page
        assert "Add 1 user" in page
        nobody = client.post("/admin/groups/design/members/preview", data={"csrf": token})
        assert nobody.status_code == 422
        assert "Pick users, paste their ids or choose a file first." in nobody.text
        chosen = client.post("/admin/groups/design/members/preview", data={"csrf": token}, files=file)
        assert 'value="u_4"' in chosen.text


def test_the_organisation_in_the_pages_is_the_one_signed_in_for(visitor: Visitor) -> None:
    assert f"{ORG}: what is checked" in visitor(ORG_ADMIN, "boss").get("/admin/organisation").text


def test_the_cells_of_tables_stay_cells() -> None:
    """A cell that is laid out as a row of buttons is lower than its neighbours, and its line does not meet theirs."""
    templates = Path(console.__file__).parent / "templates"
    cells = re.compile(r"<t[dh] [^>]*class=\"[^\"]*\b(actions|buttons|filters)\b")
    assert [file.name for file in templates.rglob("*.html") if cells.search(file.read_text(encoding="utf-8"))] == []
