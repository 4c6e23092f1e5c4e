"""What an id is (contract, "Identity and organisations"): for HTTP, Kafka, tokens and the command line alike."""

import re

from domain.credits.address import parse_address

MAX_ID = 255
ID = re.compile(r"[A-Za-z0-9._:@|+=~-]{1,255}")
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")  # token types, options, units: no colon, which would end an address
ADDRESS = re.compile(r"[A-Za-z0-9._:@|+=~-]{5,767}")
DOTS = frozenset({".", ".."})  # in a path they name a folder, so that a client or proxy would call another address


def is_id(value: object) -> bool:
    """Whether a value is an id."""
    return isinstance(value, str) and ID.fullmatch(value) is not None and value not in DOTS


def no_dots(text: str) -> str:
    """The text, an id or name of the right form otherwise. Raises ValueError for `.` and `..`."""
    if text in DOTS:
        raise ValueError("must not be `.` or `..`")
    return text


def account_address(text: str) -> str:
    """The text, if it is an account's address whose parts are ids. Raises ValueError."""
    for part in parse_address(text):
        if len(part) > MAX_ID:
            raise ValueError(f"has a part of more than {MAX_ID} characters")
        if part in DOTS:
            raise ValueError("has a part that is `.` or `..`, which are no ids")
    return text
