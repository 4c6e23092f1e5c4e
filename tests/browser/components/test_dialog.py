"""The dialog of a person who is blocked: both variants of S0, and everything beyond them."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.components.conftest import Embed, Embedded
from tests.browser.conftest import PHONE, WIDE, Named

MB = 2**20
DIALOG = '<button id="go">Generate</button><scrip-insufficient-resource prompt-key="p"></scrip-insufficient-resource>'
VIDEO = {
    "operation": "video",
    "provider": "MiniMax",
    "model": "MiniMax-Hailuo-02",
    "options": {"resolution": "1080P", "duration": 6},
}
SHOW = """async ([request, prompt]) => {
    const check = await client.check(request);
    document.getElementById("go").focus();
    document.querySelector("scrip-insufficient-resource").show(check, {prompt, request});
    return check;
}"""
widths = pytest.mark.parametrize("width", [WIDE, PHONE])


def blocked(made: Embedded, request: dict[str, Any], prompt: str = "A lighthouse", html: str = DIALOG) -> Any:
    made.start(html)
    return made.run(SHOW, [request, prompt])


def fill_storage(made: Embedded, megabytes: int, limit: int) -> None:
    assert made.boss.put("/api/v1/users/u1/storage-limit", json={"bytes": limit * MB}).status_code == 200
    generation = made.boss.post(
        "/api/v1/generations", json={"user_id": "u1", "operation": "upload", "bytes": megabytes * MB}
    ).json()["generation_id"]
    stored = {"contents": [{"id": f"c-{generation}", "bytes": megabytes * MB}]}
    assert made.boss.post(f"/api/v1/generations/{generation}/confirm", json=stored).status_code == 200


# S0-7
@widths
def test_tokens_short(embed: Embed, screen: Named, width: int) -> None:
    made = embed(width)
    made.grant(50, "tokens")
    blocked(made, {"operation": "image", "tokens": 100})
    dialog = made.page.get_by_role("dialog", name="Insufficient Tokens")
    expect(dialog).to_be_visible()
    expect(dialog).to_have_attribute("data-theme", "tokens")
    expect(dialog.locator("[data-icon=coin]")).to_be_visible()
    expect(dialog.locator("dl")).to_have_text("Current balance50 tokensNeeded50 tokens more")
    expect(dialog.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "50")
    expect(dialog.get_by_role("link", name="Buy More Tokens")).to_have_attribute("href", "/settings/tokens")
    expect(dialog.get_by_role("link", name="Upgrade Plan")).to_have_attribute("href", "/settings/subscription")
    expect(dialog).to_contain_text("your administrator can give you tokens")
    screen(made.page, "dialog-tokens")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    assert len(made.events("close")) == 1


def test_thousands_are_short_and_exact_where_that_says_more(embed: Embed) -> None:
    made = embed()
    made.grant(1234, "tokens")
    blocked(made, {"operation": "playground", "tokens": 3234})
    figures = made.page.get_by_role("dialog").locator("dl")
    expect(figures).to_have_text("Current balance1.2k (1,234) tokensNeeded2k tokens more", ignore_case=True)


# S0-7
@widths
def test_storage_full(embed: Embed, screen: Named, width: int) -> None:
    made = embed(width, scheme="dark")
    made.grant(1000, "tokens")
    fill_storage(made, 195, 200)
    blocked(made, {"operation": "video", "tokens": 500})
    dialog = made.page.get_by_role("dialog", name="Storage Full")
    expect(dialog).to_have_attribute("data-theme", "storage")
    expect(dialog.locator("[data-icon=database]")).to_be_visible()
    expect(dialog.locator("dl")).to_have_text(
        "Current usage195 MBStorage limit200 MBIn use97.5%Additional space needed5 MB more"
    )
    expect(dialog).to_contain_text("Tip:")
    expect(dialog.get_by_role("link", name="Delete Old Generations")).to_have_attribute("href", "/generations")
    expect(dialog.get_by_role("link", name="Upgrade for More Storage")).to_have_attribute(
        "href", "/settings/subscription"
    )
    screen(made.page, "dialog-storage")


@widths
def test_both_short(embed: Embed, screen: Named, width: int) -> None:
    made = embed(width)
    made.grant(50, "tokens")
    fill_storage(made, 195, 200)
    blocked(made, {"operation": "video"})
    dialog = made.page.get_by_role("dialog")
    expect(dialog).to_have_attribute("data-theme", "both")
    expect(dialog.locator("section.short")).to_have_count(2)
    for name in ("Buy More Tokens", "Upgrade Plan", "Delete Old Generations", "Upgrade for More Storage"):
        expect(dialog.get_by_role("link", name=name, exact=True)).to_be_visible()
    screen(made.page, "dialog-both")


def test_credits_short_offers_what_would_run_now(embed: Embed, screen: Named) -> None:
    made = embed(PHONE)
    made.grant(500)
    blocked(made, VIDEO, "A lighthouse at dawn")
    dialog = made.page.get_by_role("dialog", name="Insufficient Credits")
    expect(dialog).to_contain_text("Current balance500 creditsNeeded600 credits more")
    expect(dialog).to_contain_text("512P 6s costs 320, you have 500")
    screen(made.page, "dialog-credits")
    dialog.get_by_role("button", name="Use this: 512P 6s").click()
    (taken,) = made.events("alternative")
    assert taken["alternative"]["options"] == {"resolution": "512P", "duration": 6}
    assert taken["prompt"] == "A lighthouse at dawn"
    expect(dialog).to_be_hidden()


def test_a_budget_says_when_it_starts_anew(embed: Embed, screen: Named) -> None:
    made = embed(PHONE)
    assert made.user.put("/api/v1/budgets/me", json={"monthly_budget": "1"}).status_code == 200
    request = {"operation": "image", "options": {"size": "1024x1024", "quality": "hd", "count": 20}}
    priced = made.user.post("/api/v1/generations/check", json=request).json()
    assert "budget_exceeded" in [check["reason"] for check in priced["checks"]]
    blocked(made, request)
    dialog = made.page.get_by_role("dialog")
    expect(dialog).to_contain_text("Left this month$1.00 of $1.00")
    expect(dialog).to_contain_text("Your monthly budget resets on")
    expect(dialog.get_by_role("link", name="Raise Budget")).to_have_attribute("href", "/settings/budget")
    screen(made.page, "dialog-budget")


def test_a_full_group_names_who_can_help(embed: Embed, screen: Named) -> None:
    made = embed()
    made.grant(1000, "tokens")
    group = {"id": "g1", "name": "Design", "image_limit": 0, "period": "month"}
    assert made.boss.post("/api/groups", json=group).status_code == 201
    assert made.boss.post("/api/group-members", json={"group_id": "g1", "user_ids": ["u1"]}).status_code == 200
    blocked(made, {"operation": "image"}, html=DIALOG.replace("prompt-key", 'helper="Dana" prompt-key'))
    dialog = made.page.get_by_role("dialog", name="Group Limit Reached")
    expect(dialog).to_contain_text("Used by Design0 of 0")
    expect(dialog).to_contain_text("Dana can raise the group's limit")
    expect(dialog).to_contain_text("The group's limit resets on")
    expect(dialog.get_by_role("link", name="Ask Your Admin")).to_be_visible()
    screen(made.page, "dialog-group")


def test_a_feature_that_the_plan_lacks(embed: Embed) -> None:
    made = embed()
    made.grant(1000, "tokens")
    blocked(made, {"operation": "chat", "feature": "generate_goal"})
    dialog = made.page.get_by_role("dialog", name="Not in Your Plan")
    expect(dialog.get_by_role("link", name="Upgrade Plan")).to_be_visible()
    expect(dialog.get_by_role("link", name="Buy More Tokens")).to_have_count(0)


def test_the_keyboard_stays_inside_and_comes_back(embed: Embed) -> None:
    made = embed()
    blocked(made, {"operation": "image"})
    focused = "() => document.querySelector('scrip-insufficient-resource').shadowRoot.activeElement?.textContent"
    made.until(f"({focused})() === 'Buy More Tokens'")
    seen = []
    for _ in range(5):
        seen.append(made.run(focused))
        made.page.keyboard.press("Tab")
    assert seen == ["Buy More Tokens", "Upgrade Plan", "Cancel", "", "Buy More Tokens"]  # the cross has an icon alone
    made.page.keyboard.press("Escape")
    expect(made.page.get_by_role("dialog")).to_be_hidden()
    assert made.run("() => document.activeElement.id") == "go"
    made.run(SHOW, [{"operation": "image"}, ""])
    expect(made.page.get_by_role("dialog")).to_be_visible()  # closing and trying again works


def test_links_are_the_integrators_and_a_router_can_take_them(embed: Embed) -> None:
    made = embed()
    html = DIALOG.replace("prompt-key", 'tokens-href="/shop" plan-href="javascript:alert(1)" prompt-key')
    blocked(made, {"operation": "image"}, html=html)
    dialog = made.page.get_by_role("dialog")
    expect(dialog.get_by_role("link", name="Upgrade Plan")).to_have_attribute("href", "#")
    made.run("() => document.addEventListener('scrip-action', (event) => event.preventDefault())")
    dialog.get_by_role("link", name="Buy More Tokens").click()
    assert made.events("action") == [{"action": "buy_tokens", "href": "/shop"}]
    assert made.page.url.endswith("/embed")


def test_a_prompt_is_text_whatever_it_says(embed: Embed) -> None:
    made = embed()
    prompt = '<script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">'
    blocked(made, {"operation": "image"}, prompt)
    expect(made.page.locator(".prompt")).to_have_text(prompt)
    assert made.run("() => window.hacked") is None


# S0-7
def test_who_returns_with_enough_generates_without_typing_again(embed: Embed, screen: Named) -> None:
    made = embed(PHONE)
    made.grant(500)
    blocked(made, VIDEO, "A lighthouse at dawn")
    expect(made.page.get_by_role("dialog", name="Insufficient Credits")).to_be_visible()
    made.page.goto("/livez")  # away, to buy
    made.grant(1000)
    made.start(DIALOG)  # and back
    dialog = made.page.get_by_role("dialog", name="There Is Enough Now")
    expect(dialog).to_contain_text("A lighthouse at dawn")
    screen(made.page, "dialog-ready")
    dialog.get_by_role("button", name="Generate").click()
    (offered,) = made.events("generate")
    assert offered["prompt"] == "A lighthouse at dawn"
    assert offered["request"] == VIDEO
    made.start(DIALOG)
    made.until("client.store.reading('me')")
    expect(made.page.get_by_role("dialog")).to_be_hidden()  # it is done: nobody asks again


def test_the_open_dialog_notices_that_there_is_enough(embed: Embed) -> None:
    made = embed()
    made.grant(500)
    blocked(made, VIDEO)
    expect(made.page.get_by_role("dialog", name="Insufficient Credits")).to_be_visible()
    made.grant(600)
    expect(made.page.get_by_role("dialog", name="There Is Enough Now")).to_be_visible()


def test_figures_can_be_given_one_by_one(embed: Embed) -> None:
    made = embed()
    made.start(
        '<scrip-insufficient-resource open type="storage" operation-type="video" storage-needed="5242880"'
        ' current-storage="204472320" storage-limit="209715200"></scrip-insufficient-resource>'
    )
    dialog = made.page.get_by_role("dialog", name="Storage Full")
    expect(dialog).to_contain_text("195 MB")
    expect(dialog).to_contain_text("97.5%")
    expect(dialog).to_contain_text("This video did not start.")
