"""The reference pages of the site are what the code says now; none is kept in the repository."""

import subprocess

import typer
from mkdocs.config import load_config
from mkdocs.structure.files import File, Files

from cli.app import app
from cli.reference import pages
from tests.cli.program import ROOT

PAGES = pages(typer.main.get_group(app))


def test_the_pages_of_the_site_are_what_the_code_says() -> None:
    config = load_config(str(ROOT / "mkdocs.yml"))
    left_by_a_command = File("reference/http.md", config.docs_dir, config.site_dir, config.use_directory_urls)
    files = config.plugins.on_files(Files([left_by_a_command]), config=config)
    assert {file.src_uri: file.content_string for file in files} == {
        f"reference/{name}": write() for name, write in PAGES.items()
    }


def test_there_is_no_page_that_nothing_writes() -> None:
    kept = subprocess.run(
        ["git", "ls-files", "docs/reference"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert kept.stdout == ""
