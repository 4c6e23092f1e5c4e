"""Jinja2 as the console uses it: everything is escaped, a missing value is an error.

Its filters say how figures, sizes, money and times read to people. console.js puts times into the reader's zone.
"""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from console.static_files import Versioned

NONE = "\N{EN DASH}"
KIB = 1024


def environment(static: Versioned, visible: Callable[[str], str]) -> Environment:
    """The templates of `console/templates`. Every text that they show passes `visible`."""

    def shown(value: Any) -> Any:
        return visible(value) if type(value) is str else value  # our own markup is another type

    env = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
        finalize=shown,
    )
    env.filters.update({each.__name__: each for each in _FILTERS})
    env.globals |= {"static": static.url, "new_key": new_key}
    return env


def new_key() -> str:
    """The idempotency key of a form that is shown: sent twice, it acts once."""
    return secrets.token_urlsafe(18)


def count(value: int | None) -> str:
    """1250 -> 1,250; a missing value is a dash."""
    return NONE if value is None else f"{value:,}"


def limit(value: int | None) -> str:
    """The same for a limit: without one it is unlimited."""
    return "unlimited" if value is None else f"{value:,}"


def size(value: int | None) -> str:
    """Bytes with one decimal at most: 204472320 -> 195 MB (1 MB = 1,048,576 bytes)."""
    if value is None:
        return NONE
    amount, unit = Decimal(value), "B"
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if abs(amount) < KIB or unit == "TB":
            break
        amount /= KIB
    return f"{amount:.1f}".removesuffix(".0") + f" {unit}"


def money(value: str | None, currency: str = "USD") -> str:
    """A decimal string beside its currency: $0.04."""
    if value is None:
        return NONE
    sign, digits = ("-", value[1:]) if value.startswith("-") else ("", value)
    return f"{sign}${digits}" if currency == "USD" else f"{value} {currency}"


def percent(value: float | str | None) -> str:
    """97.5 -> 97.5 %."""
    return NONE if value is None else f"{Decimal(str(value)):.1f}".removesuffix(".0") + " %"


def plural(number: int, one: str, many: str = "") -> str:
    """1 user, 2 users."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def when(value: str | None, form: str = "time") -> Markup | str:
    """A `<time>` that console.js puts into the reader's zone; UTC where scripts are off.

    `form`: time, date, exact (with seconds) or ago.
    """
    if not value:
        return NONE
    moment = datetime.fromisoformat(value).astimezone(UTC)
    clock = {"date": "", "exact": ", %H:%M:%S UTC"}.get(form, ", %H:%M UTC")
    text = f"{moment:%d %b %Y{clock}}"
    return Markup('<time datetime="{}" data-as="{}">{}</time>').format(value, form, text)


def words(value: str | None) -> str:
    """insufficient_credits -> Insufficient credits."""
    return NONE if not value else escape(value.replace("_", " ").replace(".", " ").capitalize())


_FILTERS: tuple[Callable[..., Any], ...] = (count, limit, size, money, percent, plural, when, words)
