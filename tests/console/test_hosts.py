"""DNS rebinding: under development sign-in a page of another site gets nothing, by whatever name it calls us."""

from collections.abc import Iterator

import httpx
import pytest
from pydantic import SecretStr

from tests.api.service import Service, settings_of
from tests.api.wire import Wire
from tests.conftest import Database
from tests.console.conftest import Visitor, csrf_of, with_console

SECRET = SecretStr("the key of cookies, at least 32 bytes")
PATHS = ["/login", "/", "/static/console.css", "/health", "/metrics", "/api/auth/me", "/api/v1/stream", "/nothing"]
FOREIGN = [
    "evil.example",
    "evil.example:8080",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "0.0.0.0",  # noqa: S104 - a name that a page may use
    "[::2]:80",
    "10.0.0.1",
    "localhost, evil.example",
    "evil.example#localhost",
    "",
    "2130706433",
]
OWN = ["localhost", "LOCALHOST:1", "localhost.", "127.0.0.1", "127.9.9.9:65000", "[::1]", "[::1]:8080"]


def status(site: Service, *lines: str, target: str = "/login", method: str = "GET") -> int:
    with Wire(site) as wire:
        wire.send("\r\n".join((f"{method} {target} HTTP/1.1", *lines, "Connection: close", "", "")).encode())
        answer = wire.answer()
        assert answer is not None
        return answer.status


@pytest.mark.parametrize("path", PATHS)
def test_another_name_gets_nothing_at_all(site: Service, path: str) -> None:
    assert status(site, "Host: evil.example", target=path) == 421


@pytest.mark.parametrize("host", FOREIGN)
def test_only_this_machines_names_are_served(site: Service, host: str) -> None:
    assert status(site, f"Host: {host}") in {400, 421}


@pytest.mark.parametrize("host", OWN)
def test_this_machines_names_are_served_with_any_port(site: Service, host: str) -> None:
    assert status(site, f"Host: {host}") == 200


def test_a_name_that_a_proxy_was_called_by_counts_too(site: Service) -> None:
    """A proxy that leads strangers here must not make them this machine's people."""
    assert status(site, "Host: localhost", "X-Forwarded-Host: evil.example") == 421
    assert status(site, "Host: evil.example", "X-Forwarded-Host: localhost") == 421
    assert status(site, "Host: localhost", "X-Forwarded-Host: 127.0.0.1") == 200


def test_a_whole_address_as_the_target_does_not_replace_the_host(site: Service) -> None:
    assert status(site, "Host: evil.example", target="http://localhost/login") == 421


def test_signing_in_under_another_name_begins_no_session(site: Service) -> None:
    with httpx.Client(base_url=site.url) as page:
        form = {"csrf": csrf_of(page.get("/login").text), "org": "acme", "sub": "u", "role": "admin"}
        answer = page.post("/login", data=form, headers={"Host": "evil.example"})
        assert answer.status_code == 421
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1"},
        {"Referer": "http://evil.example/page"},
        {"Sec-Fetch-Site": "none", "Origin": "http://evil.example"},
    ],
)
def test_a_form_of_another_site_changes_nothing_even_with_the_token(
    site: Service, visitor: Visitor, headers: dict[str, str]
) -> None:
    client = visitor("admin", "root")
    token = csrf_of(client.get("/").text)
    data = {"csrf": token, "organisation": "other"}
    assert client.post("/session/organisation", data=data, headers=headers).status_code == 403
    assert client.get("/session/token").json()["organisation"] == "acme"


@pytest.fixture(scope="module")
def named(module_database: Database) -> Iterator[Service]:
    """A console without development sign-in, at a name of its own."""
    settings = settings_of(module_database, session_secret=SECRET, allowed_hosts="scrip.example, other.example:443")
    with with_console(module_database, settings) as made:
        yield made


def test_a_production_console_answers_under_its_own_names(named: Service) -> None:
    assert status(named, "Host: scrip.example") == 200
    assert status(named, "Host: other.example:8443") == 200
    assert status(named, "Host: evil.example") == 421
    assert status(named, "Host: evil.example", target="/livez") == 200, "programs call the API by any name"
