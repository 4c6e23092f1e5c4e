"""Signing in through OpenID Connect in a real browser, with a token that is larger than any cookie may be."""

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from playwright.sync_api import Browser, expect
from pydantic import SecretStr

from cli.service.service import Service
from tests.api.service import Service as Api
from tests.browser.conftest import PATIENCE_MS
from tests.conftest import Database
from tests.console.conftest import with_console
from tests.console.issuer import CLIENT, SECRET, Issuer, issuing


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as made:
        yield made


@pytest.fixture(scope="module")
def site(service: Service, issuer: Issuer) -> Iterator[Api]:
    """A second API on the running service's database, whose console signs people in at the issuer."""
    settings = service.settings.model_copy(
        update={
            "port": 0,
            "development_login": False,
            "oidc_issuer": issuer.url,
            "oidc_client_id": CLIENT,
            "oidc_client_secret": SecretStr(SECRET),
            "jwks_url": f"{issuer.url}/keys",
        }
    )
    logins = ("owner", "writer", "relay", "projector", "reader", "auditor")
    uris = {f"{login}_uri": getattr(settings, f"{login}_url").get_secret_value() for login in logins}
    with with_console(Database(**uris), settings) as made:
        yield made


def test_a_person_with_120_groups_signs_in_works_and_signs_out_everywhere(
    site: Api, issuer: Issuer, browser: Browser
) -> None:
    issuer.person = {"sub": "ann", "org": "acme", "role": "user", "groups": [str(uuid.uuid4()) for _ in range(120)]}
    with browser.new_context(base_url=site.url) as context:
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.goto("/history?status=held")
        page.get_by_role("link", name="Sign in with your organisation").click()
        page.wait_for_url("**/history?status=held")
        page.goto("/")
        expect(page.locator("body")).to_have_attribute("data-sub", "ann")
        kept = next(each for each in context.cookies() if each["name"] == "scrip_session")
        assert len(kept["value"]) == 43
        assert kept["httpOnly"]
        page.locator("details.who summary").click()
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/login")  # back from the issuer
        assert len(issuer.signed_out) == 1
        context.add_cookies([{"name": "scrip_session", "value": kept["value"], "url": site.url}])
        page.goto("/")
        page.get_by_role("link", name="Sign in with your organisation").wait_for()


def test_a_form_sent_after_the_sessions_end_leads_back_to_its_page(site: Api, issuer: Issuer, browser: Browser) -> None:
    issuer.person = {"sub": "root", "org": "acme", "role": "admin"}
    with browser.new_context(base_url=site.url) as context:
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.goto("/history?status=held")
        page.get_by_role("link", name="Sign in with your organisation").click()
        page.wait_for_url("**/history?status=held")
        with psycopg.connect(site.database.writer_uri, autocommit=True) as connection:
            connection.execute("update console_sessions set ends_at = clock_timestamp() where sub = 'root'")
        page.locator("#organisation").fill("globex")
        page.get_by_role("button", name="Switch").click()
        expect(page.get_by_role("alert")).to_contain_text("You have been signed out because you did not use")
        page.get_by_role("link", name="Sign in with your organisation").click()
        page.wait_for_url("**/history?status=held")
        expect(page.locator("#organisation")).to_have_value("acme")  # the form is not repeated
