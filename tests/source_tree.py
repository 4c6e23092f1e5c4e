"""The product's source files as syntax trees, for the tests that look at the code itself."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PRODUCT = ("domain", "projections", "consumers", "infra", "api", "console", "client", "cli", "benchmarks")


class Source(NamedTuple):
    """One Python file: its path from the root, its text and its tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def folder(self) -> str:
        """The folder at the root that it lives in."""
        return self.path.split("/", 1)[0]


def sources(*folders: str) -> Iterator[Source]:
    """The Python files of some folders of the repository, in order; a folder that does not exist has none."""
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*.py")):
            yield _read(file)


@cache
def _read(file: Path) -> Source:
    text = file.read_text(encoding="utf-8")
    return Source(file.relative_to(ROOT).as_posix(), text, ast.parse(text))


def called(node: ast.AST) -> str:
    """The dotted name of what a call calls, empty for anything else."""
    return dotted(node.func) if isinstance(node, ast.Call) else ""


def dotted(node: ast.AST) -> str:
    """`a.b.c` as text, empty where a part is no name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""
