"""Balance, cost, dashboard, budget and storage, each as a person sees it."""

import json

import pytest
from playwright.sync_api import Route, expect

from tests.browser.components.conftest import Embed
from tests.browser.conftest import PHONE, WIDE, Named, OpenApi

VIDEO = {"operation": "video", "provider": "MiniMax", "model": "MiniMax-Hailuo-02"}
COST = f"""<scrip-cost operation="video" provider="MiniMax" model="MiniMax-Hailuo-02"
    options='{json.dumps({"resolution": "512P", "duration": 6})}'></scrip-cost>"""
ALL = f"""<scrip-credits show-updated></scrip-credits> <button>Generate</button> {COST}
<scrip-storage show-updated></scrip-storage><scrip-budget show-updated></scrip-budget>
<scrip-token-dashboard show-updated></scrip-token-dashboard>"""
CREDITS_ME = "**/api/credits/me"


@pytest.mark.parametrize(("width", "scheme"), [(WIDE, "light"), (WIDE, "dark"), (PHONE, "light"), (PHONE, "dark")])
def test_every_element_is_accessible_at_both_widths_in_light_and_dark(
    embed: Embed, screen: Named, width: int, scheme: str
) -> None:
    made = embed(width, scheme=scheme)
    made.grant(700)
    made.start(ALL)
    expect(made.page.locator("scrip-credits")).to_contain_text("700 available")
    expect(made.page.locator("scrip-credits")).to_contain_text("s ago")
    expect(made.page.locator("scrip-cost")).to_have_text("costs 320, leaves 380")
    expect(made.page.locator("scrip-storage")).to_contain_text("0 B of 1 GB")
    expect(made.page.locator("scrip-budget")).to_contain_text("$10.00 remaining")
    expect(made.page.locator("scrip-token-dashboard")).to_contain_text("Lead generation")
    screen(made.page, f"components-{scheme}")


# S4-4
def test_a_hold_moves_the_balance_before_the_service_has_answered(embed: Embed) -> None:
    made = embed()
    made.grant(2350)
    made.start("<scrip-credits></scrip-credits>")
    balance = made.page.locator("scrip-credits")
    expect(balance).to_contain_text("2,350 available")
    waiting: list[Route] = []
    made.page.route(CREDITS_ME, lambda route: waiting.append(route))  # noqa: PLW0108 - Playwright marks what it is given
    made.run("() => { window.held = client.reserve({amount: 1100, reason: 'video-generation'}) }")
    expect(balance).to_have_text("Credits1,250 available, 1,100 in progress")
    made.page.unroute(CREDITS_ME)
    waiting[0].continue_()
    held = made.run("() => held")
    assert made.user.get("/api/auth/me").json()["credits"] == {"available": 1250, "reserved": 1100}
    made.run("(id) => client.confirm(id)", held["transaction_id"])
    expect(balance).to_have_text("Credits1,250 available")


def test_a_refused_hold_moves_back(embed: Embed) -> None:
    made = embed(allow=["409"])
    made.grant(1500)
    frozen = made.boss.patch("/api/v1/accounts/user:u1:credits", json={"frozen": True})
    assert frozen.status_code == 200, frozen.text
    made.start("<scrip-credits></scrip-credits>")
    balance = made.page.locator("scrip-credits")
    expect(balance).to_contain_text("1,500 available")
    waiting: list[Route] = []
    made.page.route(CREDITS_ME, lambda route: waiting.append(route))  # noqa: PLW0108 - Playwright marks what it is given
    made.run("() => { window.refusal = client.reserve({amount: 1100}).catch((error) => [error.name, error.status]) }")
    expect(balance).to_contain_text("400 available, 1,100 in progress")
    waiting[0].continue_()
    assert made.run("() => refusal") == ["Refused", 409]
    expect(balance).to_have_text("Credits1,500 available")


def test_what_cannot_be_paid_never_shows_below_zero(embed: Embed) -> None:
    made = embed(allow=["402"])
    made.grant(500)
    made.start("<scrip-credits></scrip-credits>")
    balance = made.page.locator("scrip-credits")
    expect(balance).to_contain_text("500 available")
    made.run("""() => {
        window.shown = new Set();
        const look = () => shown.add(client.store.balance().available);
        client.store.addEventListener("change", look);
        window.refusal = client.reserve({amount: 1100}).catch((error) => error.message);
    }""")
    sentence = "Insufficient credits. You need 1100 credits but only have 500. You're 600 credits short."
    assert made.run("() => refusal") == sentence
    assert made.run("() => [...shown]") == [500]


# S4-4
def test_what_another_party_does_shows_by_itself(embed: Embed) -> None:
    made = embed()
    made.grant(500)
    made.start("<scrip-credits></scrip-credits>")
    balance = made.page.locator("scrip-credits")
    expect(balance).to_contain_text("500 available")
    made.until("client.store.connection === 'live'")
    account = "/api/v1/accounts/user:u1:credits"
    assert made.boss.post(f"{account}/debits", json={"amount": 180}).status_code == 201
    expect(balance).to_contain_text("320 available", timeout=3_000)
    assert made.boss.post(f"{account}/reservations", json={"amount": 20}).status_code == 201
    expect(balance).to_contain_text("300 available, 20 in progress", timeout=3_000)


def test_icon_label_unit_language_and_numbers_can_be_chosen(embed: Embed) -> None:
    made = embed()
    made.grant(1250)
    made.grant(1, "tokens")
    made.start(
        '<scrip-credits id="a" show-icon="false" show-label="false"></scrip-credits>'
        '<scrip-credits id="b" unit="tokens"></scrip-credits><scrip-credits id="c" locale="de"></scrip-credits>'
    )
    expect(made.page.locator("#a")).to_have_text("1,250 available")
    expect(made.page.locator("#a .icon")).to_have_count(0)
    expect(made.page.locator("#b .icon")).to_have_count(1)
    expect(made.page.locator("#c")).to_contain_text("1.250")
    made.run("""() => scrip.setStrings({"tokens.label": "Münzen",
        "credits.available": {one: "{n} Münze übrig", other: "{n} Münzen übrig"}}, {language: "de"})""")
    expect(made.page.locator("#b")).to_have_text("Münzen1 Münze übrig")
    expect(made.page.locator("#c")).to_contain_text("1.250 Münzen übrig")
    own = {"credits.available": "noch {n}"}
    made.run("(own) => document.getElementById('a').setAttribute('strings', JSON.stringify(own))", own)
    expect(made.page.locator("#a")).to_have_text("noch 1,250")


def test_the_theme_is_the_pages_unless_an_attribute_or_a_property_says_otherwise(embed: Embed) -> None:
    made = embed(scheme="light")
    made.start(
        '<scrip-storage id="a"></scrip-storage><scrip-storage id="b" theme="dark"></scrip-storage>'
        '<scrip-storage id="c"></scrip-storage>'
    )
    made.run("() => document.getElementById('c').style.setProperty('--scrip-surface', 'rgb(1, 2, 3)')")
    ground = (
        """(id) => getComputedStyle(document.getElementById(id).shadowRoot.querySelector(".card")).backgroundColor"""
    )
    expect(made.page.locator("#c .card")).to_be_visible()
    assert [made.run(ground, id_) for id_ in "abc"] == ["rgb(255, 255, 255)", "rgb(22, 27, 25)", "rgb(1, 2, 3)"]


def test_the_cost_follows_what_is_chosen_and_what_there_is(embed: Embed) -> None:
    made = embed(allow=["422"])
    made.grant(500)
    made.start(COST)
    cost = made.page.locator("scrip-cost")
    expect(cost).to_have_text("costs 320, leaves 180")
    choose = "(options) => document.querySelector('scrip-cost').setAttribute('options', JSON.stringify(options))"
    made.run(choose, {"resolution": "1080P", "duration": 6})
    expect(cost).to_have_text("costs 1,100, 600 short")
    assert made.events("cost")[-1]["check"]["can_proceed"] is False
    made.grant(980)
    expect(cost).to_have_text("costs 1,100, leaves 380")
    made.run(choose, {"resolution": "1080P", "duration": 10})
    expect(cost).to_contain_text("Priced are: MiniMax-Hailuo-02 512P 6s")


# S3-7
def test_the_dashboard_shows_status_refresh_date_and_warnings(
    embed: Embed, screen: Named, api: OpenApi, org: str
) -> None:
    made = embed()
    told = api(org, "root", "admin").put(f"/api/v1/organisations/{org}/plan", json={"plan": "pro"})
    assert told.status_code < 300, told.text
    use = {"action": "deduct", "token_type": "goal_generation"}
    for quantity in (5, 1):  # 18 of 20
        assert made.boss.post("/api/v1/tokens/check-balance", json={**use, "quantity": quantity}).json()["allowed"]
    made.start("<scrip-token-dashboard></scrip-token-dashboard>")
    goals = made.page.locator("[data-type=goal_generation]")
    expect(goals).to_contain_text("2 of 20 left")
    expect(goals).to_contain_text("Low")
    expect(goals.get_by_role("progressbar")).to_have_attribute("aria-valuetext", "2 of 20 left, Low")
    expect(made.page.locator("[data-type=forecast]")).to_contain_text("Enough")
    expect(made.page.locator("[data-type=general]")).to_contain_text("Not in the plan")
    dashboard = made.page.locator("scrip-token-dashboard")
    expect(dashboard).to_contain_text("Goal generation: only 2 left. Refilled on")
    expect(made.page.get_by_text("Upgrade Plan")).to_have_count(0)
    made.page.get_by_role("button", name="Refresh").click()
    made.until("events.some(([type]) => type === 'refreshed')")
    screen(made.page, "component-dashboard-pro")


def test_starter_is_asked_to_upgrade(embed: Embed) -> None:
    made = embed()
    made.start('<scrip-token-dashboard plan-href="/shop?plan=pro"></scrip-token-dashboard>')
    expect(made.page.get_by_role("link", name="Upgrade Plan")).to_have_attribute("href", "/shop?plan=pro")


def test_the_budget_is_set_by_keyboard_within_its_bounds(embed: Embed, screen: Named) -> None:
    made = embed(PHONE)
    entry = {"id": "c1", "user_id": "u1", "cost": "9.20", "success": True, "size": "1024x1024", "quality": "hd"}
    assert made.boss.post("/api/v1/budgets/costs", json={"entries": [entry]}).status_code == 200
    made.start("<scrip-budget></scrip-budget>")
    budget = made.page.locator("scrip-budget")
    expect(budget).to_contain_text("$0.80 remaining")
    expect(budget).to_contain_text("$9.20 of $10.00 used")
    expect(budget).to_contain_text("Critical: 92% of the budget is used.")
    field = made.page.get_by_label("Monthly budget in USD")
    field.fill("0.5")
    field.press("Enter")
    expect(budget).to_contain_text("Enter an amount from $1.00 to $1,000.00.")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    screen(made.page, "component-budget-invalid")
    field.fill("25.00")
    field.press("Enter")
    expect(budget).to_contain_text("Saved")
    expect(budget).to_contain_text("$15.80 remaining")
    assert made.user.get("/api/v1/budgets/me").json()["monthly_budget"] == "25.00"


def test_storage_shows_what_is_stored(embed: Embed) -> None:
    made = embed()
    assert made.boss.put("/api/v1/users/u1/storage-limit", json={"bytes": 200 * 2**20}).status_code == 200
    made.grant(100, "tokens")
    generation = made.user.post("/api/v1/generations", json={"operation": "image"}).json()["generation_id"]
    stored = {"contents": [{"id": f"c-{generation}", "bytes": 195 * 2**20}]}
    assert made.boss.post(f"/api/v1/generations/{generation}/confirm", json=stored).status_code == 200
    made.start('<scrip-storage generations-href="/mine"></scrip-storage>')
    storage = made.page.locator("scrip-storage")
    expect(storage).to_contain_text("195 MB of 200 MB (97.5%)")
    expect(storage.get_by_role("progressbar")).to_have_attribute("aria-valuetext", "195 MB of 200 MB (97.5%)")
    expect(storage.get_by_role("link")).to_have_attribute("href", "/mine")
