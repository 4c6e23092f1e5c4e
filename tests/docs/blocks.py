"""The fenced code blocks of a Markdown page, in their order."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from tests.cli.program import ROOT

DOCS = ROOT / "docs"
_FENCE = re.compile(r"^(?P<indent>[ ]*)(?P<fence>`{3,})(?P<info>[^`\n]*)$")
_TITLE = re.compile(r'title="([^"]*)"')


@dataclass(frozen=True)
class Block:
    """A block: where it is, its language, what its title says (the call that it is the body of), its text."""

    page: str
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line} ({self.language})"


def blocks_of(page: Path) -> list[Block]:
    """All blocks of a page. Raises ValueError for one that does not end."""
    return list(_found(page.relative_to(ROOT).as_posix(), page.read_text(encoding="utf-8").splitlines()))


def pages() -> list[Path]:
    """README first, whose tour is that of a service nobody has used; then every page of ours that is not generated."""
    written = [page for page in sorted(DOCS.rglob("*.md")) if (DOCS / "reference") not in page.parents]
    own = [ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
    return [ROOT / "README.md", *written, *own]


def _found(page: str, lines: list[str]) -> Iterator[Block]:
    opened: re.Match[str] | None = None
    start, kept = 0, list[str]()
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if opened is None and fence is not None:
            opened, start, kept = fence, number, []
        elif opened is not None and line.strip() == opened["fence"]:
            info = opened["info"].strip()
            language = info.partition(" ")[0]
            title = _TITLE.search(info)
            yield Block(page, start, language, title[1] if title else "", dedent("\n".join(kept)) + "\n")
            opened = None
        elif opened is not None:
            kept.append(line)
    if opened is not None:
        raise ValueError(f"{page}:{start}: a block that does not end")
