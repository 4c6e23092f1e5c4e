"""The pages for operators, auditors, analysts and support, looked at in a browser, wide and on a phone."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from playwright.sync_api import Page, expect

from cli.service.service import Service
from cli.service.tokens import signed_token
from consumers.cloud_event import AUTH_HEADER
from infra.kafka.client import kafka_arguments
from infra.kafka.topics import USAGE, topic_name
from infra.settings import Settings
from tests.browser.conftest import PHONE, WIDE, Named, OpenApi, OpenPage, SignIn
from tests.consumers.usage_records import metered
from tests.infra.writer.ledger_kit import until
from tests.waiting import patient

ME = "u_42"
GRANTS = f"/api/v1/accounts/user:{ME}:credits/grants"
FILM: dict[str, Any] = {
    "operation": "video",
    "model": "MiniMax-Hailuo-02",
    "options": {"resolution": "768P", "duration": 6},
}
OWED = 7_000_000  # more than anybody has
SLOW_MS = patient(60_000)  # a verify or a rebuild of what all tests have written, on a busy machine
SCREENS = {
    "/operator": "home",
    "/operator/events": "events",
    "/operator/events?type=no-such": "events-none",
    "/operator/timeline?id=film-0": "timeline",
    "/operator/timeline?id=h-1": "timeline-hold",
    "/operator/runbook": "runbook",
    "/operator/runbook/quarantine": "runbook-entry",
    "/operator/verify": "verify",
    "/operator/quarantine": "quarantine",
    "/operator/rebuild": "rebuild",
    "/analytics?metric=credits": "analytics",
    "/analytics?metric=usd": "analytics-none",
    "/support": "support",
    "/support?q=film": "support-found",
    f"/support/users/{ME}": "support-user",
}


def publish(settings: Settings, org: str) -> None:
    """A worker's charge that cannot be applied: it goes to quarantine."""
    record = metered(f"dear-{org}", OWED, ME, scriporg=org)
    token = signed_token(settings, org=org, sub="gpu", role="worker", ttl_s=600)
    headers = [*record.headers, (AUTH_HEADER, token.encode())]

    async def send() -> None:
        async with AIOKafkaProducer(**kafka_arguments(settings), enable_idempotence=True) as producer:
            await producer.send_and_wait(topic_name(settings, USAGE), record.value, headers=headers)

    with ThreadPoolExecutor(1) as aside:  # Playwright keeps an event loop in this thread
        aside.submit(lambda: asyncio.run(send())).result(30)


def waiting(client: httpx.Client) -> list[dict[str, str]]:
    """What waits in quarantine."""
    items: list[dict[str, str]] = client.get("/api/v1/quarantine").json()["items"]
    return items


@pytest.fixture
def life(api: OpenApi, org: str, service: Service) -> str:
    """Generations of all ends, a hold of its own, and a usage event in quarantine."""
    boss, worker = api(org), api(org, "gpu", "worker")
    boss.post(GRANTS, json={"amount": 5000, "source": "purchase", "external_ref": f"pay-{org}"}).raise_for_status()
    boss.post("/api/groups", json={"id": "film", "name": "Film team", "video_limit": 6}).raise_for_status()
    boss.post("/api/group-members", json={"group_id": "film", "user_ids": [ME]}).raise_for_status()
    for number in range(4):
        worker.post("/api/v1/generations", json={**FILM, "id": f"film-{number}", "user_id": ME}).raise_for_status()
    for number in range(2):
        content = {"id": f"c-{number}", "url": f"https://cdn.example/{number}.mp4", "bytes": 4_000_000}
        worker.post(f"/api/v1/generations/film-{number}/confirm", json={"content": content}).raise_for_status()
    worker.post("/api/v1/generations/film-2/fail", json={"outcome": "provider_error"}).raise_for_status()
    refused = {**FILM, "id": "too-much", "user_id": ME, "options": {**FILM["options"], "count": 9}}
    assert worker.post("/api/v1/generations", json=refused).status_code == 402
    hold = {"id": "h-1", "amount": 300, "ttl_seconds": 3600}
    boss.post(f"/api/v1/accounts/user:{ME}:credits/reservations", json=hold).raise_for_status()
    publish(service.settings, org)
    auditor = api(org, "eve", "auditor")
    until(lambda: waiting(auditor), "the usage event is in quarantine")
    until(lambda: boss.get("/api/v1/search", params={"q": "h-1"}).json()["hits"], "the read models know of it")
    return org


def figure(page: Page, name: str) -> str:
    """What a card of the operator's home says."""
    return page.locator(f"section[aria-labelledby={name}]").inner_text()


def test_every_screen_reads_well_wide_and_on_a_phone(
    page_at: OpenPage, sign_in: SignIn, screen: Named, api: OpenApi, life: str
) -> None:
    last = api(life, "eve", "auditor").get("/api/v1/events?type=generation-completed.v1&limit=1").json()["items"][0]
    screens = {**SCREENS, f"/operator/events/{last['position']}": "event"}
    for width in (WIDE, PHONE):
        page = page_at(width)
        sign_in(page, life, "root", "admin")
        for path, name in screens.items():
            page.goto(path)
            if name == "event":
                expect(page.locator("[data-verdict]")).to_contain_text("Recomputed here: equal")
            if name == "analytics":
                page.locator("canvas[data-drawn]").wait_for()
            screen(page, f"operator-{name}")
    page = page_at(WIDE, scheme="dark")
    sign_in(page, life, "root", "admin")
    for path in ("/operator", "/analytics?metric=credits", f"/support/users/{ME}"):
        page.goto(path)
        screen(page, f"operator-{SCREENS[path]}-dark")


def test_the_log_can_be_followed_and_paused(page_at: OpenPage, sign_in: SignIn, api: OpenApi, org: str) -> None:
    boss = api(org)
    page = page_at(WIDE)
    sign_in(page, org, "boss", "org_admin")
    page.goto("/operator/events?type=credits-granted.v1")
    expect(page.locator("#events")).to_contain_text("Nothing in the log fits")
    page.get_by_role("button", name="Follow live").click()
    boss.post(GRANTS, json={"amount": 10, "source": "gift"}).raise_for_status()
    expect(page.locator("tr.fresh")).to_have_count(1)
    expect(page.locator("#followed")).to_have_text("1 new event since you follow.")
    page.get_by_role("button", name="Pause").click()
    boss.post(GRANTS, json={"amount": 20, "source": "gift"}).raise_for_status()
    expect(page.locator("[data-live-state]")).to_contain_text("updated")
    expect(page.locator("#followed")).to_have_text("Paused after 1 new event.")
    expect(page.locator("tr[data-position]")).to_have_count(1)
    page.get_by_role("button", name="Follow live").click()
    expect(page.locator("tr[data-position]")).to_have_count(2)
    page.locator("tr[data-position] a").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("credits-granted.v1")
    expect(page.locator("[data-verdict]")).to_contain_text("Recomputed here: equal")
    page.get_by_role("link", name="Earlier in the stream").click()
    expect(page.locator(".page-head")).to_contain_text("number 1 of its stream")


def test_an_auditor_verifies_and_reads_the_report(page_at: OpenPage, sign_in: SignIn, screen: Named, life: str) -> None:
    page = page_at(WIDE)
    sign_in(page, life, "eve", "auditor")
    page.goto("/operator/verify")
    page.get_by_role("button", name="Verify now").click()
    expect(page.locator("#report h2")).to_have_text("Verify holds", timeout=SLOW_MS)
    expect(page.locator("#report [data-words]")).to_contain_text("events are as they were written")
    assert page.locator("#report tbody tr").count() >= 3
    expect(page.locator("#progress")).to_be_hidden()
    screen(page, "operator-verify-report")
    page.reload()
    expect(page.locator("#last")).to_contain_text("Holds")
    page.goto("/operator")
    assert "It held" in figure(page, "last_verify")


def test_a_quarantined_event_is_tried_again_when_its_reason_is_gone(
    page_at: OpenPage, sign_in: SignIn, api: OpenApi, life: str
) -> None:
    page = page_at(WIDE)
    sign_in(page, life, "root", "admin")
    page.goto("/operator")
    assert "could not be applied" in figure(page, "quarantine")
    page.locator("#quarantine-page").click()
    expect(page.locator("tbody tr")).to_contain_text("Insufficient credits")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#flashes")).to_contain_text("It still cannot be applied")
    api(life).post(GRANTS, json={"amount": OWED, "source": "gift"}).raise_for_status()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#flashes")).to_contain_text("Applied. It has left the quarantine.")
    expect(page.locator(".empty")).to_contain_text("Nothing waits here")


def test_the_read_models_are_rebuilt_before_ones_eyes(
    page_at: OpenPage, sign_in: SignIn, screen: Named, life: str
) -> None:
    page = page_at(PHONE)
    sign_in(page, life, "root", "admin")
    page.goto("/operator/rebuild")
    page.get_by_role("button", name="Rebuild all read models").click()
    expect(page.get_by_role("dialog")).to_contain_text("Nothing is lost")
    screen(page, "operator-rebuild-dialog")
    page.get_by_role("button", name="Rebuild", exact=True).click()
    expect(page.locator("#rebuild")).to_contain_text("The new read models serve since", timeout=SLOW_MS)
    screen(page, "operator-rebuild-done")


def test_support_finds_a_user_by_payment_and_puts_it_right(
    page_at: OpenPage, sign_in: SignIn, screen: Named, api: OpenApi, life: str
) -> None:
    page = page_at(PHONE)
    sign_in(page, life, "boss", "org_admin")
    page.goto("/support")
    page.get_by_label("Find").fill(f"pay-{life}")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name=ME).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(ME)
    row = page.locator("tr", has_text="film-0")
    row.get_by_role("button", name="Refund").click()
    dialog = page.get_by_role("dialog")
    screen(page, "operator-support-refund")
    dialog.get_by_label("Reason").fill("The film was black")
    dialog.get_by_role("button", name="Refund").click()
    expect(page.locator("#flashes")).to_contain_text("Refunded.")
    page.get_by_role("button", name="Give credits or tokens").click()
    dialog.get_by_label("Amount").fill("50")
    dialog.get_by_label("Reason").fill("Sorry")
    dialog.get_by_role("button", name="Give", exact=True).click()
    expect(page.locator("#flashes")).to_contain_text("Given: 50 credits.")
    balance = api(life).get(f"/api/v1/accounts/user:{ME}:credits/balance").json()
    assert balance["refunded"] > 0
    assert balance["granted"] == 5050


def test_an_analyst_changes_the_figure_by_mouse(page_at: OpenPage, sign_in: SignIn, life: str) -> None:
    page = page_at(WIDE)
    sign_in(page, life, "boss", "org_admin")
    page.goto("/analytics")
    page.get_by_label("Show").select_option("refusals")
    page.wait_for_url("**/analytics?metric=refusals*")
    page.get_by_label("By", exact=True).select_option("reason")
    page.wait_for_url("**group_by=reason*")
    expect(page.locator("main")).to_contain_text("Blocked attempts by reason")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV", exact=True).click()
    assert download.value.suggested_filename == "refusals-by-reason.csv"
