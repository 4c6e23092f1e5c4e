"""The browser tests' own kit sees what it is for."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.accessibility import accessibility_faults
from tests.browser.conftest import PHONE, WIDE, Named, OpenApi, OpenPage, SignIn
from tests.browser.screenshots import VARIABLE
from tests.browser.watching import Watch

PLACE = "http://kit.invalid/"
POLICY = "default-src 'self'"
GOOD = """<!doctype html><html lang="en"><head><title>Good</title>
<meta name="viewport" content="width=device-width"></head><body><main><h1>Good</h1><p>Fine.</p></main></body></html>"""
FAULTY = {
    "an error on the console": ("<script>console.error('oh no')</script>", "", "oh no"),
    "an uncaught error": ("<script>throw new Error('oh dear')</script>", "", "oh dear"),
    "a rejected promise": ("<script>Promise.reject(new Error('not kept'))</script>", "", "not kept"),
    "a missing file": ("<img src='/missing.png' alt=''>", "", "404"),
    "a host that is away": ("<img src='http://away.invalid/' alt=''>", "", "failed: GET http://away.invalid/"),
    "another host": ("<img src='http://away.invalid/' alt=''>", "", "from elsewhere: GET http://away.invalid/"),
    "an inline script": ("<script>window.x = 1</script>", POLICY, "Content Security Policy"),
    "an inline style": ("<p style='color: red'>x</p>", POLICY, "Content Security Policy"),
    "a handler in an attribute": ("<p onclick='alert(1)'>x</p>", POLICY, "Content Security Policy"),
}


@pytest.fixture
def blank(browser: Browser) -> Page:
    return browser.new_context().new_page()


def serve(page: Page, html: str, policy: str = "") -> None:
    """Show a page of the test's own; everything else at its address is missing."""
    headers = {"content-type": "text/html", **({"content-security-policy": policy} if policy else {})}
    page.route(f"{PLACE}**", lambda route: route.fulfill(status=404, body=""))
    page.route(PLACE, lambda route: route.fulfill(body=html, headers=headers))
    page.goto(PLACE)


@pytest.mark.parametrize("fault", FAULTY)
def test_a_fault_in_the_browser_is_noticed(blank: Page, fault: str) -> None:
    html, policy, expected = FAULTY[fault]
    watch = Watch(blank.context)
    serve(blank, GOOD.replace("</main>", f"{html}</main>"), policy)
    blank.wait_for_load_state("networkidle")
    assert any(expected in seen for seen in watch.faults())
    blank.context.close()


def test_a_good_page_has_no_fault_and_what_is_allowed_is_none(blank: Page) -> None:
    watch = Watch(blank.context)
    serve(blank, GOOD)
    assert watch.faults() == []
    blank.evaluate("console.error('a 402')")
    assert len(watch.faults()) == 1
    watch.allow("a 402")
    assert watch.faults() == []
    blank.context.close()


def test_axe_names_the_rule_and_the_element(blank: Page) -> None:
    serve(blank, GOOD.replace("</main>", "<input id='nameless'></main>"))
    (fault,) = accessibility_faults(blank)
    assert fault.startswith("label (critical): #nameless: ")
    serve(blank, GOOD)
    assert accessibility_faults(blank) == []
    blank.context.close()


def test_axe_looks_into_shadow_trees(blank: Page) -> None:
    serve(blank, GOOD.replace("</main>", "<div id='host'></div></main>"))
    blank.evaluate("document.querySelector('#host').attachShadow({mode: 'open'}).innerHTML = '<img src=\"data:,\">'")
    (fault,) = accessibility_faults(blank)
    assert fault.startswith("image-alt (critical): #host >> img: ")
    blank.context.close()


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_pictures_are_as_wide_as_the_window(
    page_at: OpenPage, screen: Named, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    page = page_at(width)
    serve(page, GOOD)
    screen(page, "kit")
    assert [file.name for file in tmp_path.iterdir()] == [f"kit-{width}.png"]
    serve(page, GOOD.replace("<p>", "<p>" + "wide" * 1000))
    with pytest.raises(AssertionError, match="wider than the window"):
        screen(page, "too-wide")


def test_the_service_answers_the_api_clients(api: OpenApi, org: str) -> None:
    answer = api(org, "ann", "user").get("/api/auth/me")
    assert answer.status_code == 200
    assert answer.json()["user"] == {"id": "ann", "org": org, "role": "user"}


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_somebody_signs_in_through_the_form(page_at: OpenPage, sign_in: SignIn, org: str, width: int) -> None:
    page = page_at(width)
    sign_in(page, org, "ann", "org_admin")
    assert page.evaluate("location.pathname") == "/"
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
    assert cookies["scrip_session"]["httpOnly"]
    assert cookies["scrip_session"]["sameSite"] == "Lax"
