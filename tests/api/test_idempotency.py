"""The same key and request get the first answer again; another request under the key is refused."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from api.app import DECLARED
from api.http.command import Command
from domain.plans.purchases import StartPurchase
from tests.api.generating import tell
from tests.api.service import Service, address


def granted(client: httpx.Client, account: str, amount: int = 1_000) -> str:
    answer = client.post(f"/api/v1/accounts/{account}/grants", json={"amount": amount, "source": "gift"})
    assert answer.status_code == 201
    return str(answer.json()["grant_id"])


Case = tuple[str, dict[str, Any], dict[str, Any]]


def grouping(client: httpx.Client, name: str) -> Case:
    """The same for groups."""
    group = client.post("/api/groups", json={"name": "g"}).json()["id"]
    users = {"group_id": group, "user_ids": ["u"]}
    others = {"group_id": group, "user_ids": ["v"]}
    cases: dict[str, Case] = {
        "create_group": ("/api/groups", {"name": "g"}, {"name": "h"}),
        "add_group_members": ("/api/group-members", users, others),
        "remove_group_members": ("/api/group-members/remove", users, others),
        "track_generation": (
            "/api/track-generation",
            {"user_id": "u", "type": "image"},
            {"user_id": "u", "type": "video"},
        ),
    }
    return cases[name]


def generation(client: httpx.Client, name: str, account: str) -> Case:
    """The same for what is done with a generation that `account` pays for."""
    path, asked = "/api/v1/generations", {"user_id": account.split(":")[1], "operation": "chat", "tokens": 10}
    granted(client, account.replace(":credits", ":tokens"))
    if name == "create_generation":
        return path, {**asked, "prompt": "a cat"}, {**asked, "prompt": "a dog"}
    path = f"{path}/{client.post(path, json=asked).json()['generation_id']}"
    if name == "refund_generation":
        assert client.post(path + "/confirm").status_code == 200
    cases: dict[str, Case] = {
        "start_generation": (path + "/start", {}, {}),
        "cancel_generation": (path + "/cancel", {}, {}),
        "extend_generation": (path + "/extend", {"ttl_seconds": 1_000, "grow": 1}, {"ttl_seconds": 2}),
        "confirm_generation": (path + "/confirm", {"content": {"url": "https://x", "bytes": 5}}, {}),
        "fail_generation": (path + "/fail", {"outcome": "other", "error_message": "no"}, {"outcome": "timed_out"}),
        "refund_generation": (path + "/refund", {"reason": "blurred", "amount": 5}, {"reason": "blurred"}),
    }
    return cases[name]


def owing(client: httpx.Client, account: str) -> Case:
    """The same for an account that owes 40 tokens: a chat took 100 where 60 were to be had."""
    tokens = account.replace(":credits", ":tokens")
    granted(client, tokens, 60)
    setting = "/api/v1/organisations/acme"
    assert client.patch(setting, json={"over_actual": "available"}).status_code == 200
    asked = {"user_id": account.split(":")[1], "operation": "chat"}
    made = client.post("/api/v1/generations", json=asked).json()["generation_id"]
    settled = client.post(f"/api/v1/generations/{made}/confirm", json={"actual": {"tokens": 100}})
    assert settled.json()["shortfall"] == {"tokens": 40}
    assert client.patch(setting, json={"over_actual": "refuse"}).status_code == 200
    return f"/api/v1/accounts/{tokens}/shortfall/write-off", {"amount": 40}, {"amount": 39}


def buying(service: Service, name: str) -> Case:
    """The same for a purchase on invoice."""
    purchase = f"p-{name}"
    tell(service, StartPurchase(purchase_id=purchase, user="u", provider="manual", package="credits_1000"))
    if name == "cancel_purchase":
        return f"/api/v1/purchases/{purchase}/cancel", {}, {}
    return f"/api/v1/purchases/{purchase}/paid", {"payment_ref": "transfer-1"}, {"payment_ref": "transfer-2"}


def accepted(service: Service, client: httpx.Client, name: str, account: str) -> Case:
    """For each operation: the path, a body that is accepted, and another body."""
    if name in {"mark_purchase_paid", "cancel_purchase"}:
        return buying(service, name)
    if name in {"create_group", "add_group_members", "remove_group_members", "track_generation"}:
        return grouping(client, name)
    if name.endswith("_generation"):
        return generation(client, name, account)
    if name == "write_off_shortfall":
        return owing(client, account)
    path = f"/api/v1/accounts/{account}"
    grant = granted(client, account)
    held = client.post(path + "/reservations", json={"amount": 10}).json()["reservation_id"]
    debit = client.post(path + "/debits", json={"amount": 10}).json()["debit_id"]
    cases: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
        "reserve_credits": (path + "/reservations", {"amount": 7, "reason": "because"}, {"amount": 8}),
        "capture_reservation": (f"{path}/reservations/{held}/capture", {"amount": 4}, {}),
        "release_reservation": (f"{path}/reservations/{held}/release", {}, {"reason": "x"}),
        "extend_reservation": (
            f"{path}/reservations/{held}/extend",
            {"ttl_seconds": 1_000, "grow": 1},
            {"ttl_seconds": 2},
        ),
        "debit_credits": (path + "/debits", {"amount": 3, "metadata": {"a": [1, None]}}, {"amount": 3}),
        "grant_credits": (path + "/grants", {"amount": 3, "source": "trial"}, {"amount": 3, "source": "gift"}),
        "void_grant": (f"{path}/grants/{grant}/void", {}, {"reason": "chargeback"}),
        "refund_debit": (f"{path}/debits/{debit}/refunds", {"amount": 4}, {"amount": 5}),
        "transfer_credits": (path + "/transfers", {"to": address(), "amount": 2}, {"to": address(), "amount": 2}),
        "use_my_credits": ("/api/credits/me", {"action": "reserve", "amount": 2}, {"action": "reserve", "amount": 3}),
    }
    return cases[name]


POSTS = [each.name for each in DECLARED if isinstance(each, Command) and each.method == "POST"]


@pytest.mark.parametrize("name", POSTS)
def test_a_repeat_gets_the_first_answer_and_another_request_is_refused(service: Service, name: str) -> None:
    client = service.client(sub=f"one-{name}")
    granted(client, f"user:one-{name}:credits")
    account = address()
    path, body, other = accepted(service, client, name, account)
    key = {"Idempotency-Key": f"k-{name}"}
    first = client.post(path, json=body, headers=key)
    assert first.status_code in {200, 201}, first.text
    assert "idempotency-replayed" not in first.headers
    before = client.get(f"/api/v1/accounts/{account}/balance").json()
    again = client.post(path, json=body, headers=key)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    # Where nothing can be said but the path, another request has another path.
    elsewhere = (
        path if other != body else path.rpartition("/")[0].rpartition("/")[0] + "/another/" + path.split("/")[-1]
    )
    reused = client.post(elsewhere, json=other, headers=key)
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    after = client.get(f"/api/v1/accounts/{account}/balance").json()
    assert {**after, "as_of": None, "position": None} == {**before, "as_of": None, "position": None}


def test_a_body_written_differently_is_the_same_request(service: Service) -> None:
    client, path = service.client(), f"/api/v1/accounts/{address()}/grants"
    key = {"Idempotency-Key": "spelling", "Content-Type": "application/json"}
    first = client.post(path, content='{"amount":5,"source":"gift","reason":"é"}', headers=key)
    again = client.post(path, content='{ "reason": "\\u00e9", "source":"gift",\n "amount" : 5 }', headers=key)
    assert first.status_code == again.status_code == 201
    assert first.content == again.content


@pytest.mark.parametrize(
    ("rest", "body", "status", "code"),
    [
        ("/reservations", {"amount": 2_000}, 402, "insufficient_credits"),
        ("/reservations/none-such/capture", {}, 404, "not_found"),
        ("/reservations/ended/release", {}, 409, "reservation_ended"),
    ],
)
def test_a_refusal_is_an_answer_and_is_kept(
    service: Service, rest: str, body: dict[str, Any], status: int, code: str
) -> None:
    client, account = service.client(), address()
    path = f"/api/v1/accounts/{account}"
    granted(client, account)
    ended = f"ended-{account[5:12]}"
    client.post(path + "/reservations", json={"amount": 10, "id": ended})
    client.post(f"{path}/reservations/{ended}/capture", json={})
    rest = rest.replace("/ended/", f"/{ended}/")
    key = {"Idempotency-Key": f"refused-{account}"}
    first = client.post(path + rest, json=body, headers=key)
    assert (first.status_code, first.json()["code"]) == (status, code)
    granted(client, account, 10_000)  # it would be accepted now, but the answer was given
    again = client.post(path + rest, json=body, headers=key)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["content-type"] == "application/problem+json"


def test_a_bad_value_does_not_use_up_the_key(service: Service) -> None:
    client, account = service.client(), address()
    path = f"/api/v1/accounts/{account}"
    granted(client, account)
    held = client.post(path + "/reservations", json={"amount": 10}).json()["reservation_id"]
    key = {"Idempotency-Key": f"bad-{account}"}
    capture = f"{path}/reservations/{held}/capture"
    for body, status in (({"amount": 0}, 422), ({"amount": 11}, 422), ({"amount": "1"}, 422), ({"amount": 10}, 200)):
        answer = client.post(capture, json=body, headers=key)
        assert answer.status_code == status, answer.text
        assert "idempotency-replayed" not in answer.headers


def test_without_a_key_each_request_counts(service: Service) -> None:
    client, account = service.client(), address()
    path = f"/api/v1/accounts/{account}"
    granted(client, account)
    debits = {client.post(path + "/debits", json={"amount": 10}).json()["debit_id"] for _ in range(2)}
    assert len(debits) == 2
    assert client.get(path + "/balance").json()["debited"] == 20


def test_a_key_belongs_to_its_caller_and_organisation(service: Service) -> None:
    account, key = address(), {"Idempotency-Key": "shared"}
    path = f"/api/v1/accounts/{account}/grants"
    answers = [
        client.post(path, json={"amount": 1, "source": "gift"}, headers=key)
        for client in (
            service.client(sub="a"),
            service.client(sub="b"),
            service.client("admin", sub="a"),
            service.client(sub="a", org="globex"),
        )
    ]
    assert [answer.status_code for answer in answers] == [201] * 4
    assert len({answer.json()["grant_id"] for answer in answers}) == 4


def test_copies_in_flight_charge_once(service: Service) -> None:
    client, account = service.client(), address()
    granted(client, account)
    path, key = f"/api/v1/accounts/{account}/debits", {"Idempotency-Key": f"race-{account}"}
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: client.post(path, json={"amount": 10}, headers=key), range(16)))
    assert {(answer.status_code, answer.content) for answer in answers} == {(201, answers[0].content)}
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert client.get(f"/api/v1/accounts/{account}/balance").json()["debited"] == 10


@pytest.mark.parametrize("key", ["", "x" * 256, "with space", "tab\there"])
def test_a_key_must_be_visible_ascii_of_at_most_255(service: Service, key: str) -> None:
    client, account = service.client(), address()
    path = f"/api/v1/accounts/{account}/grants"
    answer = client.post(path, json={"amount": 1, "source": "gift"}, headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["field"]) == (400, "Idempotency-Key")
    assert client.get(f"/api/v1/accounts/{account}/balance").json()["exists"] is False
