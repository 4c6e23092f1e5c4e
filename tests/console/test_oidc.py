"""Signing in through OpenID Connect against an issuer on this machine."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from tests.api.service import Service, settings_of
from tests.conftest import Database
from tests.console.conftest import with_console
from tests.console.issuer import CLIENT, SECRET, Issuer, issuing
from tests.loopback import caller


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as made:
        yield made


@pytest.fixture(scope="module")
def site(module_database: Database, issuer: Issuer) -> Iterator[Service]:
    settings = settings_of(
        module_database,
        session_secret=SecretStr("the key of cookies, at least 32 bytes"),
        oidc_issuer=issuer.url,
        oidc_client_id=CLIENT,
        oidc_client_secret=SecretStr(SECRET),
        jwks_url=f"{issuer.url}/keys",
        jwt_issuer=issuer.url,
        jwt_audience=CLIENT,
    )
    with with_console(module_database, settings) as made:
        yield made


@pytest.fixture(autouse=True)
def honest(issuer: Issuer) -> None:
    issuer.person = {"sub": "u_9", "org": "acme", "role": "user"}
    issuer.spoil = {}


def arrive(client: httpx.Client, after: str = "/session/token") -> httpx.Response:
    """From the sign-in's button over the issuer back to the console."""
    answer = client.get("/login/oidc", params={"next": after})
    assert answer.status_code == 302, answer.text
    back = client.get(answer.headers["location"])
    return client.get(back.headers["location"])


def test_a_person_signs_in_and_the_api_takes_the_issuers_token(site: Service) -> None:
    with caller(site.url) as client:
        assert "Sign in with your organisation" in client.get("/login").text
        assert arrive(client).headers["location"] == "/session/token"
        given = client.get("/session/token").json()
        assert (given["sub"], given["org"], given["role"]) == ("u_9", "acme", "user")
        me = client.get("/api/auth/me", headers={"Authorization": f"Bearer {given['token']}"})
        assert me.json()["user"] == {"id": "u_9", "org": "acme", "role": "user"}


def test_nobody_signs_in_by_name(site: Service) -> None:
    with caller(site.url) as client:
        page = client.get("/login").text
        assert 'name="sub"' not in page
        assert client.post("/login", data={"org": "acme", "sub": "u", "role": "admin"}).status_code == 403


def test_it_leads_to_no_other_site(site: Service) -> None:
    with caller(site.url) as client:
        assert arrive(client, "https://evil.example/").headers["location"] == "/"


@pytest.mark.parametrize(
    "spoiled",
    [{"nonce": "another"}, {"aud": "another"}, {"iss": "https://another.example"}, {"exp": 1}],
    ids=["nonce", "audience", "issuer", "expired"],
)
def test_a_token_for_something_else_is_refused(site: Service, issuer: Issuer, spoiled: dict[str, Any]) -> None:
    issuer.spoil = spoiled
    with caller(site.url) as client:
        answer = arrive(client)
        assert answer.status_code == 403
        assert "did not succeed" in answer.text
        assert client.get("/session/token").status_code == 303


def test_an_answer_to_nobodys_question_is_refused(site: Service) -> None:
    with caller(site.url) as client:
        assert client.get("/login/callback", params={"code": "c", "state": "s"}).status_code == 403


@pytest.mark.parametrize(
    "person", [{"sub": "u"}, {"sub": "u", "org": "acme"}, {"sub": "u", "org": "acme", "role": "king"}]
)
def test_an_account_without_organisation_or_role_is_told_whom_to_ask(
    site: Service, issuer: Issuer, person: dict[str, str]
) -> None:
    issuer.person = person
    with caller(site.url) as client:
        answer = arrive(client)
        assert answer.status_code == 403
        assert "no organisation or role" in answer.text


@pytest.mark.parametrize(
    ("person", "status"),
    [
        ({"role": ["offline_access", "org_admin"]}, 303),  # a list of roles, as Entra ID and Keycloak send it
        ({"role": ["offline_access"]}, 403),
        ({"role": None}, 403),
        ({"org": ".."}, 403),
    ],
)
def test_the_api_decides_who_a_person_is(site: Service, issuer: Issuer, person: dict[str, Any], status: int) -> None:
    issuer.person |= person
    with caller(site.url) as client:
        arrived = arrive(client)
        assert arrived.status_code == status
        if status == 303:
            assert client.get("/session/token").json()["role"] == "org_admin"
        else:
            assert "no organisation or role in Scrip" in arrived.text
