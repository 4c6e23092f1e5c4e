"""Sessions on the server: a small cookie for any token, refresh, ends that are explained, several processes."""

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from threading import Barrier
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from infra.settings import Settings
from tests.api.service import Service, settings_of
from tests.conftest import Database
from tests.console.conftest import csrf_of, with_console
from tests.console.issuer import CLIENT, SECRET, Issuer, issuing
from tests.console.test_oidc import arrive
from tests.loopback import caller
from tests.waiting import patient

PERSON = {"sub": "u_9", "org": "acme", "role": "user"}
FORMER = (  # as the console wrote it before: the whole session, signed
    "eyJwZXJzb24iOnsib3JnIjoiYWNtZSIsInN1YiI6InVfOSIsInJvbGUiOiJ1c2VyIiwidG9rZW4iOiJ0IiwiY3NyZiI6ImMiLCJleHBpcmVzX2F0Ij"
    "o0MTAyNDQ0ODAwfX0=.aSBtYWRl.c2lnbmF0dXJl"
)


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as made:
        yield made


@pytest.fixture(scope="module")
def settings(module_database: Database, issuer: Issuer) -> Settings:
    return settings_of(
        module_database,
        session_secret=SecretStr("the key of cookies, at least 32 bytes"),
        oidc_issuer=issuer.url,
        oidc_client_id=CLIENT,
        oidc_client_secret=SecretStr(SECRET),
        oidc_scopes="openid profile offline_access",
        jwks_url=f"{issuer.url}/keys",
        jwt_issuer=issuer.url,
        jwt_audience=CLIENT,
    )


@pytest.fixture(scope="module")
def site(module_database: Database, settings: Settings) -> Iterator[Service]:
    with with_console(module_database, settings) as made:
        yield made


@pytest.fixture(scope="module")
def other(module_database: Database, settings: Settings, site: Service) -> Iterator[Service]:
    """Another process of the same API: it has nothing in its memory of what the first one did."""
    with with_console(module_database, settings) as made:
        yield made


@pytest.fixture(autouse=True)
def honest(issuer: Issuer) -> None:
    issuer.person, issuer.spoil, issuer.refuses = dict(PERSON), {}, ""
    issuer.refreshes, issuer.refreshing_s = 0, 0.0
    issuer.signed_out.clear()


@pytest.fixture
def client(site: Service) -> Iterator[httpx.Client]:
    with caller(site.url, timeout=patient(20)) as made:
        assert arrive(made).status_code == 303
        yield made


def with_cookie(site: Service, value: str) -> httpx.Client:
    return caller(site.url, timeout=patient(20), cookies={"scrip_session": value})


def cookie(client: httpx.Client) -> str:
    return client.cookies["scrip_session"]


def change(database: Database, client: httpx.Client, what: str) -> None:
    """Move the session's times, in place of waiting."""
    with psycopg.connect(database.writer_uri, autocommit=True) as connection:
        moved = connection.execute(
            f"update console_sessions set {what} where hash = %s",  # type: ignore[arg-type, unused-ignore]
            (sha256(cookie(client).encode()).digest(),),
        )
        assert moved.rowcount == 1


DUE = "refresh_at = clock_timestamp() - interval '1 second'"
OVER = "token_ends_at = clock_timestamp() - interval '1 second'"


def token(client: httpx.Client) -> str:
    answer = client.get("/session/token")
    assert answer.status_code == 200, answer.headers
    return str(answer.json()["token"])


def signed_out_because(answer: httpx.Response) -> tuple[str, str]:
    """Why, and where the person goes after the next sign-in."""
    assert answer.status_code == 303
    to = urlsplit(answer.headers["location"])
    assert to.path == "/login"
    query = parse_qs(to.query)
    return query.get("ended", [""])[0], query.get("next", ["/"])[0]


@pytest.mark.parametrize("groups", [120, 200])
def test_a_token_with_many_groups_leaves_the_cookies_small(site: Service, issuer: Issuer, groups: int) -> None:
    issuer.person |= {"groups": [str(uuid.uuid4()) for _ in range(groups)]}
    with caller(site.url) as client:
        arrived = arrive(client)
        assert (arrived.status_code, arrived.headers["location"]) == (303, "/session/token")
        session = next(made for made in arrived.headers.get_list("set-cookie") if made.startswith("scrip_session="))
        assert len(session) < 200
        assert len(token(client)) > 6_000
        assert max(len(value) for value in client.cookies.values()) < 1_000


def test_a_page_far_down_a_long_address_does_not_fill_the_cookie_of_the_sign_in(site: Service) -> None:
    with caller(site.url) as client:
        answer = client.get("/login/oidc", params={"next": f"/support?q={'x' * 5_000}"})
        assert answer.status_code == 302
        assert all(len(made) < 4_000 for made in answer.headers.get_list("set-cookie"))


def test_the_database_keeps_neither_the_cookie_nor_a_token(site: Service, client: httpx.Client) -> None:
    given = token(client)
    with psycopg.connect(site.database.writer_uri) as connection:
        rows = b"".join(
            bytes(part)
            for row in connection.execute("select hash, credentials, coalesce(kept, '') from console_sessions")
            for part in row
        )
    assert cookie(client).encode() not in rows
    assert given.encode()[:40] not in rows
    assert b"u_9" not in rows


@pytest.mark.parametrize(
    "value", ["", "x", "A" * 43, FORMER, "x" * 4_000], ids=["empty", "short", "unknown", "former", "long"]
)
def test_a_cookie_that_names_no_session_leads_to_the_sign_in(site: Service, value: str) -> None:
    with with_cookie(site, value) as client:
        assert signed_out_because(client.get("/session/token")) == ("", "/session/token")
        assert client.get("/login").status_code == 200
        assert arrive(client).headers["location"] == "/session/token"


def test_an_altered_cookie_is_no_session(site: Service, client: httpx.Client) -> None:
    value = cookie(client)
    with with_cookie(site, value[:-1] + ("A" if value[-1] != "A" else "B")) as forged:
        assert forged.get("/session/token").status_code == 303
    token(client)


def test_another_process_and_a_restarted_one_know_the_session(other: Service, client: httpx.Client) -> None:
    with with_cookie(other, cookie(client)) as elsewhere:
        assert token(elsewhere) == token(client)


def test_a_copy_of_the_cookie_is_useless_after_signing_out(
    site: Service, other: Service, issuer: Issuer, client: httpx.Client
) -> None:
    kept = cookie(client)
    page = client.post("/logout", data={"csrf": csrf_of(client.get("/").text)})
    assert page.status_code == 200
    assert "scrip_session" not in client.cookies
    for each in (site, other):
        with with_cookie(each, kept) as copy:
            assert copy.get("/session/token").status_code == 303
    address = page.text.split('href="' + issuer.url)[1].split('"')[0].replace("&amp;", "&")
    back = httpx.get(issuer.url + address)
    assert back.headers["location"].partition("?")[0] == f"{site.url}/login"
    (told,) = issuer.signed_out
    assert told["client_id"] == CLIENT
    assert told["id_token_hint"].count(".") == 2


def test_a_long_token_is_no_hint_at_sign_out(site: Service, issuer: Issuer) -> None:
    """Servers refuse addresses of more than a few thousand characters."""
    issuer.person |= {"groups": [str(uuid.uuid4()) for _ in range(120)]}
    with caller(site.url) as client:
        arrive(client)
        page = client.post("/logout", data={"csrf": csrf_of(client.get("/").text)})
        assert f"{issuer.url}/end?" in page.text
        assert "id_token_hint" not in page.text


def test_signing_in_again_ends_the_session_before(site: Service, client: httpx.Client) -> None:
    before = cookie(client)
    arrive(client)
    assert cookie(client) != before
    with with_cookie(site, before) as copy:
        assert copy.get("/session/token").status_code == 303


def test_a_token_is_refreshed_and_so_is_the_one_after_it(site: Service, issuer: Issuer, client: httpx.Client) -> None:
    seen = [token(client)]
    for count in (1, 2):  # the second needs the refresh token that the first one brought
        change(site.database, client, DUE)
        seen.append(token(client))
        assert issuer.refreshes == count
    assert len(set(seen)) == 3
    assert token(client) == seen[-1]
    assert issuer.refreshes == 2


@pytest.mark.parametrize("times", [DUE, f"{DUE}, {OVER}"], ids=["due", "over"])
def test_of_ten_requests_at_the_moment_of_a_refresh_one_refreshes(
    site: Service, other: Service, issuer: Issuer, client: httpx.Client, times: str
) -> None:
    old = token(client)
    change(site.database, client, times)
    issuer.refreshing_s = 0.3
    together = Barrier(10)

    def ask(number: int) -> str:
        with with_cookie((site, other)[number % 2], cookie(client)) as one:
            together.wait(patient(20))
            return token(one)

    with ThreadPoolExecutor(10) as threads:
        given = set(threads.map(ask, range(10)))
    assert issuer.refreshes == 1
    new = token(client)
    assert new != old
    assert given == {new} if OVER in times else given <= {old, new}
    assert issuer.refreshes == 1


def test_a_refused_refresh_ends_the_session_and_says_so_and_the_person_comes_back_to_the_page(
    site: Service, issuer: Issuer, client: httpx.Client
) -> None:
    change(site.database, client, DUE)
    issuer.refuses = "invalid_grant"
    answer = client.get("/?month=3")
    assert signed_out_because(answer) == ("refused", "/?month=3")
    page = client.get(answer.headers["location"]).text
    assert "You have been signed out because your organisation" in page
    assert "Sign in again" in page
    assert 'href="/login/oidc?next=/%3Fmonth%3D3"' in page
    assert arrive(client, "/?month=3").headers["location"] == "/?month=3"
    assert client.get("/?month=3").status_code == 200
    assert issuer.refreshes == 1


@pytest.mark.parametrize("error", ["away", "temporarily_unavailable", "invalid_client"])
def test_an_issuer_that_is_away_costs_nobody_the_session(
    site: Service, issuer: Issuer, client: httpx.Client, error: str
) -> None:
    issuer.refuses = error
    change(site.database, client, DUE)
    old = token(client)
    change(site.database, client, OVER)
    answer = client.get("/")
    assert answer.status_code == 503
    assert "sign-in service does not answer" in answer.text
    assert issuer.refreshes == 1  # and not at every page
    issuer.refuses = ""
    change(site.database, client, DUE)
    assert token(client) != old


@pytest.mark.parametrize("changed", [{"role": None}, {"sub": "u_10"}, {"org": "other"}])
def test_an_account_that_is_no_longer_the_same_is_signed_out(
    site: Service, issuer: Issuer, client: httpx.Client, changed: dict[str, Any]
) -> None:
    issuer.person |= changed
    change(site.database, client, DUE)
    assert signed_out_because(client.get("/")) == ("changed", "/")


def test_a_role_that_changed_counts_from_the_refresh_on(site: Service, issuer: Issuer, client: httpx.Client) -> None:
    issuer.person |= {"role": "org_admin"}
    change(site.database, client, DUE)
    assert client.get("/session/token").json()["role"] == "org_admin"


@pytest.mark.parametrize(
    ("times", "why"),
    [
        ("ends_at = clock_timestamp()", "idle"),
        ("ends_at = now(), last_at = now()", "age"),
        (f"{OVER}, refresh_at = null", "expired"),
    ],
)
def test_a_session_that_is_over_says_why(site: Service, client: httpx.Client, times: str, why: str) -> None:
    csrf = csrf_of(client.get("/").text)
    change(site.database, client, times)
    answer = client.get("/")
    assert signed_out_because(answer) == (why, "/")
    assert "You have been signed out because" in client.get(answer.headers["location"]).text
    form = client.post("/session/organisation", data={"csrf": csrf}, headers={"Referer": f"{site.url}/support?q=a"})
    assert signed_out_because(form) == (why, "/support?q=a")
    part = client.get("/", headers={"HX-Request": "true", "HX-Current-URL": f"{site.url}/usage"})
    assert part.headers["hx-redirect"] == f"/login?next=%2Fusage&ended={why}"
    foreign = client.post("/session/organisation", headers={"Referer": "https://evil.example/x"})
    assert signed_out_because(foreign) == (why, "/")


def test_use_moves_the_idle_end_and_never_beyond_the_last_one(site: Service, client: httpx.Client) -> None:
    change(site.database, client, "ends_at = clock_timestamp() + interval '1 minute'")
    token(client)
    left = "select extract(epoch from ends_at - clock_timestamp())::int, ends_at <= last_at from console_sessions"
    with psycopg.connect(site.database.writer_uri) as connection:
        hash_ = sha256(cookie(client).encode()).digest()
        seconds, within = connection.execute(left + " where hash = %s", (hash_,)).fetchone() or (0, False)
    assert 7_000 < seconds <= 7_200
    assert within


def test_a_browser_without_cookies_is_told_so(site: Service) -> None:
    with caller(site.url) as client:
        callback = client.get(client.get("/login/oidc").headers["location"]).headers["location"]
    with caller(site.url) as without:
        answer = without.get(callback)
        assert answer.status_code == 403
        assert "sent no cookie back" in answer.text


def test_a_browser_that_drops_the_sessions_cookie_is_told_so_and_not_sent_round(client: httpx.Client) -> None:
    del client.cookies["scrip_session"]
    answer = client.get("/")
    assert answer.status_code == 403
    assert "sent no cookie back" in answer.text


def test_a_token_that_has_ended_on_its_way_is_told_so_and_not_sent_round(site: Service, issuer: Issuer) -> None:
    for late_s in (5, 60):  # within what the API allows for clocks, and beyond it but within what the library allows
        issuer.spoil = {"exp": int(time.time()) - late_s}
        with caller(site.url) as client:
            answer = arrive(client)
            assert answer.status_code == 403
            assert "had expired when it arrived" in answer.text


def test_a_session_with_the_access_token_ends_when_that_one_does(module_database: Database, settings: Settings) -> None:
    """The issuer's access tokens last 300 s, its ID tokens 600 s."""
    with_access = settings.model_copy(update={"oidc_token": "access_token"})
    with with_console(module_database, with_access) as made, caller(made.url) as client:
        arrive(client)
        given = client.get("/session/token").json()
        assert 0 < given["expires_at"] - time.time() <= 300
        change(module_database, client, DUE)
        assert token(client) != given["token"]
