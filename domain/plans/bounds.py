"""What may be published at all: the form of names, and the range of every number."""

import re

from domain.credits.events import Paid
from domain.ids import DOTS, ID
from domain.plans.refusals import InvalidOffer

MAX_AMOUNT = 10**12
MAX_NAME = 255
MAX_BULK_STEPS = 20
CURRENCY = re.compile(r"[A-Z]{3}")


def check_id(field: str, value: str, form: re.Pattern[str] = ID) -> None:
    """An id of the contract, or another form of name. Raises InvalidOffer."""
    if not form.fullmatch(value) or value in DOTS:
        raise InvalidOffer(field, f"must match {form.pattern} and be neither . nor ..")


def check_name(field: str, value: str) -> None:
    """A name for people. Raises InvalidOffer."""
    if not 1 <= len(value) <= MAX_NAME:
        raise InvalidOffer(field, f"must have 1 to {MAX_NAME} characters", MAX_NAME)


def check_range(field: str, value: int, least: int = 0, most: int = MAX_AMOUNT) -> None:
    """Raises InvalidOffer."""
    if not least <= value <= most:
        raise InvalidOffer(field, f"must be {least} to {most}", most if value > most else least)


def check_price(field: str, price: Paid) -> None:
    """What is for sale costs something: 1 to 10^12 micro-units of an ISO 4217 currency. Raises InvalidOffer."""
    check_range(f"{field}.amount", price.amount, 1)
    if not CURRENCY.fullmatch(price.currency):
        raise InvalidOffer(f"{field}.currency", "must be three capital letters (ISO 4217)")


def check_count(field: str, count: int, most: int) -> None:
    """Raises InvalidOffer."""
    if count > most:
        raise InvalidOffer(field, f"at most {most} are allowed", most)


def check_bulk(field: str, steps: tuple[tuple[int, int], ...]) -> None:
    """Steps of (count from which it applies, percent off), counts rising; nothing becomes free. Raises InvalidOffer."""
    check_count(field, len(steps), MAX_BULK_STEPS)
    before = 0
    for index, (least, off) in enumerate(steps):
        check_range(f"{field}[{index}].count", least, before + 1)
        check_range(f"{field}[{index}].percent_off", off, 0, 99)
        before = least
