"""Answers as the client's types: money is exact, times have a zone, and a newer server breaks nothing."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from scrip_client import Created, GenerationState, InsufficientResources, Me, Settlement
from scrip_client.decoding import Undecodable, decode
from scrip_client.errors import error_of
from scrip_client.settling import confirmation, failure, money

CREATED = {
    "generation_id": "g",
    "status": "held",
    "quote": {"credits": 5, "usd": "0.08", "of_tomorrow": {"a": 1}},
    "holds": [
        {"resource": "budget", "user": "u", "unit": "usd", "amount": "0.08"},
        {"resource": "moon", "unit": "phases", "amount": 1, "phase": "full"},
    ],
    "expires_at": "2026-01-01T00:15:00Z",
    "position": "7",
    "unknown": [1],
}


def test_unknown_fields_are_passed_over_and_money_is_exact() -> None:
    made = decode(Created, CREATED)
    assert made.quote.usd == Decimal("0.08")
    assert [held.amount for held in made.holds] == [Decimal("0.08"), 1]
    assert made.expires_at == datetime(2026, 1, 1, 0, 15, tzinfo=UTC)


def test_open_maps_keep_what_is_no_number() -> None:
    told = {"generation_id": "g", "status": "completed", "charged": {"credits": 1, "usd": "0.5", "currency": "USD"}}
    settled = decode(Settlement, told | {"returned": {"usd": "0.25", "note": "why"}, "position": "1"})
    assert (settled.charged.usd, settled.returned) == (Decimal("0.5"), {"usd": Decimal("0.25"), "note": "why"})


@pytest.mark.parametrize(
    ("change", "said"),
    [({"position": None}, None), ({"expires_at": "soon"}, "Created.expires_at"), ({"holds": 7}, "Created.holds")],
)
def test_what_the_contract_promises_must_be_there(change: dict[str, object], said: str | None) -> None:
    if said is None:
        with pytest.raises(Undecodable, match=r"Created\.position is missing"):
            decode(Created, {name: value for name, value in CREATED.items() if name != "position"})
    else:
        with pytest.raises(Undecodable, match=said):
            decode(Created, CREATED | change)
    with pytest.raises(Undecodable):
        decode(Me, [])


def test_a_budget_that_is_short_is_told_in_money() -> None:
    check = {"resource": "budget", "ok": False, "reason": "budget_exceeded", "currency": "USD"}
    numbers = {"needed": "1.08", "available": "1.00", "limit": "1.00", "deficit": "0.08"}
    fine = {"resource": "storage", "ok": True, "reason": "ok", "needed": 5, "available": None, "limit": None}
    body = {
        "code": "budget_exceeded",
        "detail": "too much",
        "reason": "budget_exceeded",
        "checks": [fine, check | numbers],
    }
    error = error_of(402, body)
    assert isinstance(error, InsufficientResources)
    (short,) = error.short
    assert (short.needed, short.deficit, error.checks[0].available) == (Decimal("1.08"), Decimal("0.08"), None)


def test_what_is_null_stays_none() -> None:
    row = {"generation_id": "g", "user_id": "u", "operation": "image", "status": "held", "position": "1"}
    seen = decode(GenerationState, row | {"created_at": "2026-01-01T00:00:00+02:00", "ended_at": None, "model": None})
    assert (seen.ended_at, seen.model, seen.created_at.utcoffset() is not None) == (None, None, True)


def test_a_report_holds_only_what_the_api_takes() -> None:
    body = confirmation(contents=[{"bytes": 1}, {"id": "mine", "bytes": 2}], actual={"usd": Decimal("0.10")})
    assert [len(content["id"]) for content in body["contents"]] == [32, 4]
    assert body["actual"] == {"usd": "0.10"}
    assert confirmation() == {}
    assert confirmation(final=False) == {"final": False}
    assert failure("other", "\x00") == {"outcome": "other", "error_message": " "}
    assert len(failure("other", "x" * 5_000)["error_message"]) == 2_000
    assert money({"amount": 1, "currency": "EUR"}) == {"amount": "1", "currency": "EUR"}
    with pytest.raises(TypeError):
        confirmation(content_bytes=1, contents=[])
