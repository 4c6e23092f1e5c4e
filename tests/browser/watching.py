"""Notices whatever a browser complains about while a test uses its pages."""

from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Error, Request

OURS = ("127.0.0.1", "localhost", "kit.invalid")
# The browser's own word for a request that the page itself gave up: it was left, or closed its event stream.
GIVEN_UP = "net::ERR_ABORTED"


class Watch:
    """The faults of all pages of a context: console errors, uncaught errors, failed requests, breaches of the CSP.

    So is each request to another machine: what a page needs comes from us, or not at all.

    Chromium writes what its content security policy stopped, and each answer from 400 up, to the console as errors.
    """

    def __init__(self, context: BrowserContext) -> None:
        self._context = context
        self._allowed: list[str] = []
        self._seen: list[str] = []
        context.on("console", self._on_console)
        context.on("weberror", lambda thrown: self._note(f"uncaught: {thrown.error}"))
        context.on("requestfailed", self._on_failed)
        context.on("request", self._on_request)

    def allow(self, *parts: str) -> None:
        """Let faults pass that contain one of these texts."""
        self._allowed += parts

    def faults(self) -> list[str]:
        """What nobody allowed, once the pages have told everything so far."""
        for page in self._context.pages:
            try:
                page.evaluate("0")
            except Error as error:
                self._note(f"the page does not answer: {error}")
        return [fault for fault in self._seen if not any(part in fault for part in self._allowed)]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._note(f"console: {message.text} ({message.location.get('url', '')})")

    def _on_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https", "ws", "wss") and address.hostname not in OURS:
            self._note(f"from elsewhere: {request.method} {request.url}")

    def _on_failed(self, request: Request) -> None:
        if request.failure != GIVEN_UP:
            self._note(f"failed: {request.method} {request.url}: {request.failure}")

    def _note(self, fault: str) -> None:
        self._seen.append(fault)
