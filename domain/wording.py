"""Amounts as people read them (S0): `195 MB`, `1.2K`, `$0.08`. For sentences and for `formatted` parts."""

KB = 1024


def bytes_text(size: int) -> str:
    """A size in the largest unit that leaves at least 1, with at most two decimals: `195 MB`, `1.5 GB`, `512 B`."""
    for unit, power in (("TB", 4), ("GB", 3), ("MB", 2), ("KB", 1)):
        if abs(size) >= KB**power:
            return f"{_trimmed(size, KB**power, 2)} {unit}"
    return f"{size} B"


def count_text(count: int) -> str:
    """A number shortened from a thousand on: `950`, `1.2K`, `3.4M`; rounded down, so that no balance looks larger."""
    for letter, power in (("B", 9), ("M", 6), ("K", 3)):
        if abs(count) >= 10**power:
            return f"{_trimmed(count, 10**power, 1)}{letter}"
    return str(count)


def usd_text(micros: int) -> str:
    """Money with at least two and at most six decimals: `$10.00`, `$0.0425`."""
    whole, rest = divmod(abs(micros), 1_000_000)
    decimals = f"{rest:06}".rstrip("0").ljust(2, "0")
    return f"{'-' if micros < 0 else ''}${whole:,}.{decimals}"


def percent_text(part: int, whole: int) -> str:
    """A share with at most one decimal: `97.5 %`; of nothing it is all."""
    return f"{_trimmed(part * 100, whole, 1)} %" if whole else "100 %"


def bytes_share_text(part: int, whole: int) -> str:
    """How much of a size is taken: `195 MB of 200 MB (97.5 %)`."""
    return f"{bytes_text(part)} of {bytes_text(whole)} ({percent_text(part, whole)})"


def amount_text(what: str, amount: int) -> str:
    """An amount by what is counted: `bytes`, `usd`, or anything else that is a plain number."""
    if what == "bytes":
        return bytes_text(amount)
    return usd_text(amount) if what == "usd" else count_text(amount)


def _trimmed(value: int, unit: int, places: int) -> str:
    scaled = abs(value) * 10**places // unit
    whole, rest = divmod(scaled, 10**places)
    decimals = f"{rest:0{places}}".rstrip("0")
    return f"{'-' if value < 0 else ''}{whole}{'.' + decimals if decimals else ''}"
