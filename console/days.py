"""Days as date fields send them: the API takes them as days of the organisation."""

from datetime import date, timedelta


def day(text: str | None, *, after: int = 0) -> str | None:
    """A day from a date field, so many days later; None where there is none or it is no date."""
    if not text:
        return None
    try:
        return (date.fromisoformat(text) + timedelta(days=after)).isoformat()
    except (ValueError, OverflowError):
        return None
