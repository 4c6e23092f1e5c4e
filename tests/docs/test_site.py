"""The site of all pages builds without a warning, and asks nobody else for anything."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import ROOT
from tests.docs.test_reference import PAGES
from tests.waiting import patient

# What a reader's browser would fetch by itself; links that a person may follow are not.
FETCHED = re.compile(
    r'<(?:script|img|iframe|source)\b[^>]*\bsrc="(?:https?:)?//[^"]*"|<link\b[^>]*\bhref="https?://[^"]*"'
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("documentation") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=patient(200), check=False)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    written = {page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md")}
    for page in written | {Path("reference", name) for name in PAGES}:
        assert (site / page).with_suffix(".html").is_file(), page


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert FETCHED.findall(page.read_text(encoding="utf-8")) == [], page.name


def test_the_picture_says_in_words_what_it_shows(site: Path) -> None:
    picture = (site / "images" / "event-way.svg").read_text(encoding="utf-8")
    assert 'role="img"' in picture
    assert "<title" in picture
    assert "<desc" in picture
    concepts = (site / "concepts.html").read_text(encoding="utf-8")
    assert re.search(r'<img alt="An application sends a command[^"]{100,}" src="images/event-way.svg"', concepts)


@pytest.mark.parametrize("name", ["LICENSE", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_the_project_has_its_papers(name: str) -> None:
    assert len((ROOT / name).read_text(encoding="utf-8")) > 1_000
