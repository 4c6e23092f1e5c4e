"""An old event in a log of today: its bytes stay, its meaning is brought up to date step by step when it is read."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from infra.log.mapper import LedgerMapper, UnknownEventType


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditsSpent:
    """The newest form. At first there was only `credits`; then a unit came beside the amount, and at last an item."""

    amount: int
    unit: str
    item: str | None

    @property
    def tag(self) -> None:
        return None


def credits_spent_v1_to_v2(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "credits-spent.v2", {"amount": data["credits"], "unit": "credits"}


def credits_spent_v2_to_v3(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "credits-spent.v3", {**data, "item": None}


UPCASTERS = {"credits-spent.v1": credits_spent_v1_to_v2, "credits-spent.v2": credits_spent_v2_to_v3}
CODEC = LedgerMapper({"credits-spent.v3": CreditsSpent}, UPCASTERS)

FIRST = b'{"actor":"user:u_42","cause":"k1","data":{"credits":70}}'
SECOND = b'{"actor":"user:u_42","cause":"k2","data":{"amount":70,"unit":"tokens"}}'
THIRD = b'{"actor":"user:u_42","cause":"k3","data":{"amount":70,"unit":"tokens","item":"chat"}}'


@pytest.mark.parametrize(
    ("type_", "stored", "event"),
    [
        ("credits-spent.v1", FIRST, CreditsSpent(amount=70, unit="credits", item=None)),
        ("credits-spent.v2", SECOND, CreditsSpent(amount=70, unit="tokens", item=None)),
        ("credits-spent.v3", THIRD, CreditsSpent(amount=70, unit="tokens", item="chat")),
    ],
    ids=["two steps", "one step", "none"],
)
def test_every_version_decodes_to_the_newest(type_: str, stored: bytes, event: CreditsSpent) -> None:
    assert CODEC.decode(type_, stored) == event


def test_only_the_newest_version_is_written() -> None:
    event = CODEC.decode("credits-spent.v3", THIRD)
    assert CODEC.encode(event, "user:u_42", "k3") == ("credits-spent.v3", THIRD)


def test_who_and_why_are_read_without_the_event() -> None:
    assert CODEC.cause(FIRST) == "k1"


@pytest.mark.parametrize("type_", ["credits-spent.v4", "credits-spent", ""])
def test_a_type_from_the_future_is_never_skipped(type_: str) -> None:
    with pytest.raises(UnknownEventType):
        CODEC.decode(type_, THIRD)


def test_a_chain_of_upcasters_that_leads_nowhere_is_no_event() -> None:
    broken = LedgerMapper({"credits-spent.v3": CreditsSpent}, {"credits-spent.v1": credits_spent_v1_to_v2})
    with pytest.raises(UnknownEventType):
        broken.decode("credits-spent.v1", FIRST)


@pytest.mark.parametrize("stored", [b"", b"{}", b'{"actor":"a","cause":"k","data":{"amount":"70"}}', b"\xff"])
def test_bytes_that_are_not_what_the_type_says(stored: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        CODEC.decode("credits-spent.v3", stored)
