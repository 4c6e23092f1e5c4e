"""Bounds on what one organisation has, on what waits, and on what is asked for without being paid."""

from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from inspect import signature

import httpx
import psycopg

from api import rounds
from api.http import database, limits, services
from api.log import stream, tail
from domain.credits import account, rules
from domain.credits import commands as account_commands
from domain.groups import commands as group_commands
from domain.groups import state as group_state
from domain.organisations import commands as organisation_commands
from domain.plans import publish as offers
from domain.quotas import quota
from domain.resources import quota as quota_resource
from infra import decisions, turns
from infra.security import api_keys, stream_tickets
from infra.settings import Settings
from infra.webhooks import store
from infra.writer import fair_queue, reader, writer
from infra.writer.writer import Writer
from tests.limits.bound import Attacker, Bound

ACCOUNT = "/api/v1/accounts/user:u:credits"
TOO_MANY = {"amount": 1}
TURNS = "tests/infra/test_turns.py::"


def _default(name: str) -> float:
    return float(Settings.model_fields[name].default)


def _ok(answer: httpx.Response) -> httpx.Response:
    assert answer.status_code in (200, 201, 202), answer.text
    return answer


def _grants(attacker: Attacker) -> httpx.Response:
    attacker.lower(rules, "MAX_LIVE_GRANTS", 2)
    for _ in range(2):
        _ok(attacker.grant("user:u:credits"))
    return attacker.grant("user:u:credits")


def _voided(attacker: Attacker) -> httpx.Response:
    attacker.lower(account_commands, "MAX_VOIDED_GRANTS", 0)
    grant = _ok(attacker.grant("user:u:credits")).json()["grant_id"]
    return attacker.client().post(f"{ACCOUNT}/grants/{grant}/void", json={})


def _holds(attacker: Attacker) -> httpx.Response:
    attacker.lower(account_commands, "MAX_OPEN_HOLDS", 1)
    _ok(attacker.grant("user:u:credits"))
    _ok(attacker.client().post(f"{ACCOUNT}/reservations", json={"amount": 1}))
    return attacker.client().post(f"{ACCOUNT}/reservations", json={"amount": 1})


def _quota_holds(attacker: Attacker) -> httpx.Response:
    attacker.lower(quota_resource, "MAX_OPEN_HOLDS", 1)
    _ok(attacker.grant("user:u:tokens"))
    body = {"user_id": "u", "operation": "upload", "bytes": 10}
    _ok(attacker.client().post("/api/v1/generations", json=body))
    return attacker.client().post("/api/v1/generations", json=body)


def _streams(attacker: Attacker) -> httpx.Response:
    answer = _ok(attacker.grant("user:u:credits"))
    _ok(_set(attacker, "users/u"))
    _ok(_set(attacker, "models/Open/m"))
    for number in range(50):
        attacker.service.project()
        answer = attacker.grant(f"user:u{number}:credits")
        if answer.status_code != 201:
            break
    for new in ("users/new", "models/open/new"):
        assert _set(attacker, new).json()["code"] == "organisation_full"
    _ok(attacker.grant("user:u:credits"))  # what is there already goes on
    _ok(_set(attacker, "users/u"))
    _ok(_set(attacker, "models/open/M"))
    return answer


def _set(attacker: Attacker, owner: str) -> httpx.Response:
    return attacker.client().put(f"/api/v1/{owner}/running-limit", json={"limit": None})


def _groups(attacker: Attacker) -> httpx.Response:
    attacker.lower(limits, "MAX_GROUPS", 1)
    answer = attacker.client().post("/api/groups", json={"name": "first"})
    for number in range(50):
        attacker.service.project()
        answer = attacker.client().post("/api/groups", json={"name": f"g{number}"})
        if answer.status_code != 201:
            break
    return answer


def _members(attacker: Attacker) -> httpx.Response:
    attacker.lower(group_commands, "MAX_MEMBERS", 1)
    group = _ok(attacker.client().post("/api/groups", json={"name": "g"})).json()["id"]
    return attacker.client().post("/api/group-members", json={"group_id": group, "user_ids": ["a", "b"]})


def _groups_of_user(attacker: Attacker) -> httpx.Response:
    attacker.lower(group_commands, "MAX_GROUPS", 0)
    group = _ok(attacker.client().post("/api/groups", json={"name": "g"})).json()["id"]
    return attacker.client().post("/api/group-members", json={"group_id": group, "user_ids": ["a"]})


def _api_keys(attacker: Attacker) -> httpx.Response:
    attacker.lower(api_keys, "MAX_API_KEYS", 1)
    made = _ok(attacker.client().post("/api/v1/api-keys", json={"name": "one"}, headers={"Idempotency-Key": "k"}))
    again = attacker.client().post("/api/v1/api-keys", json={"name": "one"}, headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.json()["id"]) == (201, made.json()["id"])
    return attacker.client().post("/api/v1/api-keys", json={"name": "two"})


def _webhooks(attacker: Attacker) -> httpx.Response:
    attacker.lower(store, "MAX_WEBHOOKS", 0)
    return attacker.client().post("/api/v1/webhooks", json={"url": "https://a.example/hook"})


def _resends(attacker: Attacker) -> httpx.Response:
    attacker.lower(store, "MAX_RESENDS", 1)
    client = attacker.client()
    hook = _ok(client.post("/api/v1/webhooks", json={"url": "https://a.example/hook"})).json()["id"]
    first = f"{attacker.org}.1"
    with psycopg.connect(attacker.service.database.owner_uri) as connection:
        connection.execute(
            "with made as (insert into alerts (org, rule, key, type, severity, subject, message, data)"
            " values (%(org)s, 'budget', 'k', 't', 'info', 's', 'm', '{}') returning id)"
            " insert into deliveries (id, org, webhook_id, alert_id, status)"
            " select %(id)s, %(org)s, %(hook)s, id, 'failed' from made",
            {"org": attacker.org, "id": first, "hook": hook},
        )
    path, body = f"/api/v1/webhooks/{hook}/resend", {"delivery_id": first}
    for _ in range(2):  # the same request again is no further one
        _ok(client.post(path, json=body, headers={"Idempotency-Key": "k"}))
    assert client.post(path, json={"delivery_id": "absent"}).status_code == 404
    return client.post(path, json=body)


def _alert_rules(attacker: Attacker) -> httpx.Response:
    return attacker.client().put("/api/v1/alert-rules", json={"rules": {f"r{n}": {} for n in range(51)}})


def _payers(attacker: Attacker) -> httpx.Response:
    payers = ["user:{user}"] * (organisation_commands.MAX_PAYERS + 1)
    return attacker.client().patch(f"/api/v1/organisations/{attacker.org}", json={"pay_from": payers})


def _full_queue(attacker: Attacker) -> httpx.Response:
    attacker.lower(writer, "MAX_WAITING", 0)
    return attacker.grant("user:u:credits")


def _full_reader(attacker: Attacker) -> httpx.Response:
    attacker.lower(reader, "MAX_WAITING", 0)
    return attacker.client().get(f"{ACCOUNT}/balance")


def _full_pool(attacker: Attacker, bound: str = "") -> httpx.Response:
    """Connections for reads wait for a table, one request waits for a connection, and the next is turned away."""
    turns = attacker.service.services.database.reads.turns
    attacker.lower(turns, "refuse_after_s", 0.0)
    if bound:
        attacker.lower(turns, bound, 1)
    clients = [attacker.client() for _ in range(turns.of_login + 2)]
    with psycopg.connect(attacker.service.database.owner_uri) as connection:
        connection.execute("lock table read.balances in access exclusive mode")
        with ThreadPoolExecutor(len(clients)) as pool:
            answers = [pool.submit(client.get, "/api/v1/accounts") for client in clients]
            first = next(as_completed(answers)).result()
            connection.rollback()
    return first


def _no_connection(attacker: Attacker) -> httpx.Response:
    turns = attacker.service.services.database.reads.turns
    attacker.lower(turns, "wait_s", 0.1)
    return _full_pool(attacker)


def _no_thread(attacker: Attacker) -> httpx.Response:
    turns = attacker.service.services.threads.turns
    attacker.lower(turns, "wait_s", 0.1)
    attacker.lower(turns, "_free", 0)
    return attacker.client().get("/api/v1/generations")


def _for_a_position(attacker: Attacker, bound: str) -> httpx.Response:
    turns = attacker.service.services.visible.turns
    attacker.lower(turns, "refuse_after_s", 0.0)
    attacker.lower(turns, bound, 0)
    return attacker.client().get("/api/v1/accounts", params={"min_position": "0" * 16})


def _streams_of_login(attacker: Attacker) -> httpx.Response:
    attacker.lower(tail, "MOST_OF_ONE", 0)
    return attacker.client().get("/api/v1/stream")


def _streams_of_organisation(attacker: Attacker) -> httpx.Response:
    attacker.lower(tail, "MOST_OF_ORG", 0)
    return attacker.client().get("/api/v1/stream")


def _streams_of_all(attacker: Attacker) -> httpx.Response:
    attacker.lower(tail, "MOST_STREAMS", 0)
    return attacker.client().get("/api/v1/stream")


def _tickets(attacker: Attacker) -> httpx.Response:
    attacker.lower(stream_tickets, "MAX_UNUSED", 1)
    ann, bob = attacker.client("user", "ann"), attacker.client("user", "bob")
    _ok(ann.post("/api/v1/stream/tickets", json={}))
    answer = ann.post("/api/v1/stream/tickets", json={})
    _ok(bob.post("/api/v1/stream/tickets", json={}))
    return answer


def _rate(attacker: Attacker) -> httpx.Response:
    _ok(attacker.grant("user:ann:tokens", 10_000))
    ann = attacker.client("user", "ann")
    for _ in range(attacker.service.settings.rate_limit):
        _ok(ann.post("/api/v1/generations", json={"operation": "chat"}))
    return ann.post("/api/v1/generations", json={"operation": "chat"})


def _own_budget(attacker: Attacker, user: str, times: int) -> list[httpx.Response]:
    client = attacker.client("user", user)
    return [client.put("/api/v1/budgets/me", json={"monthly_budget": f"{n + 2}.00"}) for n in range(times)]


def _free(attacker: Attacker) -> httpx.Response:
    limit = attacker.service.settings.free_limit
    elsewhere = Attacker(attacker.service, attacker.lower)
    carl = elsewhere.client("user", "carl")
    _ok(elsewhere.grant("user:carl:credits"))
    for _ in range(limit // 2):  # to hold and to let go costs nothing, as often as one likes
        held = _ok(carl.post("/api/credits/me", json={"action": "reserve", "amount": 1})).json()["transaction_id"]
        _ok(carl.post("/api/credits/me", json={"action": "rollback", "transaction_id": held}))
    assert carl.post("/api/credits/me", json={"action": "reserve", "amount": 1}).status_code == 429
    *passed, answer = _own_budget(attacker, "ann", limit + 1)
    assert [each.status_code for each in passed] == [200] * limit
    assert _own_budget(attacker, "bob", 1)[0].status_code == 200
    return answer


def _free_together(attacker: Attacker) -> httpx.Response:
    """Two users spend what the organisation's users have together; a third, who has spent nothing, is let through."""
    settings = attacker.service.settings
    for number in range(settings.free_limit_users // (settings.free_limit - 1)):
        _own_budget(attacker, f"u{number}", settings.free_limit - 1)
    assert _own_budget(attacker, "new", 1)[0].status_code == 200
    return _own_budget(attacker, "u0", 1)[0]


def _refused(attacker: Attacker) -> httpx.Response:
    worker, debits = attacker.client("worker"), f"{ACCOUNT}/debits"
    limit = attacker.service.settings.free_limit_programs
    for _ in range(2 * limit):  # the same answer again writes nothing
        assert worker.post(debits, json=TOO_MANY, headers={"Idempotency-Key": "k"}).status_code == 402
    for _ in range(limit - 2):
        assert worker.post(debits, json=TOO_MANY).status_code == 402
    batch = {"operations": [{"path": debits, "body": TOO_MANY}]}
    assert worker.post("/api/v1/batch", json=batch).json()["results"][0]["status"] == 402
    assert attacker.client("worker").post("/api/v1/batch", json=batch).status_code == 429
    assert attacker.client("admin").post(debits, json=TOO_MANY).status_code == 402  # of the platform
    assert Attacker(attacker.service, attacker.lower).client("worker").post(debits, json=TOO_MANY).status_code == 402
    return worker.post(debits, json=TOO_MANY)


LIVE = "tests/api/live/test_stream.py::"
RATE = "tests/api/test_rate_limit.py::"
CHECKS = "tests/infra/test_decisions.py::"

BOUNDS: dict[str, Bound] = {
    "Live grants of an account": Bound(account.MAX_LIVE_GRANTS, _grants),
    "Voided grants of an account": Bound(account.MAX_VOIDED_GRANTS, _voided),
    "Open holds of an account": Bound(account.MAX_OPEN_HOLDS, _holds),
    "Open holds of a storage, budget, group or counted resource": Bound(quota.MAX_OPEN_HOLDS, _quota_holds),
    "Accounts, budgets, storages, groups, members, and settings of users and models together": Bound(
        _default("max_streams"), _streams
    ),
    "Groups": Bound(limits.MAX_GROUPS, _groups),
    "Members of a group": Bound(group_state.MAX_MEMBERS, _members),
    "Groups of a user": Bound(group_state.MAX_GROUPS, _groups_of_user),
    "Things that a group limits": Bound(
        group_state.MAX_LIMITS, "tests/domain/groups/test_create.py::test_values_are_in_bounds"
    ),
    "API keys, revoked ones included": Bound(api_keys.MAX_API_KEYS, _api_keys),
    "Webhooks": Bound(store.MAX_WEBHOOKS, _webhooks),
    "Resends of a webhook that wait": Bound(store.MAX_RESENDS, _resends),
    "Alert rules": Bound(organisation_commands.MAX_ALERT_RULES, _alert_rules),
    "Payers": Bound(organisation_commands.MAX_PAYERS, _payers),
    "Plans of the platform": Bound(
        offers.MAX_PLANS, "tests/domain/plans/test_publish_plan.py::test_there_are_at_most_200_plans"
    ),
    "Features of the platform": Bound(
        offers.MAX_FEATURES,
        "tests/domain/plans/test_publish_features.py::test_refuses_lists_that_cannot_be_meant",
    ),
    "Packages of the platform": Bound(
        offers.MAX_PACKAGES,
        "tests/domain/plans/test_publish_packages.py::test_refuses_a_package_that_cannot_be_meant",
    ),
    "Commands that wait for the writer": Bound(writer.MAX_WAITING, _full_queue),
    "Commands of one commit": Bound(
        signature(Writer).parameters["max_batch"].default, "tests/infra/writer/test_queue.py::test_a_batch_has_a_bound"
    ),
    "Questions that wait for the reader": Bound(reader.MAX_WAITING, _full_reader),
    "Events that fall due together and are counted in answers before they are written": Bound(
        reader.AHEAD_KEPT, "tests/infra/writer/test_slices.py::test_what_is_folded_ahead_has_a_bound"
    ),
    "Commands or questions of who has little waiting": Bound(
        fair_queue.LITTLE,
        "tests/infra/writer/test_fair_queue.py::test_a_full_queue_has_room_for_those_who_have_little",
    ),
    "Requests of an organisation that begin before the process looks at what else has come": Bound(
        rounds.AT_ONCE, "tests/api/test_rounds.py::test_few_begin_in_a_round_and_callers_take_turns"
    ),
    "Reads of a login that wait for a connection, or for a thread": Bound(
        turns.WAITING_OF_LOGIN, partial(_full_pool, bound="waiting_of_login")
    ),
    "Reads of an organisation that wait for a connection, or for a thread": Bound(
        turns.WAITING_OF_ORG,
        partial(_full_pool, bound="waiting_of_org"),
    ),
    "Reads of a process that wait for a connection, or for a thread": Bound(
        turns.WAITING,
        partial(_full_pool, bound="most_waiting"),
    ),
    "Time that a read waits for a connection": Bound(turns.WAIT_S, _no_connection),
    "Time that a request waits for a thread": Bound(services.WAIT_S, _no_thread),
    "Time until what waits too much is refused": Bound(turns.REFUSE_AFTER_S, TURNS + "test_waiting_has_bounds"),
    "Reads of a login that wait for a position": Bound(
        database.MOST_OF_LOGIN, partial(_for_a_position, bound="of_login")
    ),
    "Reads of an organisation that wait for a position": Bound(
        database.MOST_OF_ORG, partial(_for_a_position, bound="of_org")
    ),
    "Reads of a process that wait for a position": Bound(database.MOST, partial(_for_a_position, bound="_free")),
    "Live streams of a login": Bound(tail.MOST_OF_ONE, _streams_of_login),
    "Live streams of an organisation": Bound(tail.MOST_OF_ORG, _streams_of_organisation),
    "Live streams of a process": Bound(tail.MOST_STREAMS, _streams_of_all),
    "Events that wait for a listener": Bound(
        tail.MOST_WAITING, LIVE + "test_who_does_not_keep_up_is_cut_off_and_resumes"
    ),
    "Bytes of events that wait for a listener": Bound(
        tail.MOST_BYTES_WAITING, LIVE + "test_who_does_not_take_so_many_bytes_is_cut_off_too"
    ),
    "Bytes of events in one look for listeners": Bound(tail.MOST_BYTES, LIVE + "test_large_events_come_in_pages_too"),
    "Life of a live stream": Bound(stream.LIFE_S, LIVE + "test_a_stream_ends_when_its_time_is_up"),
    "Unused tickets of a login": Bound(stream_tickets.MAX_UNUSED, _tickets),
    "Life of a ticket": Bound(stream_tickets.TTL_S, LIVE + "test_a_ticket_ends"),
    "Generations that a user asks for": Bound(_default("rate_limit"), _rate),
    "Generations that a program asks for": Bound(
        _default("rate_limit_programs"), RATE + "test_they_are_where_it_is_configured"
    ),
    "The window of these rates": Bound(
        _default("rate_window_s"), "tests/infra/test_request_rates.py::test_the_window_slides"
    ),
    "Commands of a user that take nothing": Bound(_default("free_limit"), _free),
    "The same, of all users together": Bound(_default("free_limit_users"), _free_together),
    "Refused commands of all programs together": Bound(_default("free_limit_programs"), _refused),
    "Refused checks of a user that are published": Bound(
        decisions.MAX_OF_USER, CHECKS + "test_a_user_who_asks_for_ever"
    ),
    "The same, of an organisation": Bound(decisions.MAX_OF_ORG, CHECKS + "test_an_organisation_that_asks_for_ever"),
    "Refused checks that wait for the broker": Bound(
        decisions.MOST_WAITING, "tests/consumers/test_notifier.py::test_a_check_never_waits_for_kafka"
    ),
    "Refusals without an idempotency key that are stored": Bound(
        0, "tests/infra/writer/test_idempotency.py::test_a_refusal_that_nobody_can_ask_for_again_is_not_kept"
    ),
}
