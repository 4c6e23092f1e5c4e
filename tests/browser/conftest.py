"""One running service and one Chromium for all browser tests of a process, and pages that tell on every fault."""

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from cli.service.service import Service
from cli.service.tokens import signed_token
from infra.embedded.ports import free_port
from tests.browser.accessibility import accessibility_faults
from tests.browser.screenshots import folder, sideways, take
from tests.browser.watching import Watch
from tests.loopback import caller
from tests.waiting import patient

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"  # Debian's; `scrip test` installs it
WIDE, PHONE = 1280, 390
HEIGHTS = {WIDE: 800, PHONE: 844}
PATIENCE_MS = patient(20_000)  # for whatever a page is to do
expect.set_options(timeout=PATIENCE_MS)  # its own five seconds are too few for a busy machine

OpenPage = Callable[..., Page]
OpenApi = Callable[..., httpx.Client]
SignIn = Callable[..., None]
Look = Callable[[Page], None]
Named = Callable[[Page, str], None]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say where the pictures are."""
    if folder().is_dir():
        terminalreporter.write_line(f"screenshots: {folder()}")


# Scoped to this package: Playwright keeps an event loop in the thread, and other tests have loops of their own.
@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The whole service as `scrip up` runs it. Tests keep out of each other's way by organisations of their own."""
    with Service(tmp_path_factory.mktemp("browser") / "data", port=free_port()) as running:
        yield running


@pytest.fixture(scope="package")
def browser(service: Service) -> Iterator[Browser]:
    """Chromium. It starts after the service, whose start needs the thread's event loop for itself."""
    assert Path(CHROMIUM).exists(), "chromium is missing; `scrip test` without arguments installs it"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def org() -> str:
    """The name of an organisation that no other test has."""
    return f"o{secrets.token_hex(4)}"


@pytest.fixture
def page_at(service: Service, browser: Browser) -> Iterator[OpenPage]:
    """`page_at(390)` opens a page of that width with cookies of its own; paths are the service's: `page.goto("/")`.

    The test fails on a console error, an uncaught error, a failed request or a breach of the content security policy
    on any of its pages, but for those that contain one of the texts in `allow`, e.g. `page_at(1280, allow=["402"])`.
    `scheme` is `light` or `dark`.
    """
    watches: list[Watch] = []
    with ExitStack() as opened:

        def open_page(width: int, *, allow: tuple[str, ...] | list[str] = (), scheme: str = "light") -> Page:
            phone = width <= PHONE
            context = browser.new_context(
                base_url=service.url,
                viewport={"width": width, "height": HEIGHTS.get(width, HEIGHTS[WIDE])},
                has_touch=phone,
                is_mobile=phone,
                color_scheme="dark" if scheme == "dark" else "light",
                reduced_motion="reduce",
                locale="en-GB",
                timezone_id="Europe/Berlin",
                accept_downloads=True,
            )
            opened.callback(context.close)
            context.set_default_timeout(PATIENCE_MS)
            watch = Watch(context)
            watch.allow(*allow)
            watches.append(watch)
            return context.new_page()

        yield open_page
        faults = [fault for watch in watches for fault in watch.faults()]
        assert not faults, "the browser complained:\n" + "\n".join(faults)


@pytest.fixture
def sign_in() -> SignIn:
    """`sign_in(page, org, user, role)` through the development sign-in's own form."""

    def sign_in_as(page: Page, org: str, user: str, role: str = "user") -> None:
        page.goto("/login")
        form = page.locator("form", has=page.locator("[name=sub]"))
        form.locator("[name=org]").fill(org)
        form.locator("[name=sub]").fill(user)
        form.locator("select[name=role]").select_option(role)
        form.locator("[type=submit]").click()
        page.wait_for_url(lambda url: "/login" not in url)

    return sign_in_as


@pytest.fixture
def api(service: Service) -> Iterator[OpenApi]:
    """`api(org, sub, role)` is an HTTP client with that login, for what a test prepares beside the browser."""
    with ExitStack() as opened:

        def client(org: str, sub: str = "boss", role: str = "org_admin") -> httpx.Client:
            token = signed_token(service.settings, org=org, sub=sub, role=role, ttl_s=3600)
            headers = {"Authorization": f"Bearer {token}"}
            return opened.enter_context(caller(service.url, headers=headers, trust_env=False, timeout=patient(30)))

        yield client


@pytest.fixture
def axe() -> Look:
    """`axe(page)` fails on a serious or critical accessibility fault."""

    def check(page: Page) -> None:
        faults = accessibility_faults(page)
        assert not faults, f"{page.url} is not accessible:\n" + "\n".join(faults)

    return check


@pytest.fixture
def shot() -> Callable[[Page, str], Path]:
    """`shot(page, name)` writes the screen to the folder of screenshots."""
    return take


@pytest.fixture
def screen(axe: Look) -> Named:
    """`screen(page, name)`: a picture of it; it must be accessible and must not scroll sideways."""

    def look(page: Page, name: str) -> None:
        take(page, name)
        axe(page)
        over = sideways(page)
        assert over <= 0, f"{page.url} is {over} px wider than the window"

    return look
