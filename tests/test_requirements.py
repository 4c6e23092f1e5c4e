"""docs/requirements.md is true: no line is missing, what it names exists, and every test says which line it shows."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import pytest

from cli.reference.http import openapi
from domain.registry import SCRIP
from projections.versions import tables
from tests.source_tree import ROOT, sources

LINES = {"S0": 10, "S1": 6, "S2": 7, "S3": 9, "S4": 5}  # how many lines the requirements have for each system
LABELS = ("decided by", "read model", "kept in", "calls")
MEASURED = "measured, not tested"
TABLES = {model.name for model in tables()}


class Line(NamedTuple):
    """One line of the requirements: what is named under each label, and its facts."""

    id: str
    named: dict[str, list[str]]
    facts: list[str]

    @property
    def tests(self) -> list[str]:
        """Every test that is said to show a fact of this line."""
        return [name for fact in self.facts for name in _quoted(fact) if name.startswith("tests/")]


def _quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def _lines(page: str) -> Iterator[Line]:
    for section in re.split(r"^### ", page, flags=re.MULTILINE)[1:]:
        heading, *bullets = section.split("\n## ")[0].replace("\n  ", " ").strip().split("\n- ")
        labelled = {label: bullet for bullet in bullets for label in LABELS if bullet.startswith(f"{label}: ")}
        facts = [bullet for bullet in bullets if bullet not in labelled.values()]
        yield Line(heading.split()[0], {label: _quoted(bullet) for label, bullet in labelled.items()}, facts)


PAGE = list(_lines((ROOT / "docs" / "requirements.md").read_text(encoding="utf-8")))
EACH = pytest.mark.parametrize("line", PAGE, ids=lambda line: line.id)


def test_no_line_is_missing() -> None:
    assert [line.id for line in PAGE] == [
        f"{system}-{n}" for system, count in LINES.items() for n in range(1, count + 1)
    ]


@cache
def _classes() -> set[str]:
    return {node.name for source in sources("domain") for node in source.tree.body if isinstance(node, ast.ClassDef)}


@cache
def _calls() -> set[str]:
    return {f"{method.upper()} {path}" for path, methods in openapi()["paths"].items() for method in methods}


@cache
def _kept() -> set[str]:
    schema = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "infra" / "schema").glob("*.sql"))
    return set(re.findall(r"create table (\w+)", schema))


@EACH
def test_everything_named_exists(line: Line) -> None:
    assert {"decided by", "read model", "calls"} <= line.named.keys()
    assert line.named["decided by"]
    assert set(line.named["decided by"]) <= _classes()
    assert set(line.named["read model"]) <= TABLES
    assert set(line.named.get("kept in", ())) <= _kept()
    assert line.named["calls"]
    assert set(line.named["calls"]) <= _calls()


@EACH
def test_every_fact_has_a_test_or_says_why_not(line: Line) -> None:
    assert line.tests
    for number, fact in enumerate(line.facts):
        assert fact.startswith(f"{'abcdefghijklmnopqrstuvwxyz'[number]}. ")
        assert "`tests/" in fact or MEASURED in fact, fact


_parsed = cache(ast.parse)


def _text_of(name: str) -> str | None:
    """The source of a test, with the comment above it; of a whole file where only that is named."""
    path, _, function = name.partition("::")
    file = ROOT / path
    if not file.is_file():
        return None
    text = file.read_text(encoding="utf-8")
    if not function:
        return text
    for node in _parsed(text).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            return "\n".join(text.splitlines()[max(first - 2, 0) : node.end_lineno])
    return None


def _says(text: str, line: str) -> bool:
    return re.search(rf"\b{line}\b(?!-)", text) is not None


@EACH
def test_every_test_named_exists_and_names_the_line(line: Line) -> None:
    texts = {name: _text_of(name) for name in line.tests}
    assert [name for name, text in texts.items() if text is None] == [], "no such test"
    assert [name for name, text in texts.items() if not _says(text or "", line.id)] == [], f"does not say {line.id}"


def test_no_test_names_a_line_that_does_not_exist() -> None:
    known = {line.id for line in PAGE}
    named = {(source.path, id_) for source in sources("tests") for id_ in re.findall(r"\bS\d-\d+\b", source.text)}
    own = "tests/test_requirements.py"
    assert sorted((path, id_) for path, id_ in named if id_ not in known and path != own) == []


def test_every_command_question_and_read_model_serves_a_line() -> None:
    decided = {name for line in PAGE for name in line.named["decided by"]}
    shown = {name for line in PAGE for name in line.named["read model"]}
    assert sorted({kind.__name__ for kind in (*SCRIP.deciders, *SCRIP.answerers)} - decided) == []
    assert sorted(TABLES - shown) == []


def test_the_page_is_read_as_it_is_meant() -> None:
    (line,) = _lines(
        "# x\n### S9-1 A title\n- decided by: `A`,\n  `B`\n- a. one:\n  `tests/a.py::b`\n- b. nothing yet\n\n## S10\n"
    )
    assert (line.id, line.named) == ("S9-1", {"decided by": ["A", "B"]})
    assert (line.facts, line.tests) == (["a. one: `tests/a.py::b`", "b. nothing yet"], ["tests/a.py::b"])
    assert not _says("S0-10", "S0-1")
    assert _says("S0-1, S0-10", "S0-1")
    assert _text_of("tests/none.py::x") is None
    assert _text_of("tests/test_requirements.py::none") is None
