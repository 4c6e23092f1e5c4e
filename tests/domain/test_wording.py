"""Amounts as people read them (S0-8)."""

import pytest

from domain.wording import amount_text, bytes_text, count_text, percent_text, usd_text

MB = 1_048_576


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (1023, "1023 B"),
        (1024, "1 KB"),
        (1536, "1.5 KB"),
        (MB - 1, "1023.99 KB"),
        (MB, "1 MB"),
        (195 * MB, "195 MB"),
        (1024 * MB, "1 GB"),
        (1024 * MB + 103 * MB, "1.1 GB"),
        (1024**4, "1 TB"),
        (5 * 1024**5, "5120 TB"),
        (-1536, "-1.5 KB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    """S0-8: in the largest unit that leaves at least 1."""
    assert bytes_text(size) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1K"),
        (1234, "1.2K"),
        (1299, "1.2K"),
        (999_999, "999.9K"),
        (1_000_000, "1M"),
        (3_400_000, "3.4M"),
        (2_000_000_000, "2B"),
        (10**12, "1000B"),
        (-1500, "-1.5K"),
    ],
)
def test_counts(count: int, text: str) -> None:
    """S0-8: rounded down, so that nobody seems to have more."""
    assert count_text(count) == text


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "$0.00"),
        (40_000, "$0.04"),
        (42_500, "$0.0425"),
        (1, "$0.000001"),
        (10_000_000, "$10.00"),
        (1_234_500_000, "$1,234.50"),
        (-80_000, "-$0.08"),
    ],
)
def test_money(micros: int, text: str) -> None:
    """S0-8, S2-6: at least two decimals, never a rounded amount."""
    assert usd_text(micros) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(195, 200, "97.5 %"), (0, 3, "0 %"), (1, 3, "33.3 %"), (2, 3, "66.6 %"), (3, 2, "150 %"), (0, 0, "100 %")],
)
def test_shares(part: int, whole: int, text: str) -> None:
    """S0-6, S0-8: of nothing it is all."""
    assert percent_text(part, whole) == text


@pytest.mark.parametrize(
    ("what", "text"), [("bytes", "1.95 KB"), ("usd", "$0.002"), ("image", "2K"), ("tokens.forecast", "2K")]
)
def test_by_what_is_counted(what: str, text: str) -> None:
    """S0-8."""
    assert amount_text(what, 2000) == text
