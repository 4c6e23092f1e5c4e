"""The reference pages are what the code says now."""

import pytest
import typer

from cli.app import app
from cli.reference import pages
from tests.docs.blocks import DOCS

PAGES = pages(typer.main.get_group(app))
FOLDER = DOCS / "reference"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name](), "stale: run ./scrip docs"


def test_there_is_no_page_that_nothing_writes() -> None:
    assert {file.name for file in FOLDER.iterdir()} == set(PAGES)
