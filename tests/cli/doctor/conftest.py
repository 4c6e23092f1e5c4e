"""The API that is examined."""

from tests.api.conftest import service

__all__ = ["service"]
