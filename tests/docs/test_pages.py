"""Every code block of every page runs, against a service that `scrip up` started."""

from pathlib import Path

import pytest

from tests.cli.program import ROOT
from tests.cli.running import Up
from tests.docs.blocks import blocks_of, pages
from tests.docs.page_run import PageRun, make_folder, page_environment
from tests.docs.shell import Shell


@pytest.mark.parametrize(
    "page", [page for page in pages() if blocks_of(page)], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_every_block_of_the_page_runs(page: Path, up: Up, tmp_path: Path) -> None:
    make_folder(tmp_path)
    with Shell(tmp_path, page_environment()) as shell:
        run = PageRun(shell, tmp_path, up.url, up.said("kafka"), up.data, up.said("postgres"))
        for block in blocks_of(page):
            run.run(block)
