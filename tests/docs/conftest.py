"""One service for all pages."""

from collections.abc import Iterator

import pytest

from tests.cli.running import Up


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """`scrip up` on a folder of its own."""
    service = Up(tmp_path_factory.mktemp("documented") / "data")
    try:
        yield service.await_ready()
    finally:
        service.terminate()
