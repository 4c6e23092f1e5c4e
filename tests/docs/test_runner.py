"""The runner of code blocks itself: it finds them, runs them, and sees what is wrong."""

from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pydantic
import pytest

from tests.cli.program import ROOT
from tests.docs import blocks
from tests.docs.blocks import Block, blocks_of, pages
from tests.docs.calls import check_named
from tests.docs.compare import matches
from tests.docs.page_run import CHECKS, PageRun, page_environment, steps
from tests.docs.shell import Shell


@pytest.fixture
def run(tmp_path: Path) -> Iterator[PageRun]:
    with Shell(tmp_path, page_environment()) as shell:
        yield PageRun(shell, tmp_path, "http://here", "here:1", tmp_path, "postgresql://nowhere")


def block(language: str, text: str, title: str = "") -> Block:
    return Block("docs/x.md", 1, language, title, text)


def test_blocks_are_found_with_their_place_language_and_title(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "ROOT", tmp_path)
    page = tmp_path / "x.md"
    page.write_text('a\n\n```json title="GET /x"\n{}\n```\n\n- b\n\n  ```sh\n  ls\n  ```\n')
    assert blocks_of(page) == [
        Block("x.md", 3, "json", "GET /x", "{}\n"),
        Block("x.md", 9, "sh", "", "ls\n"),
    ]
    page.write_text("```sh\nls\n")
    with pytest.raises(ValueError, match="does not end"):
        blocks_of(page)


def test_every_page_is_run_but_the_generated_ones() -> None:
    found = {page.relative_to(ROOT).as_posix() for page in pages()}
    assert {"README.md", "docs/index.md", "docs/runbook.md", "CONTRIBUTING.md"} <= found
    assert not any(name.startswith("docs/reference/") for name in found)
    assert sum(len(blocks_of(page)) for page in pages()) > 50


@pytest.mark.parametrize(
    ("shown", "said", "alike"),
    [
        ('{"a":1,…}\n', '{"a":1,"b":2}\n', True),
        ('{"a":1,…}\n', '{"a":2,"b":2}\n', False),
        ("a b\n", "a      b  \n\n", True),
        ("a\n", "a\nb\n", False),
        ('{"position":"0000000000000001"}', '{"position":"0000000000000777"}', True),
        ("at 2026-01-01T00:00:00.5Z in 0.06 s", "at 2027-11-21T16:04:44.006789Z in 12.4 s", True),
        ("01a1fecc-98a1-7972-9b5b-5dc5c73ddd07", "11a1fecc-98a1-7972-9b5b-5dc5c73ddd07", True),
        ("", "something\n", False),
    ],
)
def test_what_is_shown_is_compared_with_what_is_said(shown: str, said: str, *, alike: bool) -> None:
    assert matches(shown, said) is alike


def test_a_shell_keeps_what_a_page_exports(run: PageRun) -> None:
    run.run(block("sh", "export WORD='two words'\n"))
    run.run(block("console", "$ echo $WORD\ntwo words\n$ echo a |\n>     cat\na\n"))
    assert run.shell.run("false")[1] == 1


def test_commands_go_on_and_have_their_output() -> None:
    assert steps("$ a\n> b\nsaid\nmore\n$ c\n") == [("a\nb", "said\nmore\n"), ("c", "")]
    with pytest.raises(AssertionError, match="before the first command"):
        steps("said\n")


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("console", "$ echo a\nb\n"),
        ("console", "$ false\n"),
        ("sh", "false\ntrue\n"),
        ("python", "assert 1 == 2\n"),
        ("json", "{,}\n"),
        ("yaml", "a: [\n"),
        ("toml", "a = \n"),
        ("js", "const a = ;\n"),
        ("html", "<p><b></p>\n"),
        ("html", "<scrip-nothing></scrip-nothing>\n"),
        ("cobol", "STOP RUN.\n"),
    ],
)
def test_a_block_that_is_wrong_is_found(run: PageRun, language: str, text: str) -> None:
    with pytest.raises(Exception):  # noqa: B017 - each checker has its own
        run.run(block(language, text))


def test_a_block_that_is_right_passes(run: PageRun) -> None:
    right = {
        "console": "$ echo a\na\n",
        "sh": "true\n",
        "python": "assert 1 == 1\n",
        "json": "{}\n",
        "yaml": "a: 1\n",
        "toml": "a = 1\n",
        "js": "export const a = 1;\n",
        "html": "<p>a<br>b</p>\n",
        "text": "anything\n",
    }
    assert set(right) == CHECKS.keys() - {"sql"}
    for language, text in right.items():
        run.run(block(language, text))


def test_json_is_held_against_the_call_that_it_names() -> None:
    check_named("POST /api/v1/quotes", {"operation": "image", "model": "x"})
    check_named("POST /api/v1/accounts/user:a:credits/grants", {"amount": 1, "source": "gift"})
    check_named("scrip.usage.metered", {"user_id": "a", "amount": 1})
    with pytest.raises(jsonschema.ValidationError):
        check_named("POST /api/v1/accounts/user:a:credits/grants", {"amount": "one", "source": "gift"})
    with pytest.raises(pydantic.ValidationError):
        check_named("scrip.usage.metered", {"user_id": "a"})
    for nothing in ("POST /api/v1/nothing", "something"):
        with pytest.raises(AssertionError):
            check_named(nothing, {})
