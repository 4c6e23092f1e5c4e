"""A running writer on a fresh database; and cold writers and readers on one that a module shares, with pots."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from domain.registry import SCRIP
from infra.embedded import EmbeddedServers
from infra.writer.writer import Writer
from tests.conftest import Database, copy_of
from tests.infra.writer.asking import Asking, NewAsking
from tests.infra.writer.ledger_kit import check_log
from tests.infra.writer.pots import POTS, NewWriter


@pytest.fixture
def database(servers: EmbeddedServers, bare_template: str) -> Iterator[Database]:
    """A fresh database for each test; what the writer does needs no read models."""
    yield from copy_of(servers, bare_template)


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    """A writer with the writer's own login."""
    with Writer(database.writer_uri, SCRIP) as running:
        yield running


@pytest.fixture
def cold(module_database: Database) -> Iterator[NewWriter]:
    """Makes writers that have read nothing yet and know pots, and checks the log at the end."""
    started: list[Writer] = []

    def start() -> Writer:
        writer = Writer(module_database.writer_uri, POTS)
        writer.start()
        started.append(writer)
        return writer

    yield start
    for writer in started:
        writer.stop()
    check_log(module_database.owner_uri)


@pytest.fixture
def asking(module_database: Database) -> Iterator[NewAsking]:
    """Makes readers that have read nothing yet and know pots."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(Asking(module_database.writer_uri, POTS))


@pytest.fixture
def org(request: pytest.FixtureRequest) -> str:
    """Each test has an organisation of its own in the one database."""
    name: str = request.node.name
    return name.replace("[", ".").replace("]", "")
