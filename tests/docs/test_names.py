"""The names that pages mention in words are those of the code: attributes, events and functions of the components."""

import re

import pytest

from tests.cli.program import ROOT
from tests.docs.blocks import DOCS

PAGE = (DOCS / "how-to" / "components.md").read_text(encoding="utf-8")
CODE = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "console" / "components").rglob("*.js"))
_ROWS = [line for line in PAGE.splitlines() if line.startswith("| `")]
NAMED = sorted({name for row in _ROWS for name in re.findall(r"`([a-z][A-Za-z-]+)(?:=[^`]*)?`", row)})


def _is_known(name: str) -> bool:
    """Whether the components have it: as a word, as a property's name, or made from its parts (`{name}-href`)."""
    first, _, last = name.rpartition("-")
    parts = [name] if not first else [name, f"{first}-${{", f"-{last}`"]
    return any(part in CODE for part in parts)


def test_the_page_names_what_there_is_to_set_and_to_hear() -> None:
    assert len(NAMED) > 40
    assert not _is_known("scrip-nothing-at-all")


@pytest.mark.parametrize("name", NAMED)
def test_the_components_have_what_the_page_names(name: str) -> None:
    assert _is_known(name)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"--scrip-[a-z-]+", PAGE))))
def test_the_components_can_be_coloured_as_the_page_says(name: str) -> None:
    assert name in CODE
