"""Days as date fields send them."""

from datetime import date, datetime, timedelta


def day(text: str | None, *, after: int = 0) -> str | None:
    """Midnight (UTC) of a day from a date field, so many days later; None where there is none or it is no date."""
    if not text:
        return None
    try:
        start = date.fromisoformat(text) + timedelta(days=after)
    except (ValueError, OverflowError):
        return None
    return datetime.combine(start, datetime.min.time()).isoformat() + "Z"
