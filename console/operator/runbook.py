"""The runbook beside the figures: the documentation's page, one entry at a time."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup, escape
from starlette.responses import Response

from console.pages import Pages
from console.person import PLATFORM_READERS
from console.visit import Visit

HERE = "/operator/runbook"
SOURCE = Path(__file__).parents[2] / "docs" / "runbook.md"  # not there where only the packages are installed

_HEADING = re.compile(r"(#{2,3}) (.+?)(?: \{: #([a-z0-9-]+) \})?")
_INLINE = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\*([^*]+)\*|\[([^\]]+)\]\(([^)]+)\)")

pages = Pages()


class Block(NamedTuple):
    """A heading (`h2`, `h3`), a paragraph (`p`), lines of a program (`code`), or a table (`table`) with its cells."""

    kind: str
    text: Markup = Markup()
    anchor: str = ""
    rows: tuple[tuple[Markup, ...], ...] = ()


class Entry(NamedTuple):
    """What one heading stands for, and the section that it is in."""

    anchor: str
    title: Markup
    section: Markup
    blocks: tuple[Block, ...]


@pages.get(HERE, PLATFORM_READERS)
async def contents(visit: Visit) -> Response:
    """All headings, by section."""
    sections: dict[Markup, list[Entry]] = {}
    for each in entries().values():
        sections.setdefault(each.section, []).append(each)
    return visit.render("operator/runbook.html", sections=sections, here=HERE)


@pages.get(HERE + "/{anchor}", PLATFORM_READERS)
async def entry(visit: Visit) -> Response:
    """What a figure, an alert or a refusal to start means, and what to do."""
    found = entries().get(visit.path["anchor"])
    if found is None:
        return visit.redirect(HERE)
    return visit.render("operator/runbook_entry.html", entry=found, here=HERE)


@cache
def entries() -> dict[str, Entry]:
    """The entries by their anchors, in order; none where the documentation is not installed. Read once."""
    found: dict[str, Entry] = {}
    section, anchor = Markup(), ""
    for block in _blocks():
        if block.kind == "h2":
            section, anchor = block.text, ""
        elif block.kind == "h3":
            anchor = block.anchor
            found[anchor] = Entry(anchor, block.text, section, ())
        elif anchor:
            found[anchor] = found[anchor]._replace(blocks=(*found[anchor].blocks, block))
    return found


def _blocks() -> list[Block]:
    if not SOURCE.is_file():
        return []
    parts = re.split(r"\n{2,}", SOURCE.read_text("utf-8"))
    return [_block(part.strip("\n")) for part in parts if part.strip()]


def _block(part: str) -> Block:
    heading = _HEADING.fullmatch(part)
    if heading:
        return Block(f"h{len(heading[1])}", _inline(heading[2]), heading[3] or "")
    if part.startswith("```"):
        return Block("code", escape("\n".join(part.splitlines()[1:-1])))
    if part.startswith("|"):
        head, _, *lines = part.splitlines()
        cells = (tuple(_inline(cell.strip()) for cell in line.strip("|").split("|")) for line in (head, *lines))
        return Block("table", rows=tuple(cells))
    return Block("p", _inline(part))


def _inline(text: str) -> Markup:
    """Code, stress and links within a line; everything else is escaped."""
    found, at = Markup(), 0
    for match in _INLINE.finditer(text):
        found += escape(text[at : match.start()]) + _marked(match)
        at = match.end()
    return found + escape(text[at:])


def _marked(match: re.Match[str]) -> Markup:
    code, strong, stress, label, target = match.groups()
    if code:
        return Markup("<code>{}</code>").format(code)
    if strong:
        return Markup("<strong>{}</strong>").format(strong)
    if stress:
        return Markup("<em>{}</em>").format(stress)
    if target.startswith("#"):
        return Markup('<a href="{}/{}">{}</a>').format(HERE, target[1:], label)
    return escape(label)  # another page of the documentation, which is not here
