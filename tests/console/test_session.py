"""Signing in and out, and what protects a session: its cookie, its forms, and the policy of every page."""

import time

import httpx
import pytest

from tests.api.service import Service
from tests.api.wire import Wire
from tests.console.conftest import Visitor, csrf_of
from tests.loopback import NO_TLS, caller


def test_who_is_not_signed_in_is_sent_to_the_sign_in_and_back(site: Service) -> None:
    with caller(site.url) as nobody:
        answer = nobody.get("/session/token?status=held")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/login?next=%2Fsession%2Ftoken%3Fstatus%3Dheld"
        page = nobody.get(answer.headers["location"])
        form = {
            "csrf": csrf_of(page.text),
            "org": "acme",
            "sub": "u_1",
            "role": "user",
            "next": "/session/token?status=held",
        }
        assert nobody.post("/login", data=form).headers["location"] == "/session/token?status=held"


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_the_sign_in_leads_to_no_other_site(site: Service, elsewhere: str) -> None:
    with caller(site.url) as nobody:
        form = {"csrf": csrf_of(nobody.get("/login").text), "org": "acme", "sub": "u", "role": "user"}
        assert nobody.post("/login", data={**form, "next": elsewhere}).headers["location"] == "/"


def test_the_sessions_cookie_is_closed_to_scripts_and_other_sites(site: Service) -> None:
    with caller(site.url) as nobody:
        form = {"csrf": csrf_of(nobody.get("/login").text), "org": "acme", "sub": "u", "role": "user", "next": "/"}
        cookie = nobody.post("/login", data=form).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


def test_a_changed_cookie_is_no_session(site: Service, visitor: Visitor) -> None:
    client = visitor()
    value = client.cookies["scrip_session"]
    client.cookies.set("scrip_session", ("A" if value[0] != "A" else "B") + value[1:], domain="127.0.0.1")
    with caller(site.url, cookies={"scrip_session": value[:-2] + "xx"}) as forged:
        assert forged.get("/session/token").status_code == 303


def test_signing_out_ends_the_session(visitor: Visitor) -> None:
    client = visitor()
    token = csrf_of(client.get("/").text)
    assert client.post("/logout", data={"csrf": token}).headers["location"] == "/login"
    assert client.get("/session/token").status_code == 303


@pytest.mark.parametrize("forged", [{}, {"csrf": "wrong"}])
def test_a_form_without_the_sessions_token_changes_nothing(visitor: Visitor, forged: dict[str, str]) -> None:
    client = visitor()
    assert client.post("/logout", data=forged).status_code == 403
    assert client.get("/session/token").status_code == 200


def test_a_form_from_another_site_changes_nothing_even_with_the_token(visitor: Visitor) -> None:
    client = visitor()
    token = csrf_of(client.get("/").text)
    answer = client.post("/logout", data={"csrf": token}, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


@pytest.mark.parametrize("path", ["/login", "/", "/no-such-page"])
def test_pages_allow_nothing_inline_and_no_frame(visitor: Visitor, path: str) -> None:
    answer = visitor().get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a b", "", "x" * 256])
def test_a_name_that_is_no_id_is_refused_and_escaped(site: Service, name: str) -> None:
    with caller(site.url) as nobody:
        form = {"csrf": csrf_of(nobody.get("/login").text), "org": "acme", "sub": name, "role": "user"}
        answer = nobody.post("/login", data=form)
        assert answer.status_code == 422
        assert "<script>alert" not in answer.text


def test_the_browsers_token_is_short_lived_and_acts_as_the_person(site: Service, visitor: Visitor) -> None:
    given = visitor(sub="u_7").get("/session/token").json()
    assert (given["sub"], given["role"], given["org"]) == ("u_7", "user", "acme")
    with httpx.Client(
        verify=NO_TLS, base_url=site.url, headers={"Authorization": f"Bearer {given['token']}"}
    ) as browser:
        assert browser.get("/api/auth/me").json()["user"] == {"id": "u_7", "org": "acme", "role": "user"}


def test_only_an_admin_of_the_platform_looks_at_other_organisations(visitor: Visitor) -> None:
    boss = visitor("org_admin", "boss")
    token = csrf_of(boss.get("/").text)
    assert boss.post("/session/organisation", data={"csrf": token, "organisation": "other"}).status_code == 403
    root = visitor("admin", "root")
    root.post("/session/organisation", data={"csrf": csrf_of(root.get("/").text), "organisation": "other"})
    assert root.get("/session/token").json()["organisation"] == "other"


def test_the_api_answers_for_its_own_paths(site: Service) -> None:
    with caller(site.url) as nobody:
        assert nobody.get("/api/no-such-call").headers["content-type"] == "application/problem+json"
        assert nobody.get("/livez").status_code == 200


def test_static_files_are_kept_and_components_are_for_every_origin(site: Service) -> None:
    with caller(site.url) as nobody:
        page = nobody.get("/login").text
        sheet = page.split('rel="stylesheet" href="')[1].split('"')[0]
        assert "immutable" in nobody.get(sheet).headers["cache-control"]
        assert nobody.get("/static/../app.py").status_code == 404
        assert nobody.get("/components/client.js").headers["access-control-allow-origin"] == "*"


def test_a_page_without_the_method_names_those_that_it_has(site: Service) -> None:
    with caller(site.url) as nobody:
        answer = nobody.delete("/login")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")
        assert nobody.head("/login").status_code == 200


def test_a_form_that_is_cut_does_nothing(site: Service) -> None:
    """It ends with its connection, and is no failure of ours."""
    form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 99\r\n\r\ncsrf="
    with Wire(site) as wire:
        wire.send(f"POST /login HTTP/1.1\r\nHost: localhost\r\n{form}".encode())
        wire.end()
        assert wire.answer() is None
    deadline = time.monotonic() + 10
    while 'status="400"' not in (metrics := httpx.get(f"{site.url}/metrics").text):
        assert time.monotonic() < deadline, metrics
    assert 'status="500"' not in metrics


def test_an_empty_token_without_a_session_signs_nobody_in(site: Service) -> None:
    with caller(site.url) as nobody:
        form = {"csrf": "", "org": "acme", "sub": "u", "role": "admin"}
        assert nobody.post("/login", data=form).status_code == 403
        assert nobody.post("/login", data={**form, "csrf": csrf_of(nobody.get("/login").text)}).status_code == 303
