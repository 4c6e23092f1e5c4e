"""Whoever guesses logins is slowed by address, and nobody else is."""

from collections.abc import Callable, Iterator

import httpx
import pytest
from pydantic import SecretStr

from infra.security.rates import MAX_COUNTS, WHOLE_ADDRESS, WINDOW_S, FailedLogins, network_of
from infra.webhooks.signature import new_secret
from tests.api.service import Service, settings_of
from tests.conftest import Database
from tests.console.conftest import csrf_of, with_console

ME = "/api/auth/me"
LIMIT = 3
PAYMENT = "/api/v1/payments/signed/webhook"
From = Callable[..., httpx.Client]


@pytest.fixture(scope="module")
def guarded(module_database: Database) -> Iterator[Service]:
    settings = settings_of(
        module_database,
        failed_logins=LIMIT,
        session_secret=SecretStr("the key of cookies, at least 32 bytes"),
        development_login=True,
        payments="signed",
        payments_secret=SecretStr(new_secret()),
        payments_checkout_url="https://pay.example/{purchase_id}",
    )
    with with_console(module_database, settings) as service:
        yield service


@pytest.fixture
def caller(guarded: Service) -> Iterator[From]:
    """`caller(address, login)` is a client at an address of its own."""
    opened: list[httpx.Client] = []

    def at(address: str, login: str = "") -> httpx.Client:
        transport = httpx.HTTPTransport(local_address=address)
        headers = {"Authorization": f"Bearer {login}"} if login else {}
        opened.append(httpx.Client(base_url=guarded.url, transport=transport, headers=headers))
        return opened[-1]

    yield at
    for client in opened:
        client.close()


def new_key(service: Service, name: str) -> str:
    made = service.client().post("/api/v1/api-keys", json={"name": name, "role": "worker"})
    assert made.status_code == 201, made.text
    return str(made.json()["key"])


def statuses(client: httpx.Client, times: int, path: str = ME, method: str = "GET", **given: object) -> list[int]:
    return [client.request(method, path, **given).status_code for _ in range(times)]  # type: ignore[arg-type]


def test_a_key_that_is_guessed_is_slowed_and_another_key_is_not(guarded: Service, caller: From) -> None:
    key = new_key(guarded, "k")
    wrong = caller("127.0.0.2", key[:-1] + ("0" if key[-1] != "0" else "1"))
    assert statuses(wrong, LIMIT) == [401] * LIMIT
    refused = wrong.get(ME)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_failed_logins")
    assert 1 <= int(refused.headers["retry-after"]) <= WINDOW_S
    assert refused.json()["retry_after_seconds"] == int(refused.headers["retry-after"])
    spaced = caller("127.0.0.2")
    assert spaced.get(ME, headers={"Authorization": f"BEARER   {key[:-2]}"}).status_code == 429
    assert caller("127.0.0.2", key).get(ME).status_code == 429, "also a right guess waits"
    assert caller("127.0.0.2", new_key(guarded, "other")).get(ME).status_code == 200
    assert caller("127.0.0.3", key).get(ME).status_code == 200


def test_an_address_that_tries_many_keys_waits_and_its_good_callers_do_not(guarded: Service, caller: From) -> None:
    address = "127.0.0.4"
    known, unseen = new_key(guarded, "known"), new_key(guarded, "unseen")
    good = caller(address, known)
    assert good.get(ME).status_code == 200
    for number in range(LIMIT * WHOLE_ADDRESS):
        assert caller(address, f"scrip_{number}_x").get(ME).status_code == 401
    assert caller(address, "scrip_another_x").get(ME).status_code == 429
    assert caller(address, unseen).get(ME).status_code == 429
    guarded.services.authenticator._known[f"Bearer {known}".encode()] = (
        guarded.services.authenticator._known[f"Bearer {known}".encode()][0],
        0.0,  # known long ago
    )
    assert good.get(ME).status_code == 200
    assert caller(address, guarded.token("user", "u_9")).get(ME).status_code == 200, "a token that is good is no guess"
    assert caller("127.0.0.5", unseen).get(ME).status_code == 200


@pytest.mark.parametrize(
    ("address", "login", "path", "method"),
    [
        ("127.0.1.1", "e30.e30.e30", ME, "GET"),
        ("127.0.1.2", "", "/api/v1/stream?ticket=guessed", "GET"),
        ("127.0.1.3", "", PAYMENT, "POST"),
    ],
)
def test_tokens_tickets_and_signatures_count_for_the_address(
    caller: From, address: str, login: str, path: str, method: str
) -> None:
    client = caller(address, login)
    assert statuses(client, LIMIT * WHOLE_ADDRESS, path, method) == [401] * (LIMIT * WHOLE_ADDRESS)
    assert client.request(method, path).status_code == 429


def test_no_login_and_one_that_has_ended_are_no_guesses(guarded: Service, caller: From) -> None:
    times = LIMIT * WHOLE_ADDRESS + 1
    assert statuses(caller("127.0.1.4"), times) == [401] * times
    assert statuses(caller("127.0.1.4", guarded.token(ttl_s=-600)), times) == [401] * times


def test_sign_ins_and_cookies_that_are_made_up_are_slowed(guarded: Service, caller: From) -> None:
    client = caller("127.0.1.5")
    signed_in = caller("127.0.1.5")
    form = {"csrf": csrf_of(signed_in.get("/login").text), "org": "acme", "sub": "u", "role": "user"}
    assert signed_in.post("/login", data=form).status_code == 303
    times = LIMIT * WHOLE_ADDRESS // 2
    assert statuses(client, times, "/login", "POST", data=form) == [403] * times
    client.cookies.set("scrip_session", "A" * 43)
    assert statuses(client, LIMIT * WHOLE_ADDRESS - times, "/history") == [303] * (LIMIT * WHOLE_ADDRESS - times)
    assert client.get("/history").status_code == 429
    client.cookies.clear()
    refused = client.post("/login", data=form)
    assert (refused.status_code, "retry-after" in refused.headers) == (429, True)
    assert signed_in.get("/history").status_code == 200


def test_behind_a_trusted_proxy_all_have_one_address_and_nothing_is_counted(module_database: Database) -> None:
    from tests.api.service import running

    with running(module_database, settings_of(module_database, failed_logins=1, trusted_proxy=True)) as service:
        assert statuses(service.client(None, Authorization="Bearer scrip_a_b"), 9) == [401] * 9


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_minute_later_the_count_begins_anew() -> None:
    clock = Clock()
    counts = FailedLogins(2, clock)
    for _ in range(2):
        counts.failed("10.0.0.1", "k")
    assert counts.wait_s("10.0.0.1", "k") == WINDOW_S
    clock.now = WINDOW_S - 0.5
    assert counts.wait_s("10.0.0.1", "k") == 1
    clock.now = WINDOW_S
    assert counts.wait_s("10.0.0.1", "k") == 0


def test_the_memory_is_bounded_whoever_tries_whatever() -> None:
    counts = FailedLogins(2)
    for number in range(MAX_COUNTS):
        counts.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", f"{number}" * 100)
    assert len(counts) == MAX_COUNTS
    assert all(len(key) <= 64 for _, key in counts._counts)


def test_one_callers_addresses_of_ipv6_are_one() -> None:
    assert network_of("2001:db8:1:2::1") == network_of("2001:db8:1:2:ffff::9%eth0") != network_of("2001:db8:1:3::1")
    assert network_of("::ffff:10.0.0.1") == "10.0.0.1"
    assert network_of("not an address") == "not an address"
