"""Runs the blocks of one page, each in the way of its language."""

import html.parser
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import yaml

from tests.cli.program import ROOT, environment
from tests.docs.blocks import Block
from tests.docs.calls import check_named
from tests.docs.compare import matches
from tests.docs.shell import Shell
from tests.waiting import ENOUGH_S

# Commands that a page shows and that are not run here, each with the reason.
NOT_HERE = {
    "./scrip up": "the service of these tests is what it starts",
    "./scrip demo": "tests/cli/test_demo.py runs it",
    "./scrip test": "it is what runs this",
    "./scrip bench": "figures are measured by people, not by tests",
    "./scrip rebuild": "tests/cli/test_up.py runs it; it would take the read models from under the other pages",
    "./scrip docs": "it writes into the repository; test_reference.py tests the pages",
    "pip install": "tests/client builds the wheel; a test installs nothing",
    "docker": "there is no Docker engine; tests/infra/test_compose.py checks the files",
    "mkdocs": "test_site.py builds the site",
}


@dataclass
class PageRun:
    """What the blocks of a page share: a shell with `./scrip`, and the addresses of the service."""

    shell: Shell
    folder: Path
    url: str
    kafka: str
    data: Path
    database: str

    def run(self, block: Block) -> None:
        """Run, parse or compare a block. Raises AssertionError, with the block's place, where it does not hold."""
        check = CHECKS.get(block.language)
        assert check is not None, f"{block}: no block of this language can be checked; use one of {', '.join(CHECKS)}"
        check(self, block)

    def as_here(self, text: str) -> str:
        """The page's addresses made those of this service."""
        here = {"http://127.0.0.1:8090": self.url, "127.0.0.1:9094": self.kafka, "/tmp/scrip": str(self.data)}
        for shown, own in here.items():
            text = text.replace(shown, own)
        return text


def make_folder(folder: Path) -> None:
    """Make of `folder` what a page calls the repository: `./scrip`, docs and client are there."""
    program = folder / "scrip"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P "{ROOT}/cli/__main__.py" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    for name in ("docs", "client", "console"):
        (folder / name).symlink_to(ROOT / name)


def page_environment() -> dict[str, str]:
    """What a shell of a page has: nothing of this machine's settings, and this interpreter first."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return environment(PATH=path, PYTHONPATH=f"{ROOT}:{ROOT / 'client'}", COLUMNS="240", NO_PROXY="127.0.0.1")


def steps(text: str) -> list[tuple[str, str]]:
    """The commands of a `console` block, each with the output that is shown; `> ` goes on with a command."""
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif line.startswith("> ") and found and not found[-1][1]:
            found[-1] = (f"{found[-1][0]}\n{line[2:]}", "")
        elif found:
            found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
        else:
            raise AssertionError(f"output before the first command: {line}")
    return found


def _is_here(command: str) -> bool:
    return not any(command.lstrip().startswith(start) for start in NOT_HERE)


def _console(page: PageRun, block: Block) -> None:
    for command, shown in steps(block.text):
        if not _is_here(command):
            continue
        said, status = page.shell.run(page.as_here(command))
        assert matches(page.as_here(shown), said), f"{block}: `{command}` ({status}) said\n{said}\nnot\n{shown}"
        assert status == 0 or shown, f"{block}: `{command}` ended with {status}"


def _sh(page: PageRun, block: Block) -> None:
    lines = [line for line in block.text.splitlines() if _is_here(line)]
    if lines:
        said, status = page.shell.run(page.as_here("set -e\n" + "\n".join(lines) + "\nset +e"))
        assert status == 0, f"{block} ended with {status}:\n{said}"


def _python(page: PageRun, block: Block) -> None:
    file = page.folder / f"block_{block.line}.py"
    file.write_text(page.as_here(block.text), encoding="utf-8")
    said, status = page.shell.run(f"python -P {file.name}")
    assert status == 0, f"{block} ended with {status}:\n{said}"


def _sql(page: PageRun, block: Block) -> None:
    with psycopg.connect(page.database, autocommit=True) as connection:
        rows = connection.execute(block.text.encode()).fetchall()
    assert rows, f"{block} found no rows"


def _json(_page: PageRun, block: Block) -> None:
    value = json.loads(block.text)
    if block.title:
        check_named(block.title, value)


def _javascript(page: PageRun, block: Block) -> None:
    file = page.folder / f"block_{block.line}.mjs"
    file.write_text(block.text, encoding="utf-8")
    checked = subprocess.run(
        ["node", "--check", str(file)], capture_output=True, text=True, check=False, timeout=ENOUGH_S
    )
    assert checked.returncode == 0, f"{block}: {checked.stderr}"


class _Tags(html.parser.HTMLParser):
    """Finds elements that are opened and never closed."""

    EMPTY = frozenset({"meta", "link", "img", "br", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        opened = self.open.pop()
        assert opened == tag, f"</{tag}> closes <{opened}>"


def _html(_page: PageRun, block: Block) -> None:
    tags = _Tags()
    tags.feed(block.text)
    tags.close()
    assert not tags.open, f"{block}: never closed: {tags.open}"
    for name in {word for word in block.text.replace("<", " <").split() if word.startswith("<scrip-")}:
        element = name.removeprefix("<").rstrip(">")
        known = any(f'"{element}"' in file.read_text("utf-8") for file in (ROOT / "console/components").rglob("*.js"))
        assert known, f"{block}: there is no element {element}"


def _parsed(parse: Callable[[str], Any]) -> Callable[[PageRun, Block], None]:
    def check(_page: PageRun, block: Block) -> None:
        assert parse(block.text) is not None, f"{block} is empty"

    return check


def _as_it_is(_page: PageRun, _block: Block) -> None:
    """Text for people: nothing to run."""


CHECKS: dict[str, Callable[[PageRun, Block], None]] = {
    "console": _console,
    "sh": _sh,
    "python": _python,
    "sql": _sql,
    "json": _json,
    "js": _javascript,
    "html": _html,
    "yaml": _parsed(yaml.safe_load),
    "toml": _parsed(tomllib.loads),
    "text": _as_it_is,
}
