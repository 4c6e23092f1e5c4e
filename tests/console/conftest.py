"""The API with its console over a real database, and visitors who sign in as a person would."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
from pydantic import SecretStr

from cli.api_role import console_of
from domain.prices.catalogue import CATALOGUE
from domain.prices.publish import PublishPrices
from infra.partitions import PLATFORM
from infra.settings import Settings
from infra.writer.submission import Submission
from tests.api.service import ORG, Service, running, settings_of
from tests.conftest import Database
from tests.loopback import caller
from tests.waiting import patient

Visitor = Callable[..., httpx.Client]
CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@pytest.fixture(scope="module")
def site(module_database: Database) -> Iterator[Service]:
    """A running API with the catalogue's prices and the console at `/`."""
    settings = settings_of(
        module_database,
        session_secret=SecretStr("the key of cookies, at least 32 bytes"),
        development_login=True,
        payments="manual",
    )
    with with_console(module_database, settings) as made:
        first = PublishPrices(entries=CATALOGUE, first=True)
        prices = Submission(org=PLATFORM, command=first, actor="bootstrap", caller="bootstrap", key="prices:1")
        made.writer.submit([prices]).result(20)
        yield made


@pytest.fixture
def visitor(site: Service) -> Iterator[Visitor]:
    """`visitor(role, sub, org)` has signed in; `csrf_of(page)` reads a form's token."""
    opened: list[httpx.Client] = []

    def sign_in(role: str = "user", sub: str = "u_1", org: str = ORG) -> httpx.Client:
        client = caller(site.url, timeout=patient(20))
        opened.append(client)
        token = csrf_of(client.get("/login").text)
        answer = client.post("/login", data={"csrf": token, "org": org, "sub": sub, "role": role, "next": "/"})
        assert answer.status_code == 303, answer.text
        return client

    yield sign_in
    for client in opened:
        client.close()


@contextmanager
def with_console(database: Database, settings: Settings) -> Iterator[Service]:
    """A running API with its console at `/`."""
    with running(database, settings, pages=console_of(settings)) as made:
        yield made


def csrf_of(page: str) -> str:
    """The token against forged requests in a page's first form."""
    found = CSRF.search(page)
    assert found is not None, "the page has no form"
    return found[1]
