"""An application's own page with the components on it: another page than the console's, under as strict a policy."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page

from tests.browser.conftest import WIDE, OpenApi, OpenPage
from tests.waiting import patient

PATIENCE_S = patient(10.0)
POLL_MS = 30
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'"
)
STYLE = ":root { color-scheme: light dark; background: Canvas; color: CanvasText }"
START = """async ([token, options]) => {
    const scrip = await import("/components/index.js");
    window.events = [];
    for (const type of ["close", "action", "alternative", "recheck", "generate", "cost", "budget-saved", "refreshed"])
        document.addEventListener(`scrip-${type}`, (event) => events.push([type, event.detail]));
    window.scrip = scrip;
    window.client = scrip.createClient({token, backoffMs: 20, ...options});
    scrip.setClient(window.client);
}"""


@dataclass
class Embedded:
    """A page with components, and the API as the organisation's administrator and as the page's user."""

    page: Page
    boss: httpx.Client
    user: httpx.Client

    def grant(self, amount: int, unit: str = "credits", user: str = "u1") -> None:
        """Give the user credits or tokens."""
        told = self.boss.post(
            f"/api/v1/accounts/user:{user}:{unit}/grants", json={"amount": amount, "source": "promotion"}
        )
        assert told.status_code == 201, told.text

    def run(self, script: str, argument: Any = None) -> Any:
        """What a function in the page comes to; `client` is the page's client, `scrip` the module."""
        return self.page.evaluate(script, argument)

    @property
    def token(self) -> str:
        """The user's."""
        return str(self.user.headers["Authorization"]).removeprefix("Bearer ")

    def start(self, html: str, **options: Any) -> None:
        """Open the page with these elements in its body, and make its client with these options."""
        self.open(html)
        self.page.evaluate(START, [self.token, options])

    def open(self, html: str) -> None:
        """Open the page without any script."""
        self.page.route("**/embed", lambda route: route.fulfill(body=_document(html), headers=_HEADERS))
        self.page.route("**/embed.css", lambda route: route.fulfill(body=STYLE, headers={"Content-Type": "text/css"}))
        self.page.goto("/embed")

    def until(self, expression: str) -> None:
        """Wait until an expression in the page is true. Not by Playwright, whose way the page's policy forbids."""
        ends = monotonic() + PATIENCE_S
        while not self.page.evaluate(f"() => Boolean({expression})"):
            assert monotonic() < ends, f"not true in time: {expression}"
            self.page.wait_for_timeout(POLL_MS)

    def events(self, type_: str) -> list[Any]:
        """The details of the events of this type so far."""
        return [detail for name, detail in json.loads(self.page.evaluate("JSON.stringify(events)")) if name == type_]


_HEADERS = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": POLICY}

Embed = Callable[..., Embedded]


@pytest.fixture
def embed(page_at: OpenPage, api: OpenApi, org: str) -> Embed:
    """`embed(390)` prepares a page for user u1 of an organisation of the test's own; then grant, and `start(html)`."""

    def prepare(width: int = WIDE, *, sub: str = "u1", **options: Any) -> Embedded:
        return Embedded(page_at(width, **options), api(org), api(org, sub, "user"))

    return prepare


def _document(html: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>An application</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="stylesheet" href="/embed.css"></head>'
        f"<body><main><h1>An application</h1>{html}</main></body></html>"
    )
