"""The pages of administration, looked at in a browser, wide and on a phone, and used by mouse."""

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS, PHONE, WIDE, Named, OpenApi, OpenPage, SignIn
from tests.infra.writer.ledger_kit import until

SCREENS = {
    "/admin/groups": "admin-groups",
    "/admin/groups/design": "admin-group",
    "/admin/organisation": "admin-organisation",
    "/admin/gifts?user=ann": "admin-gifts",
    "/admin/purchases": "admin-purchases",
    "/admin/quotas": "admin-quotas",
    "/admin/alerts": "admin-alerts",
    "/admin/alerts/rules": "admin-alert-rules",
    "/admin/webhooks": "admin-webhooks",
    "/admin/api-keys": "admin-api-keys",
    "/admin/organisations": "admin-organisations",
    "/admin/plans": "admin-plans",
    "/admin/prices": "admin-prices",
    "/admin/packages": "admin-packages",
}
# Which button opens which dialog.
DIALOGS = {
    "/admin/groups": {
        "#new-group": "new",
        "#edit-1": "edit",
        "#members-1": "members",
        "#try-1": "try",
        "#delete-1": "delete",
    },
    "/admin/quotas": {"#team-1": "team", "#user-1": "user"},
    "/admin/webhooks": {"#new-webhook": "new"},
    "/admin/api-keys": {"#new-key": "new"},
    "/admin/plans": {"#new-plan": "new"},
    "/admin/prices": {"#paste": "paste"},
}
# A refused form is an answer with a status of its own, which Chromium writes to its console.
REFUSED = ["the server responded with a status of 422"]


def live(boss: httpx.Client) -> None:
    """Groups with members and use, a user with a gift, a webhook, a key, an alert."""
    group = {"id": "design", "name": "Design team", "description": "Posters and films", "image_limit": 4}
    boss.post("/api/groups", json={**group, "video_limit": 2, "period": "month"}).raise_for_status()
    quota = {"id": "sales", "name": "Sales", "image_limit": 500, "token_quotas": {"lead_generation": 40}}
    boss.post("/api/groups", json=quota).raise_for_status()
    boss.post("/api/group-members", json={"group_id": "design", "user_ids": ["ann", "ben"]}).raise_for_status()
    for _ in range(3):
        boss.post("/api/track-generation", json={"user_id": "ann", "type": "image"}).raise_for_status()
    gift = {"amount": 500, "source": "gift", "reason": "Welcome"}
    boss.post("/api/v1/accounts/user:ann:credits/grants", json=gift).raise_for_status()
    hook = {"url": "https://hooks.example.com/scrip", "description": "Chat"}
    boss.post("/api/v1/webhooks", json=hook).raise_for_status()
    boss.post("/api/v1/purchases", json={"package": "credits_1000"}).raise_for_status()
    boss.post("/api/v1/api-keys", json={"name": "worker 1", "role": "worker"}).raise_for_status()
    until(lambda: boss.get("/api/v1/alerts").json()["items"], "the alert of the group's limit")
    until(lambda: boss.get("/api/v1/users").json()["items"], "the read models know of ann")


@pytest.fixture
def desk(api: OpenApi, org: str) -> str:
    live(api(org))
    return org


def shown(page: Page) -> None:
    """Wait for the part that a dialog loads."""
    expect(page.locator("dialog[open] form, dialog[open] .secret").first).to_be_visible()


# S1-5
@pytest.mark.parametrize(("width", "scheme"), [(WIDE, "dark"), (PHONE, "light")])
def test_each_screen_and_dialog(
    page_at: OpenPage, sign_in: SignIn, screen: Named, desk: str, width: int, scheme: str
) -> None:
    page = page_at(width, scheme=scheme)
    sign_in(page, desk, "boss", "admin")
    for path, name in SCREENS.items():
        page.goto(path)
        if name == "admin-group":
            expect(page.locator("canvas[data-drawn]")).to_have_count(1)
        screen(page, name)
        for button, dialog in DIALOGS.get(path, {}).items():
            page.click(button)
            shown(page)
            screen(page, f"{name}-{dialog}")
            page.locator("dialog[open] [data-closes]").first.click()


def test_a_group_is_made_filled_and_refuses(page_at: OpenPage, sign_in: SignIn, screen: Named, desk: str) -> None:
    page = page_at(PHONE, allow=REFUSED)
    sign_in(page, desk, "boss", "org_admin")
    page.goto("/admin/groups")
    page.click("#new-group")
    page.fill("#f-name", "Three friends")
    page.fill("#f-image_limit", "none")
    page.click("text=Create group")
    expect(page.locator("#panel [role=alert]")).to_contain_text("is not a whole number")
    expect(page.locator("#f-image_limit")).to_be_focused()
    page.fill("#f-image_limit", "1")
    page.click("text=Create group")
    page.get_by_role("button", name="Add members").click()
    page.locator("label.check", has_text="ann").click()
    page.fill("#f-names", "cleo, dan, cleo")
    page.click("text=Check before adding")
    expect(page.locator("dialog")).to_contain_text("2 not known to Scrip yet")
    expect(page.locator("dialog")).to_contain_text("1 named more than once")
    screen(page, "admin-members-look")
    page.get_by_role("button", name="Add 3 users").click()
    expect(page.locator("#panel .flash")).to_contain_text("3 users added")
    page.click("text=Done")
    page.click("#try")
    page.select_option("#f-user_id", "dan")
    page.get_by_role("button", name="Generate an image").click()
    expect(page.locator("#panel .flash")).to_contain_text("Allowed: one image of dan is counted, 0 left")
    page.get_by_role("button", name="Generate an image").click()
    expect(page.locator("#panel .flash")).to_contain_text(
        "Refused. The image limit of Three friends is reached: 1 of 1"
    )
    screen(page, "admin-group-refused")
    page.locator("dialog[open] [data-closes]").click()
    expect(page.locator("main > section").first).to_contain_text("Full: the next image is refused")  # by itself


# S1-5
def test_editing_a_limit_shows_who_is_refused_and_deleting_asks(
    page_at: OpenPage, sign_in: SignIn, screen: Named, desk: str
) -> None:
    page = page_at(WIDE)
    sign_in(page, desk, "boss", "org_admin")
    page.goto("/admin/groups")
    page.get_by_role("button", name="Edit Design team").click()
    expect(page.locator(".preview")).to_contain_text("As it is now")
    page.fill("#f-image_limit", "3")
    expect(page.locator(".preview")).to_contain_text("2 members would be refused images")
    screen(page, "admin-group-edit-refuses")
    page.click("text=Save")
    expect(page.locator("#flashes")).to_contain_text("Design team is changed.")
    expect(page.locator("[data-group=design]")).to_contain_text("Full: refuses")
    page.get_by_role("button", name="Delete Design team").click()
    expect(page.locator("dialog[open]")).to_contain_text("2 members will be free of its limits")
    page.get_by_role("button", name="Delete Design team").last.click()
    expect(page.locator("[data-group=design]")).to_have_count(0)


def test_the_cards_follow_what_others_do(page_at: OpenPage, sign_in: SignIn, api: OpenApi, desk: str) -> None:
    page = page_at(WIDE)
    sign_in(page, desk, "boss", "org_admin")
    page.goto("/admin/groups")
    expect(page.locator("[data-group=design]")).to_contain_text("3 of 4")
    api(desk).post("/api/track-generation", json={"user_id": "ann", "type": "image"}).raise_for_status()
    expect(page.locator("[data-group=design]")).to_contain_text("4 of 4", timeout=PATIENCE_MS)


def test_prices_are_edited_looked_at_and_published(page_at: OpenPage, sign_in: SignIn, screen: Named, org: str) -> None:
    page = page_at(WIDE, allow=REFUSED)
    sign_in(page, org, "root", "admin")
    page.goto("/admin/prices")
    page.click("text=Add a row")
    row = page.locator("#price-rows tr").last
    row.locator("[name=model]").fill(f"Model {org}")
    page.click("text=Preview what changes")
    expect(page.locator("#preview [role=alert]")).to_contain_text("Row")
    row.locator("[name=credits]").fill("12")
    expect(page.locator("#preview")).to_be_empty()
    page.click("text=Preview what changes")
    expect(page.locator("#preview")).to_contain_text(f"Added Model {org}: 12 credits")
    screen(page, "admin-prices-preview")
    page.click("#preview [data-opens=publish]")
    screen(page, "admin-prices-publish")
    page.get_by_role("button", name="Publish", exact=True).click()
    expect(page.locator("#flashes")).to_contain_text("is published. It takes effect in 5 seconds.")
    page.get_by_role("link", name="Revert to it").first.click()
    expect(page.locator("main")).to_contain_text("To go back to it, preview and publish it.")
    page.click("text=Preview what changes")
    expect(page.locator("#preview")).to_contain_text(f"Removed Model {org}")


def test_secrets_are_shown_once(page_at: OpenPage, sign_in: SignIn, screen: Named, desk: str) -> None:
    page = page_at(PHONE)
    sign_in(page, desk, "boss", "org_admin")
    page.goto("/admin/api-keys")
    page.click("#new-key")
    page.fill("#f-name", "report")
    page.select_option("#f-role", "auditor")
    page.click("text=Make the key")
    secret = page.locator(".secret").inner_text()
    screen(page, "admin-api-key-made")
    page.keyboard.press("Escape")  # too early
    expect(page.locator(".secret")).to_be_visible()
    page.click("text=I have kept it")
    expect(page.locator("table")).to_contain_text("report")
    assert secret not in page.content()
    page.locator("tr", has_text="report").get_by_role("button", name="End").first.click()
    page.get_by_role("button", name="End the key").click()
    expect(page.locator("tr", has_text="report")).to_contain_text("Ended")


def test_the_other_forms_by_mouse(page_at: OpenPage, sign_in: SignIn, screen: Named, desk: str) -> None:
    page = page_at(WIDE)
    sign_in(page, desk, "boss", "admin")
    page.goto("/admin/organisation")
    page.locator("label.check", has_text="Budget").click()
    page.select_option("#payer-1", "org:{org}")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#flashes")).to_contain_text("The settings are saved.")
    expect(page.locator("[value=budget]")).not_to_be_checked()
    page.goto("/admin/gifts")
    page.fill("#f-user", "ben")
    page.fill("#f-amount", "250")
    page.fill("#f-reason", "A birthday")
    page.fill("#f-expires", "2099-12-24T18:00")
    page.get_by_role("button", name="Give").click()
    expect(page.locator("#flashes")).to_contain_text("ben has 250 credits more.")
    expect(page.locator(".timeline")).to_contain_text("A birthday; expires 24 Dec 2099")
    page.get_by_role("button", name="Take back").click()
    page.get_by_role("button", name="Take them back").click()
    expect(page.locator("#flashes")).to_contain_text("250 credits are taken back.")
    page.goto("/admin/quotas")
    page.get_by_role("button", name="Storage and budget of ann").click()
    page.fill("#f-storage_mb", "64")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#flashes")).to_contain_text("The quotas of ann are set.")
    page.goto("/admin/alerts/rules")
    page.locator("label.check", has_text="Usage spike").click()
    page.get_by_role("button", name="Save the rules").click()
    expect(page.locator("[name=usage_spike]")).not_to_be_checked()
    page.goto("/admin/webhooks")
    page.get_by_role("link", name="Delivery log").click()
    expect(page.locator("h1")).to_have_text("Delivery log")
    screen(page, "admin-webhook-log")
    page.goto("/admin/packages")
    page.click("text=Add a package")
    row = page.locator("#package-rows tr").last
    for name, value in {"name": f"Pack {desk}", "amount": "10", "price": "1.00", "id": desk}.items():
        row.locator(f"[name={name}]").fill(value)
    page.get_by_role("button", name="Publish the packages").click()
    expect(page.locator("#flashes")).to_contain_text("The packages are published.")
