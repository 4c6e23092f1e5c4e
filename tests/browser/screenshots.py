"""Pictures of the screens, in a folder for people to look at."""

import os
from pathlib import Path

from playwright.sync_api import Page

from tests.cli.program import ROOT
from tests.waiting import patient

VARIABLE = "SCRIP_SCREENSHOTS"
PATIENCE_MS = patient(60_000)  # on a busy machine; it takes a third of a second


def folder() -> Path:
    """Where they go: what SCRIP_SCREENSHOTS names, else `.screenshots` beside the code."""
    return Path(os.environ.get(VARIABLE) or ROOT / ".screenshots")


def take(page: Page, name: str) -> Path:
    """Write the whole page to `NAME-WIDTH.png`; an earlier picture of that name is replaced."""
    size = page.viewport_size
    assert size is not None
    file = folder() / f"{name}-{size['width']}.png"
    page.screenshot(path=file, full_page=True, animations="disabled", timeout=PATIENCE_MS)
    return file


def sideways(page: Page) -> int:
    """By how many pixels the page is wider than the window: more than 0 lets a person scroll sideways."""
    over: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return over
