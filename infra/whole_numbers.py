"""Whole numbers of any size out of PostgreSQL.

A sum over many rows may have more than 64 bits, and PostgreSQL then says it in `numeric`, which psycopg reads as a
Decimal. What is counted here is whole, and JSON knows no Decimal.
"""

from decimal import Decimal

from psycopg.abc import Buffer
from psycopg.adapt import Loader


class WholeLoader(Loader):
    """Reads a `numeric` in text format: as an int where it is whole, else as a Decimal."""

    def load(self, data: Buffer) -> int | Decimal:
        """`data` is PostgreSQL's text, for example `12` or `0.5`."""
        text = bytes(data).decode()
        return int(text) if text.lstrip("-").isdigit() else Decimal(text)
