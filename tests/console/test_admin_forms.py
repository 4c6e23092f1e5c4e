"""The forms of administration do what they say, once, and say what is wrong where it was typed."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.http import database
from console.person import ADMIN, ORG_ADMIN
from tests.api.service import Service
from tests.console.conftest import Visitor, csrf_of

USUAL_WAIT_S = database.WAIT_S
VALUE = r'name="{}" value="([^"]*)"'


@pytest.fixture(scope="module", autouse=True)
def nobody_waits_for_read_models() -> Iterator[None]:
    """No projector runs here."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(database, "WAIT_S", 0.01)
        yield


class Desk:
    """Somebody at the pages of an organisation, and the API beside them for what has come of it."""

    def __init__(self, site: Service, visitor: Visitor, role: str, org: str) -> None:
        self.client = visitor(role, "boss", org)
        self.api = site.client(role, "boss", org)
        self.project = site.project

    def page(self, path: str) -> str:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def send(self, path: str, form: str | None = None, **typed: Any) -> httpx.Response:
        """Fill the form of the page `form` (else of `path`) in and send it to `path`."""
        page = self.page(form or path)
        hidden = {
            name: found[1] for name in ("key", "etag", "version") if (found := re.search(VALUE.format(name), page))
        }
        values = {name: value.replace("&#34;", '"') for name, value in hidden.items()}
        return self.client.post(path, data={"csrf": csrf_of(page), **values, **typed})

    def done(self, answer: httpx.Response) -> str:
        """What the next page says."""
        assert answer.status_code == 303, answer.text
        return self.page(answer.headers["location"])

    def refused(self, answer: httpx.Response) -> str:
        """What the form says that is wrong."""
        assert answer.status_code in (409, 412, 422), answer.text
        return re.split(r'role="alert"', answer.text)[1].split("</p>")[0]


@pytest.fixture
def desk(site: Service, visitor: Visitor) -> Desk:
    return Desk(site, visitor, ORG_ADMIN, "desk")


@pytest.fixture
def platform(site: Service, visitor: Visitor) -> Desk:
    return Desk(site, visitor, ADMIN, "platform")


GROUP = {"description": "", "image_limit": "2", "video_limit": "", "period": "month"}


def test_a_group_is_made_changed_and_deleted(desk: Desk) -> None:
    answer = desk.send("/admin/groups", "/admin/parts/new-group", name="Film", **GROUP)
    assert "Now add its members" in desk.done(answer)
    path = answer.headers["location"]
    group = desk.api.get(path.replace("/admin/", "/api/")).json()
    assert (group["image_limit"], group["video_limit"], group["period"]) == (2, None, "month")
    edited = desk.send(f"{path}/edit", name="Film", **GROUP | {"image_limit": "1,000", "video_limit": "0"})
    assert edited.status_code == 303
    group = desk.api.get(path.replace("/admin/", "/api/")).json()
    assert (group["image_limit"], group["video_limit"]) == (1000, 0)
    deleted = desk.send(f"{path}/delete")
    assert "Film is deleted" in desk.done(deleted)
    assert desk.api.get(path.replace("/admin/", "/api/")).status_code == 404


def test_what_resources_let_a_group_have_is_in_its_form(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = {"name": "Limited", **GROUP}
    made = desk.send("/admin/groups", "/admin/parts/new-group", **typed, running_limit="2")
    if made.status_code == 503:  # before the first limit, what is open is counted
        desk.project()
        with monkeypatch.context() as patched:
            patched.setattr(database, "WAIT_S", USUAL_WAIT_S)  # a loaded machine does not look within 10 ms
            made = desk.send("/admin/groups", "/admin/parts/new-group", **typed, running_limit="2")
    path = made.headers["location"]
    group = path.replace("/admin/", "/api/")
    assert desk.api.get(group).json()["running_limit"] == 2
    assert 'name="running_limit" type="text" value="2"' in desk.page(f"{path}/edit")
    wrong = desk.send(f"{path}/edit", **typed, running_limit="two")
    assert "Running limit: “two” is not a whole number" in desk.refused(wrong)
    assert 'value="two"' in wrong.text
    desk.send(f"{path}/edit", **typed)
    assert desk.api.get(group).json()["running_limit"] == 2, "a form without the field leaves it"
    desk.send(f"{path}/edit", **typed, running_limit="")
    assert desk.api.get(group).json()["running_limit"] is None


def test_a_group_form_sent_twice_makes_one_group(desk: Desk) -> None:
    page = desk.page("/admin/parts/new-group")
    found = re.search(VALUE.format("key"), page)
    assert found
    typed = {"csrf": csrf_of(page), "key": found[1], "name": "Once", **GROUP}
    first, second = (desk.client.post("/admin/groups", data=typed) for _ in range(2))
    assert first.headers["location"] == second.headers["location"]


def test_what_cannot_be_is_told_and_what_was_typed_is_kept(desk: Desk) -> None:
    answer = desk.send("/admin/groups", "/admin/parts/new-group", name="Mine", **GROUP | {"image_limit": "-5"})
    assert "Image limit: “-5” is not a whole number" in desk.refused(answer)
    assert 'value="Mine"' in answer.text
    assert 'value="-5"' in answer.text
    nameless = desk.send("/admin/groups", "/admin/parts/new-group", name=" ", **GROUP)
    assert "The name is missing" in desk.refused(nameless)


def test_nobody_overwrites_what_somebody_else_has_changed(desk: Desk) -> None:
    group = desk.api.post("/api/groups", json={"name": "Ours"}).json()["id"]
    page = desk.page(f"/admin/groups/{group}/edit")
    found = re.search(VALUE.format("etag"), page)
    assert found
    desk.api.patch(f"/api/groups/{group}", json={"image_limit": 7}).raise_for_status()
    stale = {"csrf": csrf_of(page), "etag": found[1].replace("&#34;", '"'), "name": "Ours", **GROUP}
    assert "changed" in desk.refused(desk.client.post(f"/admin/groups/{group}/edit", data=stale))
    assert desk.api.get(f"/api/groups/{group}").json()["image_limit"] == 7


def test_members_are_added_tried_and_removed(desk: Desk) -> None:
    desk.api.post("/api/groups", json={"id": "trio", "name": "Trio", "image_limit": 1}).raise_for_status()
    path = "/admin/groups/trio"
    added = desk.send(f"{path}/members", user_ids="ann ben cleo")
    assert "3 users added: ann, ben, cleo" in added.text
    desk.project()
    assert desk.api.get("/api/groups/trio").json()["member_count"] == 3
    desk.api.post("/api/track-generation", json={"user_id": "ann", "type": "image"}).raise_for_status()
    sure = desk.send(f"{path}/members/remove", f"{path}/members", member=["ann", "ben"], sure="yes")
    assert "2 users removed: ann, ben" in sure.text
    asked = desk.send(f"{path}/members/remove", f"{path}/members", member=["cleo"])
    assert "Remove from Trio?" in asked.text
    assert desk.api.get("/api/groups/trio").json()["member_count"] == 1
    tried = desk.send(f"{path}/trial", user_id="cleo", type="image")
    assert "The image limit of Trio is reached: 1 of 1 are used." in tried.text
    other = desk.send(f"{path}/trial", user_id="cleo", type="video")
    assert "Allowed: one video of cleo is counted" in other.text


def test_the_organisations_settings_are_saved_as_a_whole(desk: Desk) -> None:
    typed: dict[str, Any] = {
        "time_zone": "Europe/Berlin",
        "enforce": ["credits", "groups"],
        "pay_from": ["user:{user}", "org:{org}", ""],
        "over_actual": "available",
        "policy_timed_out": "50",
        "running_limit": "",
    }
    assert "The settings are saved" in desk.done(desk.send("/admin/organisation", **typed))
    now = desk.api.get("/api/v1/organisations/desk").json()
    assert now["time_zone"] == "Europe/Berlin"
    assert now["enforce"] == ["credits", "groups"]
    assert now["pay_from"] == ["user:{user}", "org:{org}"]
    assert (now["over_actual"], now["settlement_policy"]["timed_out"]) == ("available", 50)
    assert now["running_limit"] is None
    wrong = desk.send("/admin/organisation", **typed | {"time_zone": "Moon/Crater", "running_limit": "7"})
    assert 'name="running_limit" type="text" value="7"' in wrong.text
    assert "there is no time zone Moon/Crater" in desk.refused(wrong)
    assert 'value="Moon/Crater"' in wrong.text


def test_a_gift_is_given_once_and_what_is_left_taken_back(desk: Desk) -> None:
    typed = {"user": "ann", "unit": "credits", "amount": "1,500", "source": "gift", "reason": "Thank you"}
    until = {"expires": "2100-01-02T03:04", "expires_at": "2100-01-02T02:04:00.000Z"}
    answer = desk.send("/admin/gifts", **typed, **until)
    desk.project()
    page = desk.done(answer)
    assert "ann has 1,500 credits more." in page
    assert "<b>1,500</b> of 1,500 left" in page
    assert "Thank you" in page
    (grant,) = desk.api.get("/api/v1/accounts/user:ann:credits/grants").json()["items"]
    assert grant["expires_at"] == "2100-01-02T02:04:00Z"
    back = {"user": "ann", "unit": "credits", "grant": grant["grant_id"], "reason": "A mistake"}
    assert "1,500 credits are taken back." in desk.done(desk.send("/admin/gifts/void", "/admin/gifts?user=ann", **back))
    assert desk.api.get("/api/v1/accounts/user:ann:credits/balance").json()["available"] == 0
    assert "The reason is missing" in desk.refused(desk.send("/admin/gifts", **typed | {"reason": ""}))


def test_quotas_of_teams_and_users_are_set(desk: Desk) -> None:
    desk.api.post("/api/groups", json={"id": "quota", "name": "Quota"}).raise_for_status()
    typed: dict[str, Any] = {"type": ["forecast", "general"], "limit": ["12", ""]}
    assert desk.send("/admin/quotas/groups/quota", **typed).status_code == 303
    assert desk.api.get("/api/groups/quota").json()["token_quotas"] == {"forecast": 12}
    page = desk.page("/admin/quotas/users/ann")
    was = {name: re.search(VALUE.format(name), page) for name in ("storage_was", "budget_was", "ceiling_was")}
    kept = {name: found[1] for name, found in was.items() if found}
    typed_user = kept | {"storage_mb": "5", "budget": "20", "ceiling": "40"}
    assert desk.send("/admin/quotas/users/ann", **typed_user).status_code == 303
    user = desk.api.get("/api/v1/users/ann").json()
    assert user["storage"]["limit"] == 5 * 1_048_576
    assert (user["budget"]["monthly_budget"], user["budget"]["ceiling"]) == ("20.00", "40.00")
    too_much = desk.send("/admin/quotas/users/ann", **typed_user | {"budget": "2000"})
    assert "1000.00 USD" in desk.refused(too_much)


def test_alert_rules_are_saved_and_empty_thresholds_are_the_defaults(desk: Desk) -> None:
    typed = {"budget": "yes", "budget.warning": "60", "budget.critical": "", "group": "yes"}
    assert "The rules are saved" in desk.done(desk.send("/admin/alerts/rules", **typed))
    rules = desk.api.get("/api/v1/alert-rules").json()["rules"]
    assert rules["budget"]["thresholds"] == {"warning": 60, "critical": 90}
    assert rules["group"]["enabled"] is True
    assert rules["usage_spike"]["enabled"] is False
    wrong = desk.send("/admin/alerts/rules", **typed | {"budget.warning": "101"})
    assert "must be 1 to 100" in desk.refused(wrong)


def test_a_webhooks_secret_is_shown_once(desk: Desk) -> None:
    made = desk.send(
        "/admin/webhooks", "/admin/parts/new-webhook", url="https://hooks.example.com/a", description="Chat"
    )
    assert made.status_code == 200
    secret = re.search(r"whsec_[A-Za-z0-9+/=]+", made.text)
    assert secret
    (webhook,) = desk.api.get("/api/v1/webhooks").json()["items"]
    here = f"/admin/webhooks/{webhook['id']}"
    for path in ("/admin/webhooks", here, f"{here}/edit"):
        assert secret[0] not in desk.page(path)
    assert desk.send(f"{here}/edit", url="https://hooks.example.com/b", description="Pager").status_code == 303
    (changed,) = desk.api.get("/api/v1/webhooks").json()["items"]
    assert (changed["url"], changed["enabled"]) == ("https://hooks.example.com/b", False)
    inside = desk.send("/admin/webhooks", "/admin/parts/new-webhook", url="https://127.0.0.1/x")
    assert "url" in desk.refused(inside)
    assert "The webhook is deleted" in desk.done(desk.send(f"{here}/delete", here))
    assert desk.api.get("/api/v1/webhooks").json()["items"] == []


def test_an_api_key_is_shown_once_and_ended(desk: Desk) -> None:
    made = desk.send("/admin/api-keys", "/admin/parts/new-api-key", name="worker 1", role="worker", scopes="")
    shown = re.search(r'id="secret"[^>]*>([^<]+)<', made.text)
    assert shown
    key = shown[1].strip()
    bearer = {"Authorization": f"Bearer {key}"}
    assert httpx.get(f"{desk.api.base_url}/api/v1/prices", headers=bearer).status_code == 200
    assert key not in desk.page("/admin/api-keys")
    (row,) = desk.api.get("/api/v1/api-keys").json()["items"]
    ended = desk.send(f"/admin/api-keys/{row['id']}/revoke", "/admin/api-keys")
    assert "The key is revoked" in desk.done(ended)
    assert httpx.get(f"{desk.api.base_url}/api/v1/prices", headers=bearer).status_code == 401
    more = desk.send("/admin/api-keys", "/admin/parts/new-api-key", name="x", role="admin", scopes="")
    assert more.status_code == 403


def test_an_organisation_is_set_up_and_put_on_a_plan(platform: Desk) -> None:
    made = platform.send("/admin/organisations", id="fresh", plan="pro", billing="monthly")
    assert "fresh is set up." in platform.done(made)
    platform.project()
    again = platform.send("/admin/organisations", id="fresh", plan="pro", billing="monthly")
    assert "The organisation fresh exists already." in platform.refused(again)
    planned = platform.send(
        "/admin/organisations/fresh/plan", "/admin/organisations", plan="enterprise", billing="annual"
    )
    assert "fresh is on the plan enterprise." in platform.done(planned)
    assert platform.api.get("/api/v1/organisations/fresh").json()["billing"] == "annual"
    looked = platform.send("/admin/organisations/fresh/look", "/admin/organisations")
    assert "fresh: what is checked" in platform.done(looked)


def test_a_plan_and_the_features_are_published(platform: Desk) -> None:
    typed = {
        "id": "team",
        "name": "Team",
        "price": "$1,9.50",
        "credits": "300",
        "storage_mb": "2",
        "type": ["forecast"],
    }
    terms: dict[str, Any] = typed | {"amount": ["9"], "annual_percent_off": "10", "user_running_limit": "3"}
    assert "The plan Team is published." in platform.done(platform.send("/admin/plans", "/admin/parts/plan", **terms))
    plan = next(plan for plan in platform.api.get("/api/v1/plans").json()["items"] if plan["id"] == "team")
    assert (plan["credits"], plan["storage_limit"], plan["tokens"]) == (300, 2 * 1_048_576, {"forecast": 9})
    assert plan["price"] == {"amount": "19.50", "currency": "USD"}
    assert plan["user_running_limit"] == 3
    assert 'name="user_running_limit" type="text" value="3"' in platform.page("/admin/parts/plan?id=team")
    wrong = platform.send("/admin/plans", "/admin/parts/plan?id=team", **terms | {"amount": ["nine"]})
    assert "is not a whole number" in platform.refused(wrong)
    features: dict[str, Any] = {"name": ["dream", ""], "token_type": ["forecast", ""], "cost": ["6", ""]}
    assert "are published" in platform.done(platform.send("/admin/plans/features", "/admin/plans", **features))
    (feature,) = platform.api.get("/api/v1/features").json()["features"]
    assert (feature["name"], feature["cost"]) == ("dream", 6)


def test_packages_are_published_together(platform: Desk) -> None:
    rows: dict[str, Any] = {
        "id": ["small", "big"],
        "name": ["Small", "Big"],
        "unit": ["credits", "tokens"],
        "amount": ["100", "9,000"],
        "price": ["1.00", "$50"],
        "days": ["30", ""],
    }
    assert "The packages are published." in platform.done(platform.send("/admin/packages", **rows))
    small, big = platform.api.get("/api/v1/packages").json()["items"]
    assert (small["expires_after_days"], big["expires_after_days"]) == (30, None)
    assert (big["amount"], big["price"]["amount"]) == (9000, "50.00")
    missing = platform.send("/admin/packages", **rows | {"price": ["1.00", ""]})
    assert "The package Big: its price is missing." in platform.refused(missing)
