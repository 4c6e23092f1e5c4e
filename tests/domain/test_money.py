"""Money keeps its value between its two forms, on both sides of nothing."""

import pytest

from domain.money import decimal_text, micros


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0.00"),
        (1, "0.000001"),
        (40_000, "0.04"),
        (1_000_000, "1.00"),
        (1_250_500, "1.2505"),
        (10**15, "1000000000.00"),
        (-1, "-0.000001"),
        (-40_000, "-0.04"),
        (-1_000_000, "-1.00"),
        (-1_960_000, "-1.96"),
    ],
)
def test_writes_micro_units_as_a_decimal(amount: int, text: str) -> None:
    assert decimal_text(amount) == text


@pytest.mark.parametrize(("text", "amount"), [("0", 0), ("0.04", 40_000), ("12.5", 12_500_000), ("0.000001", 1)])
def test_reads_a_decimal_as_micro_units(text: str, amount: int) -> None:
    assert micros(text) == amount
