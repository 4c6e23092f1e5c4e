"""A statement as a PDF."""

from functools import cache
from pathlib import Path
from typing import Any

from fontTools.ttLib import TTFont
from fpdf import FPDF

from api.accounts.answers import COLUMNS, shown, time_text
from domain.text import visible

# The fonts of PDF itself have Latin letters only. These have what names and reasons are written in, 8 MB in all: one
# font of 3.5 MB has Chinese, Japanese and Korean, where Noto's would be 20 MB. A document embeds only what it shows.
FONTS = Path(__file__).parents[1] / "vendor" / "fonts"

BASE = "NotoSans"  # Latin, Greek, Cyrillic
CJK = "DroidSansFallback"
SCRIPTS = (
    *("Arabic", "Hebrew", "Devanagari", "Bengali", "Gujarati", "Gurmukhi", "Kannada", "Malayalam", "Sinhala", "Tamil"),
    *("Telugu", "Thai", "Khmer", "Lao", "Myanmar", "Armenian", "Ethiopic", "Georgian"),
)
FURTHER = (*(f"{BASE}{script}-Regular" for script in SCRIPTS), CJK, "NotoEmoji-Regular")
WIDEST = 4.0  # millimetres of a letter of 8 points, with room to spare
MOST_IN_A_CELL = 400  # characters; far more than are ever seen in the widest column
_WIDTHS = (38, 26, 26, 28, 52, 52, 40)


def as_pdf(statement: dict[str, Any]) -> bytes:
    """A statement as a document to print, in any script that one of the fonts has."""
    page = _Page(_texts(statement))
    page.set_creation_date(statement["to"])
    page.set_title(f"Statement {statement['address']}")
    page.add_page()
    page.set_font(BASE, "B", 14)
    page.heading(f"Statement of {statement['address']}", 8)
    page.set_font(BASE, "", 9)
    period = f"{time_text(statement['from']) or 'the beginning'} to {time_text(statement['to'])}"
    page.heading(f"Period: {period}. Amounts in whole credits.", 6)
    page.heading(f"Opening balance: {statement['opening']}", 6)
    page.set_font(BASE, "B", 8)
    for name, width in zip(COLUMNS, _WIDTHS, strict=False):
        page.cell(width, 6, name.replace("_", " "), border="B")
    page.ln()
    page.set_font(BASE, "", 8)
    for row in statement["movements"]:
        for name, width in zip(COLUMNS, _WIDTHS, strict=False):
            page.column(shown(row[name]), width)
        page.ln()
    page.set_font(BASE, "B", 9)
    page.heading(f"Closing balance: {statement['closing']}", 8)
    return bytes(page.output())


class _Page(FPDF):
    """A page with the fonts that its texts need, and no other: each one that is added costs time and bytes."""

    def __init__(self, texts: str) -> None:
        super().__init__(orientation="landscape", format="A4")
        self.add_font(BASE, "", FONTS / f"{BASE}-Regular.ttf")
        self.add_font(BASE, "B", FONTS / f"{BASE}-Bold.ttf")
        wanted = set(texts) - characters_of(f"{BASE}-Regular")
        further, shaped = [], set[str]()
        for name in FURTHER:
            if found := wanted & characters_of(name):
                self.add_font(name, "", FONTS / f"{name}.ttf")
                further.append(name)
                wanted -= found
                shaped |= found if name != CJK else set()
        self._shaped = shaped
        self._missing = dict.fromkeys(map(ord, wanted), "\N{REPLACEMENT CHARACTER}")
        self.set_fallback_fonts(further, exact_match=False)

    def heading(self, text: str, height: float) -> None:
        """One line of text over the whole width."""
        self._shape(text)
        self.cell(0, height, self.plain(text), new_x="LMARGIN", new_y="NEXT")

    def column(self, text: str, width: float) -> None:
        """A cell of a table row, with as much of the text as fits into `width` millimetres."""
        self._shape(text)
        self.cell(width, 5, self.fitting(text, width))

    def _shape(self, text: str) -> None:
        """Join letters and set right to left what is written so; only where it is, for it takes ten times as long."""
        self.set_text_shaping(use_shaping_engine=not self._shaped.isdisjoint(text))

    def plain(self, text: str) -> str:
        """The text in one line, with a mark for each character that no font has, and codes for what reorders a line."""
        return " ".join(visible(text).split()).translate(self._missing)

    def fitting(self, text: str, width: float) -> str:
        """The text as far as it fits into `width` millimetres, found by halves: measuring shaped letters is slow."""
        whole = self.plain(text)
        shown = whole[:MOST_IN_A_CELL]
        room = width - 2 * self.c_margin
        if len(shown) * WIDEST <= room:  # measuring takes longer than the rest
            return shown
        if shown == whole and self.get_string_width(shown) <= room:
            return shown
        fits, too_many = 0, len(shown) + 1
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            if self.get_string_width(f"{shown[:middle]}…") <= room:
                fits = middle
            else:
                too_many = middle
        return f"{shown[:fits]}…"


@cache
def characters_of(font: str) -> frozenset[str]:
    """The characters that a font of ours can show."""
    with TTFont(FONTS / f"{font}.ttf", lazy=True) as opened:
        return frozenset(map(chr, opened.getBestCmap()))


def _texts(statement: dict[str, Any]) -> str:
    rows = (str(row[name]) for row in statement["movements"] for name in COLUMNS)
    return "".join((statement["address"], "…", *rows))
