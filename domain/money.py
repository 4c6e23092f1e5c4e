"""Money between its decimal form and integer micro-units (millionths of a currency)."""

from functools import lru_cache


def micros(text: str) -> int:
    """A decimal with at most 6 places as integer micro-units."""
    whole, _, rest = text.partition(".")
    return int(whole) * 1_000_000 + int(rest.ljust(6, "0"))


@lru_cache(maxsize=10_000)  # a list of generations has a dozen amounts a row, and the same ones
def decimal_text(amount: int) -> str:
    """Integer micro-units as a decimal with at least 2 and at most 6 places; below 0 with a minus sign: `-0.04`."""
    whole, rest = divmod(abs(amount), 1_000_000)
    places = f"{rest:06d}"
    return f"{'-' if amount < 0 else ''}{whole}.{places[:2]}{places[2:].rstrip('0')}"
