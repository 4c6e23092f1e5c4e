"""`/api/docs` in Chromium: it shows and tries out the calls, with nothing from elsewhere."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, WIDE, OpenPage


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_the_api_is_shown_and_tried_out_without_another_host(page_at: OpenPage, width: int) -> None:
    page = page_at(width)
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2] if "//" in request.url else "data:"))
    page.goto("/api/docs")
    expect(page.locator("h1, h2", has_text="Scrip").first).to_be_visible()
    call = page.locator(".opblock", has=page.get_by_text("/livez", exact=True)).first
    call.locator(".opblock-summary-control").click()
    call.get_by_role("button", name="Try it out").click()
    call.get_by_role("button", name="Execute").click()
    expect(call.locator(".live-responses-table td.response-col_status:not(.col_header)")).to_contain_text("200")
    page.wait_for_load_state("networkidle")
    assert hosts <= {page.url.split("/")[2], "data:"}
