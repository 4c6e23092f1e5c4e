"""What names and free texts may hold, and how they are shown; the browser's rule is the same one."""

import re
import unicodedata
from pathlib import Path

import pytest

from domain.text import _REORDERS, NAME_RULE, clean, is_name, on_one_line, readable_name, visible

BIDI = [*"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"]
UNSEEN = [
    *"\u200b\u2060\ufeff\u00ad\u3164\u115f\u2028\u2029\u206f\ufff9",
    "\U000e0041",
    "\x1b",
    "\x9b",
    "\x00",
    "\n",
    "\ud800",
]
NAMES = [
    "admin",
    "Zeichnerinnen & Zeichner",
    "نقاشان",
    "می‌خواهم",  # with a joiner that Persian needs
    "ציירים",
    "क्‍ष",
    "絵師",
    "葛\U000e0100",  # a form of a letter of Japanese names
    "👩‍🎨 artists",
    "❤️",
    "#️⃣1",
    "a  b",
]


@pytest.mark.parametrize("text", NAMES)
def test_names_of_all_languages(text: str) -> None:
    assert readable_name(text) == visible(text) == text


@pytest.mark.parametrize("character", BIDI + UNSEEN)
def test_a_name_has_nothing_that_is_not_seen(character: str) -> None:
    for text in (character, f"ad{character}min", f"{character}admin", f"admin{character}", f"نق{character}اش"):
        assert not is_name(text)
        with pytest.raises(ValueError, match=re.escape(NAME_RULE)):
            readable_name(text)


@pytest.mark.parametrize("text", ["ad‌min", "ad‍min", "‍", "admin‍", "‍نق", "نق‌", "admin️", "a‌نق"])
def test_joiners_join_nothing_in_latin_names(text: str) -> None:
    assert not is_name(text)


def test_no_format_character_of_unicode_is_forgotten() -> None:
    """Category Cf, but for signs that are seen (Arabic numbers, Kaithi, hieroglyphs) and the joiners above."""
    seen = {
        0x600,
        0x601,
        0x602,
        0x603,
        0x604,
        0x605,
        0x6DD,
        0x70F,
        0x890,
        0x891,
        0x8E2,
        0x110BD,
        0x110CD,
        0x200C,
        0x200D,
    }
    seen |= set(range(0x13430, 0x13440))
    every = (chr(point) for point in range(0x110000) if point not in seen and unicodedata.category(chr(point)) == "Cf")
    assert not [hex(ord(each)) for each in every if is_name(f"a{each}b")]


@pytest.mark.parametrize("character", [*BIDI[:9], "\x1b", "\x9b", "\u2028"])
def test_what_reorders_a_page_is_shown_as_its_code(character: str) -> None:
    assert visible(f"a{character}b") == f"a[U+{ord(character):04X}]b"


def test_a_free_text_keeps_what_its_language_needs() -> None:
    text = "שלום\u200f, (world)\u200e 👩‍🎨\nline\ttab"
    assert clean(text)
    assert visible(text) == text
    assert clean("\u202eabc")
    assert not clean("\x1b[31m")
    assert not clean("\ud800")


def test_a_terminal_gets_no_control_at_all() -> None:
    for character in BIDI + UNSEEN:
        shown = on_one_line(f"a{character}b")
        assert shown.isprintable()
        assert shown.isascii()


def test_the_browsers_rule_is_this_one() -> None:
    source = (Path(__file__).parents[2] / "console/components/dom.js").read_text()
    codes = "".join(re.findall(r'"((?:\\\\u[0-9a-f{}]+-?)+)"', source))
    assert codes
    as_python = re.sub(r"u\{([0-9a-f]+)\}", lambda each: f"U{int(each[1], 16):08x}", codes.replace("\\\\", "\\"))
    browsers = re.compile(f"[{as_python}]")
    assert [
        point for point in range(0x110000) if bool(browsers.match(chr(point))) != bool(_REORDERS.match(chr(point)))
    ] == []
