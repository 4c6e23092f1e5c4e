"""Money between its decimal form and integer micro-units (millionths of a currency)."""


def micros(text: str) -> int:
    """A decimal with at most 6 places as integer micro-units."""
    whole, _, rest = text.partition(".")
    return int(whole) * 1_000_000 + int(rest.ljust(6, "0"))


def decimal_text(amount: int) -> str:
    """Integer micro-units (0 or more) as a decimal with at least 2 and at most 6 places."""
    rest = f"{amount % 1_000_000:06d}"
    return f"{amount // 1_000_000}.{rest[:2]}{rest[2:].rstrip('0')}"
