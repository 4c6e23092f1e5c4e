"""S1: comprehensive logs. Issue 4 section 3: every denied and every administrative action, with who and request id."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import structlog

from cli.role_log import log_as_json
from tests.api.service import Service, address

Lines = list[dict[str, Any]]
CANARY = "canary-in-every-text"


@contextmanager
def logged() -> Iterator[Lines]:
    """What is logged meanwhile, as the roles write it: each line one JSON object."""
    stream = io.StringIO()
    lines: Lines = []
    root = logging.getLogger()
    before, level = root.handlers, root.level
    log_as_json()
    logging.getLogger("httpx").setLevel(logging.WARNING)  # the tests' own client
    # A logger that was used is not made anew, so caching would outlive this block.
    structlog.configure(cache_logger_on_first_use=False)
    root.handlers[0].setStream(stream)  # type: ignore[attr-defined]
    try:
        yield lines
    finally:
        root.handlers, root.level = before, level
        structlog.reset_defaults()
        logging.getLogger("httpx").setLevel(logging.NOTSET)
    lines += [json.loads(line) for line in stream.getvalue().split("\n")[:-1]]
    assert CANARY not in stream.getvalue()


def about(lines: Lines, request_id: str) -> Lines:
    """The lines that carry a request's id, without what every line has."""
    found = [line for line in lines if line.get("request_id") == request_id]
    return [{name: line[name] for name in line if name not in {"timestamp", "logger", "request_id"}} for line in found]


def denied(operation: str, actor: str | None, status: int, outcome: str, org: str | None = "acme") -> dict[str, Any]:
    return {
        "event": "denied",
        "level": "warning",
        "operation": operation,
        "actor": actor,
        "org": org,
        "status": status,
        "outcome": outcome,
    }


def test_every_denial_is_logged_with_actor_and_request_id(service: Service) -> None:
    """S1-6."""
    account = address()
    path = f"/api/v1/accounts/{account}"
    user, worker = service.client("user", sub="ann"), service.client("worker", sub="w")
    expired = service.client(None, Authorization=f"Bearer {service.token(ttl_s=-600)}")
    foreign = {"Scrip-Organisation": "globex"}
    with logged() as lines:
        asked = {
            "none": service.client(None).get(path + "/balance", headers={"Request-Id": "none"}),
            "old": expired.get(path + "/balance", headers={"Request-Id": "old"}),
            "role": user.post(path + "/grants", json={"reason": CANARY}, headers={"Request-Id": "role"}),
            "own": user.get(path + "/balance", headers={"Request-Id": "own"}),
            "org": worker.get(path + "/balance", headers={"Request-Id": "org", **foreign}),
            "query": worker.get("/api/v1/accounts?org=globex", headers={"Request-Id": "query"}),
            "body": worker.post(path + "/debits", json={"amount": 1, "org": "x"}, headers={"Request-Id": "body"}),
            "gone": worker.get(path + "/reservations/r1", headers={"Request-Id": "gone"}),
        }
    assert [answer.status_code for answer in asked.values()] == [401, 401, 403, 403, 403, 403, 403, 404]
    expected = {
        "none": denied("read_balance", None, 401, "unauthenticated", None),
        "old": denied("read_balance", None, 401, "token_expired", None),
        "role": denied("grant_credits", "user:ann", 403, "forbidden"),
        "own": denied("read_balance", "user:ann", 403, "not_own"),
        "org": denied("read_balance", "worker:w", 403, "other_organisation"),
        "query": denied("list_accounts", "worker:w", 403, "other_organisation"),
        "body": denied("debit_credits", "worker:w", 403, "other_organisation"),
        "gone": denied("read_reservation", "worker:w", 404, "not_found"),
    }
    for request_id, line in expected.items():
        assert about(lines, request_id) == [line]
        assert asked[request_id].headers["request-id"] == request_id


def test_a_denied_operation_of_a_batch_is_logged(service: Service) -> None:
    item = {"path": f"/api/v1/accounts/{address()}/grants", "body": {"amount": 1, "source": "gift", "reason": CANARY}}
    with logged() as lines:
        answer = service.client("worker", sub="w").post(
            "/api/v1/batch", json={"operations": [item]}, headers={"Request-Id": "b1"}
        )
    assert answer.json()["results"][0]["status"] == 403
    assert about(lines, "b1") == [denied("run_batch[0]", "worker:w", 403, "forbidden")]


@pytest.mark.parametrize(
    ("role", "org", "status", "outcome"), [("org_admin", "acme", 201, "done"), ("admin", "globex", 201, "done")]
)
def test_every_administrative_action_is_logged(
    service: Service, role: str, org: str, status: int, outcome: str
) -> None:
    """S1-6."""
    client = service.client(role, sub="boss", **({"Scrip-Organisation": org} if role == "admin" else {}))
    path = f"/api/v1/accounts/{address()}"
    with logged() as lines:
        body = {"amount": 1, "source": "gift", "reason": CANARY, "metadata": {"text": CANARY}}
        assert client.post(path + "/grants", json=body, headers={"Request-Id": "g1"}).status_code == status
        failed = client.post(path + "/transfers", json={"amount": 5, "to": address()}, headers={"Request-Id": "g2"})
        assert failed.status_code == 402
        client.get(path + "/balance", headers={"Request-Id": "g3"})
    (done,), (not_done,) = about(lines, "g1"), about(lines, "g2")
    who = {"event": "administration", "level": "info", "actor": f"{role}:boss", "org": org}
    assert done == {**who, "operation": "grant_credits", "status": 201, "outcome": outcome}
    assert not_done == {**who, "operation": "transfer_credits", "status": 402, "outcome": "not done"}
    # The platform's admins are not of the organisation: what they look at is logged too.
    assert len(about(lines, "g3")) == (1 if role == "admin" else 0)


def test_what_users_and_workers_do_is_not_logged_line_by_line(service: Service) -> None:
    with logged() as lines:
        client = service.client("worker")
        assert client.get(f"/api/v1/accounts/{address()}/balance", headers={"Request-Id": "w1"}).status_code == 200
        assert client.get("/nowhere", headers={"Request-Id": "w2"}).status_code == 404
    assert about(lines, "w1") == about(lines, "w2") == []


def test_nobody_forges_a_line_or_gets_a_secret_into_one(service: Service) -> None:
    forged = '","event":"forged"}\n{"event":"forged"}\r\n'
    client = service.client(None)
    with logged() as lines:
        for headers in (
            {"Authorization": f"Bearer scrip_{CANARY}_{CANARY}"},
            {"Authorization": f"Bearer {CANARY}.{CANARY}.{CANARY}"},
            {"Authorization": f"Basic {CANARY}"},
            {"Request-Id": '","event":"forged'},
        ):
            answer = client.get("/api/v1/accounts/user:a%0Ab:credits/balance", headers=headers)
            assert answer.status_code == 401
        boss = service.client()
        assert boss.get(f"/api/v1/accounts/user:{CANARY}%0A%0D:credits/balance").status_code in {404, 422}
        assert boss.get("/api/v1/api-keys", params={"cursor": forged}).status_code == 422
        assert boss.delete("/api/v1/api-keys/" + "x%0Ay").status_code in {404, 422}
    assert lines
    assert "forged" not in {line["event"] for line in lines}
    assert all(line.get("request_id", "x").isascii() for line in lines)


def test_a_line_keeps_its_form_whatever_it_says() -> None:
    """Lines of structlog are encoded without the standard library: nothing may be lost or break the line."""
    log = structlog.get_logger()
    with logged() as lines:
        log.info("said", text="José \x1b[31m\n\u202e", half="\ud83d", what={"a": 1}, odd=object)
        try:
            raise ValueError("why")
        except ValueError:
            log.exception("failed", code=7)
        log.debug("not at this level")
        logging.getLogger("elsewhere").warning("plain %s", "words")
    said, failed, plain = lines
    texts = [said[name] for name in ("event", "text", "half", "what")]
    assert texts == ["said", "José \x1b[31m\n\u202e", "\ud83d", {"a": 1}]
    assert said["logger"] == __name__
    assert (failed["level"], failed["code"]) == ("error", 7)
    assert failed["exception"].endswith("ValueError: why")
    assert (plain["event"], plain["logger"]) == ("plain words", "elsewhere")
    assert all(line["timestamp"].endswith("Z") for line in lines)
