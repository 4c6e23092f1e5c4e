"""The playground: every element with a live service, by mouse and on a phone."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, WIDE, Named, OpenApi, OpenPage, SignIn

HAILUO = "MiniMax-Hailuo-02 1080P 6"


def grant(api: OpenApi, org: str, amount: int, unit: str = "credits") -> None:
    body = {"amount": amount, "source": "promotion"}
    assert api(org).post(f"/api/v1/accounts/user:u1:{unit}/grants", json=body).status_code == 201


def opened(page_at: OpenPage, sign_in: SignIn, org: str, width: int, scheme: str = "light") -> Page:
    page = page_at(width, allow=["402"], scheme=scheme)
    sign_in(page, org, "u1")
    page.goto("/playground")
    expect(page.locator("scrip-cost")).to_contain_text("costs")
    return page


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_it_shows_every_element(
    page_at: OpenPage, sign_in: SignIn, api: OpenApi, org: str, screen: Named, width: int
) -> None:
    grant(api, org, 1250)
    page = opened(page_at, sign_in, org, width)
    expect(page.locator("scrip-credits")).to_contain_text("1,250 available")
    for element in ("scrip-storage", "scrip-budget", "scrip-token-dashboard"):
        expect(page.locator(f"{element} section")).to_be_visible()
        expect(page.locator(f"{element} .skeleton")).to_have_count(0)
    screen(page, "playground")


def test_a_generation_is_held_then_charged(page_at: OpenPage, sign_in: SignIn, api: OpenApi, org: str) -> None:
    grant(api, org, 1500)
    page = opened(page_at, sign_in, org, WIDE)
    page.get_by_label("What", exact=True).select_option(label=HAILUO)
    expect(page.locator("scrip-cost")).to_have_text("costs 1,100, leaves 400")
    page.get_by_role("button", name="Generate", exact=True).click()
    credits_ = page.locator("scrip-credits")
    expect(credits_).to_contain_text("400 available, 1,100 in progress")
    page.get_by_role("button", name="It has succeeded: charge").click()
    expect(credits_).not_to_contain_text("in progress")
    expect(credits_).to_contain_text("400 available")
    expect(page.locator("#log")).to_contain_text("Charged.")


def test_a_cheaper_choice_in_the_dialog_runs_at_once(
    page_at: OpenPage, sign_in: SignIn, api: OpenApi, org: str
) -> None:
    grant(api, org, 500)
    page = opened(page_at, sign_in, org, PHONE)
    page.get_by_label("What", exact=True).select_option(label=HAILUO)
    page.get_by_label("Prompt").fill("A lighthouse at dawn")
    page.get_by_role("button", name="Generate", exact=True).click()
    page.get_by_role("button", name="Use this: 512P 6s").click()
    expect(page.locator("#running")).to_contain_text("A lighthouse at dawn is in progress")
    page.get_by_role("button", name="It has failed: give back").click()
    expect(page.locator("scrip-credits")).to_contain_text("500 available")
    expect(page.locator("#running")).to_be_hidden()


# S0-9
def test_each_scenario_shows_its_own_dialog(page_at: OpenPage, sign_in: SignIn, api: OpenApi, org: str) -> None:
    grant(api, org, 10_000, "tokens")
    boss = api(org)
    assert boss.post("/api/groups", json={"id": "g1", "name": "Design", "image_limit": 2}).status_code == 201
    assert boss.post("/api/group-members", json={"group_id": "g1", "user_ids": ["u1"]}).status_code == 200
    page = opened(page_at, sign_in, org, WIDE)
    page.get_by_role("button", name="Enough of everything").click()
    expect(page.locator("#log")).to_contain_text("May run: there is enough of everything.")
    for scenario, title in (
        ("Tokens short", "Insufficient Tokens"),
        ("Storage full", "Storage Full"),
        ("Both short", "More Is Needed, and Storage Is Full"),
        ("Credits short", "Insufficient Credits"),
        ("Budget reached", None),  # many images: the group is full as well
        ("Group limit", "Group Limit Reached"),
        ("Not in the plan", "Not in Your Plan"),
    ):
        page.get_by_role("button", name=scenario).click()
        dialog = page.get_by_role("dialog", name=title) if title else page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        dialog.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
