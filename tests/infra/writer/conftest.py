"""A running writer on a fresh database."""

from collections.abc import Iterator

import pytest

from infra.writer.writer import Writer
from tests.conftest import Database


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    """A writer with the writer's own login."""
    with Writer(database.writer_uri) as running:
        yield running
