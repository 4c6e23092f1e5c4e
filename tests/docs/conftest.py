"""One service for all pages, and for other files."""

from tests.cli.shared import up

__all__ = ["up"]
