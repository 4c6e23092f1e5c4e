"""Positions as the outside sees them: opaque text, zero-padded so that it compares as text within an organisation."""

WIDTH = 16


def format_position(position: int) -> str:
    """A position (0 to 10^16 - 1) as text."""
    return f"{position:0{WIDTH}d}"


def parse_position(text: str) -> int:
    """The inverse of `format_position`; raises ValueError for anything else."""
    if len(text) != WIDTH or not (text.isascii() and text.isdigit()):
        raise ValueError("a position is the text that an earlier answer gave")
    return int(text)
