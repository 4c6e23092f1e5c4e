"""What a text may hold, declared once: for HTTP, Kafka, imports, the command line and the console.

A name or a label is read at a glance and compared by people: it may hold nothing that they cannot see, and nothing
that changes the order in which they see it. A free text (a prompt, a reason, a description) may hold what its language
needs: marks of direction in Arabic and Hebrew, joiners in emoji and in Persian. It is kept as it came, and whatever
shows it makes visible what would reorder the text around it (`visible`, `on_one_line`).

Letters that look like other letters are not refused: users are identified by their ids, and ids are ASCII (domain.ids).
"""

import re

# Embeddings and overrides of direction, isolates: in a name they can make `nimda` read as `admin`.
_DIRECTION = "\u202a-\u202e\u2066-\u2069"
# Marks of direction, which a text of two scripts needs now and then, and a name never.
_MARKS = "\u061c\u200e\u200f"
# What is not seen at all: spaces without width, fillers, invisible operators, annotations, tags, ends of lines.
_INVISIBLE = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0"
    "\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
_CONTROLS = "\x00-\x1f\x7f-\x9f"
_HALVES = "\ud800-\udfff"
# Joiners and variation selectors are parts of characters in many scripts and in emoji; beside Latin letters they hide.
_JOINED = "\u0300-\u1fff\u203c\u2049\u2070-\ufdff\ufe10-\U0010ffff"
_LOOSE = (
    f"(?<![{_JOINED}\ufe0f])[\u200c\u200d]|[\u200c\u200d](?![{_JOINED}])"
    f"|(?<![#*0-9\u00a9\u00ae{_JOINED}])[\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
_NOT_IN_NAMES = re.compile(f"[{_DIRECTION}{_MARKS}{_INVISIBLE}{_CONTROLS}{_HALVES}]|{_LOOSE}")
_NOT_IN_TEXTS = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f{_HALVES}]")  # lines and tabs stay
_REORDERS = re.compile(f"[{_DIRECTION}\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f{_HALVES}\u2028\u2029\U000e0000-\U000e007f]")
UNSEEN = re.compile(f"[{_DIRECTION}{_MARKS}{_INVISIBLE}{_CONTROLS}{_HALVES}]")

NAME_RULE = "must not contain control characters, marks of text direction or invisible characters"


def clean(text: str) -> bool:
    """Whether every store holds a free text: it has no controls but tab and ends of lines, and no lone surrogate."""
    return _NOT_IN_TEXTS.search(text) is None


def is_name(text: str) -> bool:
    """Whether a name or label has nothing that a reader cannot see."""
    return (text.isascii() and text.isprintable()) or _NOT_IN_NAMES.search(text) is None


def readable_name(text: str) -> str:
    """The text, if it may be a name or a label. Raises ValueError."""
    if not is_name(text):
        raise ValueError(NAME_RULE)
    return text


def visible(text: str) -> str:
    """A text for a page: what would reorder or end it as its code, for example `[U+202E]`. Lines and marks stay."""
    return text if text.isascii() and text.isprintable() else _REORDERS.sub(_code, text)


def on_one_line(text: str) -> str:
    """A text for a terminal: every character that is not seen as its escape, ends of lines and ESC among them."""
    return UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _code(found: "re.Match[str]") -> str:
    return f"[U+{ord(found[0]):04X}]"
