"""The hooks of the source documents with React from npm: bundled, type-checked and run in the browser."""

import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests.browser.components.conftest import Embed, Embedded
from tests.source_tree import ROOT
from tests.waiting import patient

NPM = Path(__file__).parents[1] / "npm"
COMPONENTS = ROOT / "console" / "components"
DEADLINE_S = patient(180)
RESERVE = "**/api/credits/me"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the application's packages and, in `bundle.js`, itself. `scrip` is a package beside React."""
    folder = tmp_path_factory.mktemp("react")
    for file in NPM.iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    installed = NPM / "node_modules"
    assert installed.is_dir(), "React is missing; `scrip test` without arguments installs it"
    modules = folder / "node_modules"
    modules.mkdir()
    for each in installed.iterdir():
        (modules / each.name).symlink_to(each)
    package = modules / "scrip"
    shutil.copytree(COMPONENTS, package)
    (package / "package.json").write_text(
        '{"name": "scrip", "version": "1.0.0", "type": "module", "sideEffects": true,'
        ' "exports": {".": "./index.js", "./react": "./react.js"}}'
    )
    options = ["--bundle", "--format=esm", "--jsx=automatic", "--outfile=bundle.js"]
    _run(folder, "node", "node_modules/esbuild/bin/esbuild", "application.tsx", *options)
    return folder


def test_the_types_fit_the_documents_own_use(built: Path) -> None:
    _run(built, "node", "node_modules/typescript/bin/tsc", "--project", "tsconfig.json")


def test_the_types_catch_a_wrong_use(built: Path) -> None:
    """So that the check above could fail: the types say more than `any`."""
    (built / "wrong.ts").write_text(
        'import { useGenerationCredits } from "scrip/react";\nuseGenerationCredits(1, "m").creditBalance.length;\n'
    )
    options = ["--noEmit", "--strict", "--module", "esnext", "--moduleResolution", "bundler", "--skipLibCheck"]
    told = subprocess.run(
        ["node", "node_modules/typescript/bin/tsc", *options, "wrong.ts"],
        cwd=built, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert told.stdout.count("wrong.ts(2,") >= 2, told.stdout


def test_a_check_opens_the_modal_and_closing_it_allows_another(embed: Embed, built: Path) -> None:
    made = embed()
    made.grant(50, "tokens")
    _open(made, built)
    page = made.page
    page.get_by_role("button", name="Image").click()
    dialog = page.get_by_role("dialog", name="Insufficient Tokens")
    expect(dialog).to_contain_text("50 tokens more")
    expect(page.locator("#check")).to_have_text("image: false")
    expect(page.locator("#data")).to_contain_text('"reason":"insufficient_tokens","tokensNeeded":50,"storageNeeded":0')
    dialog.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Chat").click()
    expect(page.locator("#check")).to_have_text("chat: true")
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("dialog", name="Storage Full")).to_be_visible()
    page.keyboard.press("Escape")
    made.grant(450, "tokens")
    page.get_by_role("button", name="Video").click()
    expect(page.locator("#check")).to_have_text("video: true")


def test_credits_are_reserved_confirmed_and_given_back(embed: Embed, built: Path) -> None:
    made = embed()
    made.grant(1000)
    _open(made, built)
    page = made.page
    balance, told = page.locator("#balance"), page.locator("#told")
    expect(balance).to_have_text("1000 0")
    expect(page.locator("scrip-credits.font-bold")).to_have_text("Credits1,000 available")
    page.get_by_role("button", name="Validate").click()
    expect(told).to_have_text("ok")
    page.get_by_role("button", name="Reserve").click()
    expect(told).to_have_text("reserved")
    expect(balance).to_have_text("680 320")
    page.get_by_role("button", name="Fail").click()
    expect(told).to_have_text("cancelled")
    expect(balance).to_have_text("1000 0")
    page.get_by_role("button", name="Reserve").click()
    expect(told).to_have_text("reserved")
    page.get_by_role("button", name="Succeed").click()
    expect(told).to_have_text("completed")
    expect(balance).to_have_text("680 0")
    page.get_by_role("button", name="History").click()
    expect(page.locator("#history")).not_to_have_text("0")


def test_who_is_short_is_told_in_the_documents_words(embed: Embed, built: Path) -> None:
    made = embed(allow=["402"])
    made.grant(500)
    _open(made, built)
    page = made.page
    sentence = "Insufficient credits. You need 1100 credits but only have 500. You're 600 credits short."
    page.get_by_role("button", name="Best quality").click()
    page.get_by_role("button", name="Validate").click()
    expect(page.locator("#told")).to_have_text(sentence)
    page.get_by_role("button", name="Reserve").click()
    expect(page.locator("#error")).to_have_text(sentence)
    page.get_by_role("button", name="Fail").click()  # nothing was reserved: nothing to give back, and no error
    expect(page.locator("#told")).to_have_text("undefined")
    expect(page.locator("#balance")).to_have_text("500 0")


def test_a_double_click_reserves_once_and_a_retry_has_the_clicks_key(embed: Embed, built: Path) -> None:
    made = embed(allow=["Failed to load resource", "net::ERR"])
    made.grant(1000)
    _open(made, built)
    keys: list[str | None] = []

    def lossy(route: Route) -> None:
        keys.append(route.request.header_value("idempotency-key"))
        if len(keys) == 1:
            route.abort("connectionreset")
        else:
            route.continue_()

    made.page.route(RESERVE, lossy)
    made.page.get_by_role("button", name="Reserve").dblclick()
    expect(made.page.locator("#told")).to_have_text("reserved")
    expect(made.page.locator("#balance")).to_have_text("680 320")
    assert len(keys) == 2
    assert keys[0]
    assert keys[0] == keys[1]


def test_unreachable_is_a_no_without_the_modal(embed: Embed, built: Path) -> None:
    made = embed(allow=["Failed to load resource", "net::ERR"])
    _open(made, built)
    made.page.route("**/api/v1/generations/check", lambda route: route.abort("connectionreset"))
    made.page.get_by_role("button", name="Image").click()
    expect(made.page.locator("#check")).to_have_text("image: false")
    expect(made.page.locator("#failure")).to_have_text("Unreachable")
    expect(made.page.get_by_role("dialog")).to_have_count(0)


def _open(made: Embedded, built: Path) -> None:
    made.page.route("**/bundle.js", lambda route: route.fulfill(path=built / "bundle.js"))
    made.open('<div id="root"></div>')
    made.page.evaluate("async (token) => { await import('/bundle.js'); start(token) }", made.token)


def _run(folder: Path, *command: str) -> None:
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert told.returncode == 0, f"{' '.join(command)}\n{told.stdout}\n{told.stderr}"
