"""Whether a command said what the page shows: `…` stands for anything, ids and times for others of their kind."""

import re

# What no two runs have in common -> the name under which it is compared.
_ALIKE = {
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}": "<id>",
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|\+00:00)?)?": "<time>",
    r"\b[0-9a-f]{64}\b": "<hash>",
    r"\b\d{16}\b": "<position>",
    r"\b\d+\.\d+ s\b": "<seconds>",
    r"127\.0\.0\.1:\d+": "<address>",
    r"[ \t─]+": " ",  # tables are as wide as what is in them
}


def matches(shown: str, said: str) -> bool:
    """Whether `said` is what the page shows, but for the space between words and for empty lines."""
    pattern = re.escape(_alike(shown)).replace("…", ".*")
    return re.fullmatch(pattern, _alike(said), re.DOTALL) is not None


def _alike(text: str) -> str:
    for pattern, name in _ALIKE.items():
        text = re.sub(pattern, name, text)
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())
