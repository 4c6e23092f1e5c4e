"""Contract: server-sent events with `Last-Event-ID` and single-use tickets; who sees what of them."""

import secrets
from time import monotonic, sleep
from typing import Any

import httpx
import psycopg
import pytest

from api.log import stream, tail
from domain.groups.commands import RemoveMembers
from infra.position import format_position
from tests.api.generating import FILM, PATH, give, in_group, new_user, tell
from tests.api.live.listening import Message, listening
from tests.api.service import ORG, Service, address, running
from tests.conftest import Database
from tests.waiting import patient

SOON_S = 0.3  # a commit and the display that shows it (median; a loaded machine gets its own margin below)


def types(messages: list[Any]) -> list[str]:
    return [message.event for message in messages]


def test_what_happens_is_told_at_once_with_its_figures(service: Service) -> None:
    account = address()
    with listening(service.client("auditor"), stream=f"account/{account}") as heard:
        assert heard.answer.headers["content-type"].startswith("text/event-stream")
        give(service, account, 500)
        message = heard.next()
    assert message.event == "credits-granted.v1"
    assert message.id == message.data["position"]
    assert message.data["stream"] == f"account/{account}"
    assert message.data["account"] == account
    assert message.data["user"] == account.split(":")[1]
    assert message.data["actor"] == "org_admin:boss"
    assert message.data["figures"]["amount"] == 500
    assert message.data["time"].endswith("Z")


def test_a_balance_moves_within_300_ms_of_its_commit(service: Service) -> None:
    account, took = address(), []
    with listening(service.client("auditor"), stream=f"account/{account}") as heard:
        for _ in range(9):
            give(service, account, 1)
            answered = monotonic()
            heard.next()
            took.append(monotonic() - answered)
    assert sorted(took)[4] < patient(SOON_S), took


def test_a_stream_is_resumed_without_loss_or_repeat(service: Service) -> None:
    account, client = address(), service.client("auditor")
    only: dict[str, Any] = {"stream": f"account/{account}"}
    with listening(client, **only) as heard:
        give(service, account, 1)
        first = heard.next()
    for amount in (2, 3):
        give(service, account, amount)
    ways: list[dict[str, Any]] = [{"headers": {"Last-Event-ID": first.id}}, {"last_event_id": first.id}]
    for resumed in ways:
        with listening(client, **resumed, **only) as heard:
            give(service, account, 4)
            assert [message.data["figures"]["amount"] for message in heard.take(3)] == [2, 3, 4]
            rest = heard.last_id
        give(service, account, 2)
        with listening(client, last_event_id=rest, **only) as heard:
            assert heard.next().data["figures"]["amount"] == 2
        break_after = rest
    assert break_after > first.id


def test_many_old_events_come_in_pages(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "WINDOW", 3)
    account = address()
    positions = [give_and_tell(service, account) for _ in range(8)]
    with listening(service.client("auditor"), stream=f"account/{account}", last_event_id=format_position(0)) as heard:
        assert [message.id for message in heard.take(8)] == positions


def test_large_events_come_in_pages_too(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event is more than a look may take, so each look takes one."""
    for query in ("_NEXT", "_OLD"):
        monkeypatch.setattr(tail, query, getattr(tail, query).replace(f"before < {tail.MOST_BYTES}", "before < 1"))
    monkeypatch.setattr(tail, "MOST_BYTES", 1)
    account = address()
    old = [give_and_tell(service, account) for _ in range(5)]
    with listening(service.client("auditor"), stream=f"account/{account}", last_event_id=format_position(0)) as heard:
        new = [give_and_tell(service, account) for _ in range(5)]
        assert [message.id for message in heard.take(10)] == old + new


def give_and_tell(service: Service, account: str) -> str:
    answer = service.client().post(f"/api/v1/accounts/{account}/grants", json={"amount": 1, "source": "gift"})
    return str(answer.json()["position"])


def test_a_position_that_the_log_does_not_have_is_its_end(service: Service) -> None:
    account = address()
    with listening(service.client("auditor"), last_event_id="9" * 16, stream=f"account/{account}") as heard:
        give(service, account, 7)
        assert heard.next().data["figures"]["amount"] == 7


def test_a_user_hears_of_themselves_alone(service: Service) -> None:
    me, other = new_user(service, credits=5_000), new_user(service, credits=5_000)
    group = in_group(service, me, video=10)
    with listening(service.client("user", sub=me)) as heard:
        boss, own = service.client(), f"mine-{me}"
        for user, id_ in ((other, f"not-{me}"), (me, own)):
            body = {"id": id_, "user_id": user, "prompt": "my secret", **FILM}
            assert boss.post(PATH, json=body).status_code == 201
        assert boss.post(f"{PATH}/not-{me}/confirm", json={}).status_code == 200
        assert boss.post(f"{PATH}/{own}/start", json={}).status_code == 200
        assert boss.post(f"{PATH}/{own}/fail", json={"outcome": "other"}).status_code == 200
        told: list[Message] = []
        while not told or told[-1].event != "generation-failed.v1":
            told.append(heard.next())
        rest = heard.last_id
    assert {message.data["stream"] for message in told} <= {
        f"generation/{own}",
        f"account/user:{me}:credits",
        f"storage/{me}",
        f"group/{group}",
    }
    held = next(message for message in told if message.event == "generation-held.v1")
    assert held.data["figures"]["quote"]["credits"] == 1_100
    assert "generation-started.v1" in types(told)  # which does not name the user
    of_group = [message.data for message in told if message.data["stream"].startswith("group/")]
    assert of_group
    assert {"generation_id", "ref", "user"}.isdisjoint(of_group[0]["figures"])
    assert "actor" not in str([message.data for message in told])
    assert "secret" not in str(told)
    with listening(service.client("user", sub=other), last_event_id=rest) as heard:
        give(service, f"user:{other}:credits", 1)
        assert heard.next().data["user"] == other


def test_a_users_groups_are_those_of_the_moment(service: Service) -> None:
    me, mate = new_user(service, credits=5_000), new_user(service, credits=5_000)
    before = format_position(0)
    group = in_group(service, me, video=10)
    tell_count(service, group, mate)
    tell(service, RemoveMembers(group_id=group, users=(me,)))
    tell_count(service, group, mate)
    give(service, f"user:{me}:credits", 1)
    with listening(service.client("user", sub=me), last_event_id=before) as heard:
        told: list[Message] = []
        while not told or told[-1].event != "group-left.v1":
            told.append(heard.next())
        assert heard.next().event == "credits-granted.v1"  # and nothing of the group in between
    assert types(told)[0] == "credits-granted.v1"
    assert any(message.data["stream"] == f"group/{group}" for message in told)


def tell_count(service: Service, group: str, mate: str) -> None:
    """Something happens in a group: somebody comes and goes."""
    boss = service.client()
    body = {"group_id": group, "user_ids": [mate]}
    assert boss.post("/api/group-members", json=body).status_code == 200
    assert boss.post("/api/group-members/remove", json=body).status_code == 200


def test_another_organisation_is_not_heard(service: Service) -> None:
    account, named = address(), {"Scrip-Organisation": "globex"}
    with listening(service.client(org="globex")) as heard, listening(service.client("admin"), named) as admin:
        give(service, account, 1)
        path = f"/api/v1/accounts/{account}/grants"
        service.client(org="globex").post(path, json={"amount": 9, "source": "gift"})
        for each in (heard, admin):
            assert each.next().data["figures"]["amount"] == 9


def test_types_names_and_heartbeats(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.2)
    account = address()
    asked: dict[str, Any] = {"types": "credits-debited,grant-voided.v1", "stream": "account/", "named": "false"}
    with listening(service.client("auditor"), **asked) as heard:
        position = give_and_tell(service, account)
        while True:  # one that was not asked for moves the id on, so that nobody looks at it again
            block = next(heard.blocks())
            assert block[0] == ": alive"
            if block[1] >= f"id: {position}":
                break
        service.client().post(f"/api/v1/accounts/{account}/debits", json={"amount": 1})
        message = heard.next()
    assert message.event is None
    assert message.data["type"] == "credits-debited.v1"


def test_a_ticket_opens_one_stream_once(service: Service) -> None:
    me = new_user(service)
    ticket = service.client("user", sub=me).post("/api/v1/stream/tickets", json={})
    assert ticket.status_code == 201
    assert ticket.json()["expires_at"] > "20"
    nobody = service.client(None)
    with listening(nobody, ticket=ticket.json()["ticket"]) as heard:
        give(service, f"user:{me}:credits", 3)
        assert heard.next().data["user"] == me
    for used in (ticket.json()["ticket"], "unknown", "x" * 5_000):
        answer = nobody.get("/api/v1/stream", params={"ticket": used})
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_ticket")


def test_a_ticket_beside_a_login_is_not_ignored(service: Service) -> None:
    client = service.client()
    for ticket in (client.post("/api/v1/stream/tickets").json()["ticket"], "garbage"):
        answer = client.get("/api/v1/stream", params={"ticket": ticket})
        assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (400, "two_logins", "ticket")


def test_a_ticket_ends(service: Service) -> None:
    ticket = service.client().post("/api/v1/stream/tickets").json()["ticket"]
    with psycopg.connect(service.database.owner_uri) as connection:
        connection.execute("update stream_tickets set expires_at = now() - interval '1 second'")
    assert service.client(None).get("/api/v1/stream", params={"ticket": ticket}).status_code == 401


def test_a_ticket_is_for_the_organisation_that_it_was_made_for(service: Service) -> None:
    ticket = service.client("admin", **{"Scrip-Organisation": "globex"}).post("/api/v1/stream/tickets").json()["ticket"]
    wrong = service.client(None).get("/api/v1/stream", params={"ticket": ticket}, headers={"Scrip-Organisation": ORG})
    assert (wrong.status_code, wrong.json()["code"]) == (403, "other_organisation")
    ticket = service.client("admin", **{"Scrip-Organisation": "globex"}).post("/api/v1/stream/tickets").json()["ticket"]
    account = address()
    with listening(service.client(None), ticket=ticket) as heard:
        service.client(org="globex").post(f"/api/v1/accounts/{account}/grants", json={"amount": 9, "source": "gift"})
        assert heard.next().data["account"] == account


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"last_event_id": "7"}, "last_event_id"),
        ({"named": "maybe"}, "named"),
        ({"types": ",".join(f"t{number}" for number in range(51))}, "types"),
    ],
)
def test_what_cannot_be_asked(service: Service, params: dict[str, str], field: str) -> None:
    answer = service.client().get("/api/v1/stream", params=params)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert service.client(None).get("/api/v1/stream").status_code == 401


def test_who_does_not_keep_up_is_cut_off_and_resumes(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "MOST_WAITING", -1)
    account = address()
    with listening(service.client("auditor")) as heard:
        give(service, account, 1)
        with pytest.raises(AssertionError, match="ended"):
            heard.next()
    monkeypatch.undo()
    with listening(service.client("auditor"), last_event_id=heard.last_id) as heard:
        assert heard.next().data["account"] == account


def test_who_does_not_take_so_many_bytes_is_cut_off_too(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "MOST_BYTES_WAITING", -1)
    with listening(service.client("auditor")) as heard:
        give(service, address(), 1)
        with pytest.raises(AssertionError, match="ended"):
            heard.next()


def test_a_login_has_room_for_so_many_streams(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "MOST_OF_ONE", 1)
    client = service.client("auditor", sub=secrets.token_hex(4))
    with listening(client):
        answer = client.get("/api/v1/stream")
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_streams")
    deadline = monotonic() + patient(10)
    while monotonic() < deadline:  # the room is free again as soon as the service notices that the listener has gone
        with client.stream("GET", "/api/v1/stream") as again:
            if again.status_code == 200:
                break
        sleep(0.02)
    else:
        pytest.fail("the place of a stream that was closed is still taken")


def test_a_stream_ends_when_its_time_is_up(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LIFE_S", 0.0)
    with listening(service.client()) as heard, pytest.raises(AssertionError, match="ended"):
        heard.next()


def test_streams_do_not_hold_up_the_stop_and_end_cleanly(database: Database) -> None:
    with running(database) as service:
        client = httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {service.token()}"})
        with listening(client) as heard:
            began = monotonic()
            service.stop()
            with pytest.raises(AssertionError, match="ended"):
                heard.next()
    assert monotonic() - began < 5
    client.close()
