"""The browser client's calls, each against the service, and the figures as people read them."""

from playwright.sync_api import Route, expect

from tests.browser.components.conftest import Embed
from tests.browser.conftest import OpenApi


def test_the_checks_of_s0(embed: Embed) -> None:
    made = embed()
    made.grant(50, "tokens")
    made.start("")
    told = made.run(
        """async () => {
            const checks = [await client.checkImage(100), await client.checkVideo(500), await client.checkTokens(50),
                await client.checkStorage(2 ** 31), await client.checkImage(1), await client.checkImage()];
            return checks.map((each) => [each.can_proceed, each.reason, each.tokens_needed, each.storage_needed]);
        }"""
    )
    assert told == [
        [False, "insufficient_tokens", 50, 0],
        [False, "insufficient_tokens", 450, 0],
        [True, "ok", 0, 0],
        [False, "insufficient_storage", 0, 2**30],
        [False, "insufficient_tokens", 50, 0],  # declared tokens never lower the estimate
        [False, "insufficient_tokens", 50, 0],
    ]


def test_every_reading_is_the_apis_own(embed: Embed) -> None:
    made = embed()
    made.grant(500)
    made.start("")
    for call, path in (("me", "/api/auth/me"), ("tokens", "/api/v1/tokens/stats"), ("storage", "/api/v1/storage/me")):
        mine, theirs = made.run(f"() => client.{call}()"), made.user.get(path).json()
        assert mine | {"position": 0} == theirs | {"position": 0}
    assert made.run("() => client.balance()") == {"available": 500, "reserved": 0}
    assert made.run("() => client.budget()")["alerts"] == []
    assert "credits_1000" in [package["id"] for package in made.run("() => client.packages()")]
    quoted = made.run("() => client.quote({model: 'T2V-01-Director', operation: 'video', provider: 'MiniMax'})")
    assert quoted["credits"] == 980


def test_what_is_bought_generated_and_called_off(embed: Embed, api: OpenApi, org: str) -> None:
    made = embed()
    made.grant(500, "tokens")
    made.start("")
    bought = made.run("() => client.buy('credits_1000')")
    assert bought["purchase_id"]
    assert bought["status"] in {"pending", "completed"}
    request = {"operation": "image", "prompt": "A lighthouse"}
    held = made.run("(request) => client.generate(request)", request)
    assert held["status"] == "held"
    stored = made.user.get(f"/api/v1/generations/{held['generation_id']}", params={"min_position": held["position"]})
    assert stored.json()["prompt"] == "A lighthouse"
    assert made.run("(id) => client.cancel(id)", held["generation_id"])["status"] == "cancelled"
    assert made.boss.post("/api/groups", json={"id": "g1", "name": "Design", "image_limit": 5}).status_code == 201
    assert made.boss.post("/api/group-members", json={"group_id": "g1", "user_ids": ["u1"]}).status_code == 200
    assert made.run("() => client.group('g1')")["image_limit"] == 5
    made.grant(10)
    made.run("() => client.reserve({amount: 4}).then((told) => client.confirm(told.transaction_id))")
    moved = made.run(
        """async () => {
            for (;;) {  // the history follows the ledger
                const all = await client.transactions(5);
                if (all.some(({amount}) => amount === 10)) return all;
            }
        }"""
    )
    assert moved[0]["created_at"] >= moved[-1]["created_at"]


def test_an_unknown_price_is_told_with_what_is_priced(embed: Embed) -> None:
    made = embed(allow=["422"])
    made.start("")
    told = made.run(
        """() => client.check({operation: "video", provider: "MiniMax", model: "MiniMax-Hailuo-02",
            options: {resolution: "1080P", duration: 10}})
            .catch((error) => [error.name, error.code, error.problem.priced])"""
    )
    assert told[:2] == ["Refused", "unpriced"]
    assert "MiniMax-Hailuo-02 512P 6s" in told[2]


def test_sizes_and_amounts_are_formatted_for_people(embed: Embed) -> None:
    made = embed()
    made.start("")
    told = made.run(
        """() => [scrip.formatBytes(204472320, "en"), scrip.formatBytes(1610612736, "en"), scrip.formatBytes(512, "en"),
            scrip.formatBytes(0, "en"), scrip.formatTokens(1234, "en"), scrip.formatTokens(950, "en"),
            scrip.formatTokens(1999, "en"), scrip.formatMoney("0.0425", "USD", "en"),
            scrip.formatMoney("10", "USD", "en"),
            scrip.formatPercent(97.59, "en"), scrip.formatNumber(1250, "de")]"""
    )
    assert told == [
        "195 MB", "1.5 GB", "512 B", "0 B", "1.2K", "950", "1.9K", "$0.0425", "$10.00", "97.5%", "1.250",
    ]  # fmt: skip


def test_what_another_account_pays_leaves_the_own_balance_alone(embed: Embed, org: str) -> None:
    made = embed()
    paid_by = made.boss.patch(f"/api/v1/organisations/{org}", json={"pay_from": ["org:{org}"]})
    assert paid_by.status_code == 200, paid_by.text
    made.grant(400)
    grant = {"amount": 1000, "source": "purchase"}
    assert made.boss.post(f"/api/v1/accounts/org:{org}:credits/grants", json=grant).status_code == 201
    made.start("")
    what = {"operation": "video", "provider": "MiniMax", "model": "MiniMax-Hailuo-02"}
    what["options"] = {"resolution": "512P", "duration": 6}  # type: ignore[assignment]
    assert made.run("(what) => client.generate(what)", what)["status"] == "held"
    assert made.run("() => client.balance()") == {"available": 400, "reserved": 0}


def test_amounts_that_javascript_cannot_hold_are_exact(embed: Embed) -> None:
    made = embed()
    made.grant(500)
    told = made.user.get("/api/auth/me").json()
    told["credits"] = {"available": str(2**53 + 1), "reserved": 0}
    asked: list[str | None] = []

    def answer(route: Route) -> None:
        asked.append(route.request.headers.get("prefer"))
        route.fulfill(json=told)

    made.page.route("**/api/auth/me", answer)
    made.start("<scrip-credits></scrip-credits>")
    expect(made.page.locator("scrip-credits")).to_contain_text("9,007,199,254,740,993 available")
    assert set(asked) == {"big-integers=string"}
    assert made.run("() => client.balance()") == {"available": "9007199254740993", "reserved": 0}
    sums = made.run(
        """async () => {
            const { add, subtract, formatNumber } = await import("/components/format.js");
            const big = "9007199254740993";
            return [add(big, 1), add(2, 3), add(Number.MAX_SAFE_INTEGER, 2), subtract(big, 3), subtract(5, big),
                formatNumber(`-${big}`, "en")];
        }"""
    )
    assert sums == [str(2**53 + 2), 5, str(2**53 + 1), 2**53 - 2, 4 - 2**53, "-9,007,199,254,740,993"]


def test_a_text_that_would_reorder_the_page_is_shown_as_its_code(embed: Embed) -> None:
    made = embed()
    made.start("")
    shown = made.run(
        """async () => {
            const { h } = await import("/components/dom.js");
            return h("p", {}, "ad\\u202emin \\u05d0\\u200f").textContent;
        }"""
    )
    assert shown == "ad[U+202E]min \u05d0\u200f"
