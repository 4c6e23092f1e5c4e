"""One running API for each test module."""

from collections.abc import Iterator

import pytest

from domain.prices.catalogue import CATALOGUE
from domain.prices.publish import PublishPrices
from infra.partitions import PLATFORM
from infra.writer.submission import Submission
from tests.api.service import Service, running
from tests.conftest import Database


@pytest.fixture(scope="module")
def service(module_database: Database) -> Iterator[Service]:
    """An API with the catalogue's prices."""
    with running(module_database) as made:
        first = PublishPrices(entries=CATALOGUE, first=True)
        prices = Submission(org=PLATFORM, command=first, actor="bootstrap", caller="bootstrap", key="prices:1")
        made.writer.submit([prices]).result(20)
        yield made
