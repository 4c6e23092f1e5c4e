"""Requests in a person's name that the person did not send: login and logout CSRF, kept, planted and stolen cookies."""

import re
from collections.abc import Iterator

import httpx
import pytest
from pydantic import SecretStr

from console.catalogue import ALL_PAGES
from tests.api.service import Service, settings_of
from tests.conftest import Database
from tests.console.conftest import Visitor, csrf_of, with_console
from tests.loopback import caller

PERSON = {"org": "acme", "sub": "u_1", "role": "user"}
POSTS = sorted({re.sub(r"\{[^}]*\}", "x", page.path) for page in ALL_PAGES if page.method == "POST"} | {"/logout"})
GETS = sorted({re.sub(r"\{[^}]*\}", "x", page.path) for page in ALL_PAGES if page.method == "GET"})


def cookies(client: httpx.Client) -> dict[str, str]:
    return dict(client.cookies)


def test_every_form_wants_the_token_of_its_own_session(site: Service, visitor: Visitor) -> None:
    mine, others = visitor("admin", "root"), visitor("admin", "mallory")
    stolen = csrf_of(others.get("/").text)
    of_sign_in = csrf_of(httpx.get(f"{site.url}/login").text)
    assert len(POSTS) > 15
    every = [{}, {"csrf": ""}, {"csrf": stolen}, {"csrf": of_sign_in}, {"csrf": "é"}]
    for path in POSTS:
        for token in every if path in {"/logout", "/session/organisation"} else [{"csrf": ""}]:
            assert mine.post(path, data=token).status_code == 403, (path, token)
        assert mine.post(path, headers={"X-CSRF-Token": stolen}).status_code == 403, path
    assert mine.get("/session/token").json()["sub"] == "root"


@pytest.mark.parametrize("kept", [{}, {"scrip_login": "x"}, {"scrip_login": ""}])
@pytest.mark.parametrize("token", [{}, {"csrf": ""}, {"csrf": "x"}])
def test_nobody_is_signed_in_without_the_sign_ins_own_cookie_and_token(
    site: Service, kept: dict[str, str], token: dict[str, str]
) -> None:
    with caller(site.url, cookies=kept) as nobody:
        answer = nobody.post("/login", data=PERSON | token)
        assert answer.status_code == 403
        assert "scrip_session" not in nobody.cookies
    with caller(site.url, cookies=kept) as nobody:
        nobody.get("/login")
        assert nobody.post("/login", data=PERSON | token).status_code == 403


def test_a_sign_in_of_another_browser_does_not_fit(site: Service) -> None:
    """Login CSRF: the attacker's cookie and token fit each other, but the victim's browser has its own cookie."""
    with (
        caller(site.url) as attacker,
        caller(site.url) as victim,
    ):
        token = csrf_of(attacker.get("/login").text)
        victim.get("/login")
        assert victim.post("/login", data=PERSON | {"csrf": token}).status_code == 403
        assert attacker.post("/login", data=PERSON | {"csrf": token}).status_code == 303
        assert attacker.post("/login", data=PERSON | {"csrf": token}).status_code == 403, "a token is good once"


def test_a_kept_cookie_opens_no_page_after_signing_out(site: Service, visitor: Visitor) -> None:
    client = visitor("admin", "leaver")
    kept, token = cookies(client), csrf_of(client.get("/").text)
    with caller(site.url, cookies=kept) as other_browser:
        assert other_browser.get("/session/token").status_code == 200
        assert client.post("/logout", data={"csrf": token}).status_code == 303
        for path in GETS:
            answer = other_browser.get(path)
            assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/login"), path
        for path in POSTS:
            assert other_browser.post(path, data={"csrf": token}).status_code == 303, path


def test_signing_in_again_in_another_role_ends_the_session_before(site: Service) -> None:
    with caller(site.url) as client:
        for role in ("admin", "user"):
            page = httpx.get(f"{site.url}/login")
            kept = dict(page.cookies) | ({"scrip_session": client.cookies["scrip_session"]} if role == "user" else {})
            form = PERSON | {"role": role, "csrf": csrf_of(page.text)}
            answer = httpx.post(f"{site.url}/login", data=form, cookies=kept)
            before = client.cookies.get("scrip_session")
            client.cookies.set("scrip_session", answer.cookies["scrip_session"])
        assert before is not None
        assert httpx.get(f"{site.url}/session/token", cookies={"scrip_session": before}).status_code == 303
        assert client.get("/session/token").json()["role"] == "user"


def test_a_planted_session_is_not_taken_over(site: Service) -> None:
    """Fixation: whatever id the browser had, the sign-in makes a new one."""
    planted = "A" * 43
    with caller(site.url, cookies={"scrip_session": planted}) as victim:
        form = PERSON | {"csrf": csrf_of(victim.get("/login").text)}
        made = victim.post("/login", data=form).cookies["scrip_session"]
    assert made != planted
    assert httpx.get(f"{site.url}/session/token", cookies={"scrip_session": planted}).status_code == 303


@pytest.fixture(scope="module")
def secure(module_database: Database) -> Iterator[Service]:
    settings = settings_of(
        module_database,
        session_secret=SecretStr("the key of cookies, at least 32 bytes"),
        development_login=True,
        https=True,
    )
    with with_console(module_database, settings) as made:
        yield made


def test_over_https_no_neighbour_can_plant_a_cookie(secure: Service) -> None:
    """`__Host-`: a browser takes it from this very host over TLS alone, for all paths, and from no sibling domain."""
    page = httpx.get(f"{secure.url}/login")
    sign_in = page.headers["set-cookie"]
    form = PERSON | {"csrf": csrf_of(page.text)}
    answer = httpx.post(f"{secure.url}/login", data=form, headers={"Cookie": sign_in.partition(";")[0]})
    assert answer.status_code == 303
    session = next(each for each in answer.headers.get_list("set-cookie") if "session" in each.partition("=")[0])
    for name, cookie in (("__Host-scrip_login", sign_in), ("__Host-scrip_session", session)):
        assert cookie.startswith(f"{name}=")
        flags = {each.strip().lower() for each in cookie.split(";")[1:]}
        assert {"secure", "httponly", "samesite=lax", "path=/"} <= flags
        assert not any(flag.startswith("domain") for flag in flags)
    kept = session.partition(";")[0]
    assert httpx.get(f"{secure.url}/session/token", headers={"Cookie": kept}).status_code == 200
    bare = kept.removeprefix("__Host-")
    assert httpx.get(f"{secure.url}/session/token", headers={"Cookie": bare}).status_code == 303
    left = httpx.post(
        f"{secure.url}/logout",
        data={"csrf": csrf_of(httpx.get(f"{secure.url}/", headers={"Cookie": kept}).text)},
        headers={"Cookie": kept},
    )
    assert "__Host-scrip_session=" in left.headers["set-cookie"]
    assert httpx.get(f"{secure.url}/session/token", headers={"Cookie": kept}).status_code == 303
