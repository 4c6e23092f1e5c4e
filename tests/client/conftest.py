"""One running API for each test module, the fake server, and clients of both."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from scrip_client import testing

from domain.prices.publish import PublishPrices
from infra.partitions import PLATFORM
from infra.writer.submission import Submission
from tests.api.service import Service, running
from tests.client.places import PRICES, Fake, Opened, Place, Real
from tests.conftest import Database


@pytest.fixture(scope="package", autouse=True)
def _engine() -> Iterator[None]:
    """The child process of all fake servers ends with the last test."""
    yield
    testing.close()


@pytest.fixture(scope="module")
def service(module_database: Database) -> Iterator[Service]:
    """An API with prices."""
    with running(module_database) as made:
        first = PublishPrices(entries=PRICES, first=True)
        prices = Submission(org=PLATFORM, command=first, actor="bootstrap", caller="bootstrap", key="prices:1")
        made.writer.submit([prices]).result(20)
        yield made


@pytest.fixture(scope="module", params=["fake", "real"])
def place(request: pytest.FixtureRequest) -> Place:
    """Each of the two servers."""
    return Fake() if request.param == "fake" else Real(request.getfixturevalue("service"))


@pytest.fixture(params=["async", "blocking"])
def form(request: pytest.FixtureRequest) -> str:
    """Each of the two clients."""
    return str(request.param)


@pytest.fixture
def scrip(place: Place, form: str) -> Iterator[Any]:
    """A worker's client."""
    with Opened(form, **place.arguments()) as opened:
        yield opened


@pytest.fixture
def admin(place: Place, form: str) -> Iterator[Any]:
    """An org_admin's client."""
    with Opened(form, **place.arguments("org_admin", "boss")) as opened:
        yield opened


@pytest.fixture
def user() -> str:
    """A user that nobody has seen."""
    return f"u{secrets.token_hex(5)}"
