"""Health, metrics, audit, quarantine, documents, headers: what operators and auditors see."""

import asyncio
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from api.app import UnsafeSettings, create_app
from api.http.edge import Edge
from api.http.metrics import Metrics
from api.http.server import PortTaken, listen, serve
from domain.registry import SCRIP
from infra.settings import Settings
from infra.writer.ledger import Ledger
from infra.writer.reader import Reader
from infra.writer.submission import OutcomeUnknown, Overloaded
from infra.writer.writer import Writer
from tests.api.service import Service, address, running, settings_of
from tests.conftest import Database

REPORT = {
    "ok": False,
    "sections": [{"name": "chain", "ok": False, "first_difference": {"where": "x", "found": "secret"}}],
}


async def verify(_by: str, _progress: Any) -> dict[str, Any]:
    return REPORT


async def retry(org: str, id_: str) -> dict[str, Any]:
    return {"org": org, "id": id_}


def test_a_healthy_service(service: Service) -> None:
    client = service.client(None)
    service.project()
    assert client.get("/livez").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}
    assert client.get("/health").json()["status"] == "healthy"


def test_a_stopped_read_model_degrades(service: Service) -> None:
    with psycopg.connect(service.database.owner_uri) as connection:
        connection.execute("insert into read_stops (partition, position, reason) values (1, 5, 'unknown type')")
    services = service.services
    from api.operator.health import Condition

    issues = _on_loop(service, Condition(services).issues())
    assert issues == ["The read models stopped in partition 1 at event 5 (runbook: read-models-stopped)."]
    with psycopg.connect(service.database.owner_uri) as connection:
        connection.execute("delete from read_stops")


def test_faults_of_the_topic_are_an_alarm_until_they_are_acknowledged(service: Service) -> None:
    """One issue however many: what somebody writes to a topic must not make the API unhealthy."""
    service.project()
    with psycopg.connect(service.database.projector_uri) as connection:
        connection.execute(
            "insert into topic_faults (topic, partition, kind, first_offset, last_offset, records, position, reason)"
            " select 'scrip.ledger', p, 'foreign', 17, 19, 2, 5, 'header ce_type' from generate_series(0, 3) p"
        )
    from api.operator.health import Condition

    (issue,) = _on_loop(service, Condition(service.services).issues())
    assert "In partition 0 of the topic scrip.ledger stand 2 records that are not the log's events" in issue
    assert "the first at offset 17 (4 such findings) (runbook: topic-faults)." in issue
    assert "ce_type" not in issue, "a reason may quote somebody's data, and anybody may ask"
    admin, auditor = service.client("admin"), service.client("auditor")
    assert 'scrip_topic_faults{kind="foreign"} 8.0' in admin.get("/metrics").text
    assert auditor.get("/api/v1/operations").json()["topic"]["status"] == "act"
    figure = admin.get("/api/v1/operations").json()["topic"]
    assert (figure["status"], figure["runbook"]) == ("act", "topic-faults")
    assert "header ce_type" in figure["message"]
    ids = [item["id"] for item in figure["items"]]
    path = "/api/v1/topic-faults/acknowledge"
    assert auditor.post(path, json={"ids": ids}).status_code == 403
    assert admin.post(path, json={"ids": []}).status_code == 422
    assert admin.post(path, json={"ids": ids}).json() == {"acknowledged": ids}
    assert admin.post(path, json={"ids": ids}).json() == {"acknowledged": []}
    assert admin.get("/api/v1/operations").json()["topic"]["status"] == "ok"
    assert _on_loop(service, Condition(service.services).issues()) == []
    with psycopg.connect(service.database.owner_uri) as connection:
        rows = connection.execute("select distinct acknowledged_by from topic_faults").fetchall()
    assert rows == [("admin:boss",)]


def _on_loop(service: Service, work: Any) -> Any:
    loop = service.services.database.reads._sched_runner.get_loop()  # type: ignore[union-attr]
    return asyncio.run_coroutine_threadsafe(work, loop).result(20)


def test_metrics(service: Service) -> None:
    client = service.client()
    path = f"/api/v1/accounts/{address()}"
    assert client.post(path + "/debits", json={"amount": 5}).status_code == 402
    text = service.client(None).get("/metrics").text
    assert 'scrip_refusals_total{code="insufficient_credits",operation="debit_credits"}' in text
    route = 'route="/api/v1/accounts/{address}/debits"'
    assert f'scrip_http_requests_total{{method="POST",{route},status="402"}}' in text
    assert f'scrip_http_request_seconds_bucket{{le="+Inf",{route}}}' in text
    for name in (
        "scrip_writer_commands_total",
        "scrip_writer_waiting",
        "scrip_writer_largest_batch",
        "scrip_writer_connected 1.0",
    ):
        assert name in text
    assert path not in text


def test_headers(service: Service) -> None:
    client = service.client()
    answers = [
        client.get("/api/auth/me", headers={"X-Request-Id": "my-id"}),
        client.get("/nowhere"),
        client.get("/livez"),
    ]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert ids[0] == "my-id"
    assert len(set(ids)) == 3
    assert client.get("/livez", headers={"X-Request-Id": "a b"}).headers["x-request-id"] != "a b"
    assert "access-control-allow-origin" not in client.get("/livez", headers={"Origin": "https://evil"}).headers


def test_documents(service: Service) -> None:
    client = service.client(None)
    assert client.get("/api/openapi.json").json()["info"]["title"] == "Scrip"
    assert "openapi.json" in client.get("/api/docs").text
    assert client.get("/api/asyncapi.json").status_code == 404


def test_quarantine(service: Service) -> None:
    with psycopg.connect(service.database.owner_uri) as connection:
        for index, org in enumerate(("acme", "acme", "globex")):
            connection.execute(
                "insert into quarantine (id, org, source, event_id, reason, detail, body)"
                " values (%s, %s, 's', %s, 'insufficient_credits', 'd', 'sealed-canary')",
                (f"q{index}", org, f"e{index}"),
            )
    auditor = service.client("auditor")
    page = auditor.get("/api/v1/quarantine", params={"limit": 1}).json()
    assert [row["id"] for row in page["items"]] == ["q0"]
    assert "sealed-canary" not in str(page)
    rest = auditor.get("/api/v1/quarantine", params={"cursor": page["next_cursor"]}).json()
    assert [row["id"] for row in rest["items"]] == ["q1"]
    assert service.client("admin").post("/api/v1/quarantine/q0/retry").status_code == 503


def test_what_a_process_may_offer(database: Database) -> None:
    offered: dict[str, Any] = {"verify": verify, "retry": retry, "asyncapi": lambda: {"asyncapi": "3.0.0"}}
    settings = settings_of(database, allowed_origins="https://app.example")
    with running(database, settings, **offered) as service:
        admin, auditor = service.client("admin"), service.client("auditor")
        assert admin.get("/api/v1/audit/verify").json() == REPORT
        told = auditor.get("/api/v1/audit/verify").json()
        assert (told["ok"], told["sections"]) == (False, [{"name": "chain", "ok": False, "checked": {}}])
        assert admin.post("/api/v1/quarantine/q9/retry").json() == {"org": "acme", "id": "q9"}
        assert service.client(None).get("/api/asyncapi.json").json() == {"asyncapi": "3.0.0"}
        for origin, allowed in (("https://app.example", "https://app.example"), ("https://evil.example", None)):
            answer = service.client(None).get("/livez", headers={"Origin": origin})
            assert answer.headers.get("access-control-allow-origin") == allowed
        asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
        asked["Access-Control-Request-Headers"] = "authorization, idempotency-key, last-event-id, scrip-organisation"
        preflight = service.client(None).options("/api/v1/accounts", headers=asked)
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, "https://app.example")
        assert "access-control-allow-credentials" not in preflight.headers  # a session's cookie opens nothing elsewhere


def test_a_ledger_that_cannot_answer(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    client, path = service.client(), f"/api/v1/accounts/{address()}"

    async def unknown(*_: Any, **__: Any) -> Any:
        raise OutcomeUnknown

    async def full(*_: Any, **__: Any) -> Any:
        raise Overloaded

    for fault, code in ((unknown, "outcome_unknown"), (full, "overloaded")):
        monkeypatch.setattr(Ledger, "execute", fault)
        monkeypatch.setattr(Ledger, "execute_all", fault)
        monkeypatch.setattr(Ledger, "current", fault)
        single = client.post(path + "/debits", json={"amount": 1}, headers={"Idempotency-Key": "k"})
        batch = client.post("/api/v1/batch", json={"operations": [{"path": path + "/debits", "body": {"amount": 1}}]})
        for answer in (single, batch):
            assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, code, "1")
        assert client.get(path + "/balance").status_code == 503


def test_a_copy_in_flight_past_its_deadline(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    client, path = service.client(sub="slow"), f"/api/v1/accounts/{address()}/debits"
    name = ("acme", "org_admin:slow", "k")

    async def unknown(*_: Any, **__: Any) -> Any:
        raise OutcomeUnknown

    monkeypatch.setattr(Ledger, "execute", unknown)
    service.services.in_flight[name] += 1
    answer = client.post(path, json={"amount": 1}, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["code"]) == (409, "in_progress")
    del service.services.in_flight[name]
    assert client.post(path, json={"amount": 1}, headers={"Idempotency-Key": "k"}).status_code == 503
    assert not service.services.in_flight


def test_a_fault_of_ours_tells_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("canary")

    monkeypatch.setattr(Ledger, "execute", broken)
    monkeypatch.setattr(Ledger, "current", broken)
    client, path = service.client(), f"/api/v1/accounts/{address()}"
    for answer in (client.post(path + "/debits", json={"amount": 1}), client.get(path + "/balance")):
        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
        assert "canary" not in answer.text


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"fingerprint_secret": SecretStr("short")}, "SCRIP_FINGERPRINT_SECRET"),
        ({"jwt_secret": SecretStr("short")}, "SCRIP_JWT_SECRET"),
        ({"jwt_secret": SecretStr("")}, "SCRIP_JWKS_URL"),
        ({}, "SCRIP_READER_URL"),
        ({"reader_url": SecretStr("postgresql://x")}, "SCRIP_AUDITOR_URL"),
    ],
)
def test_unsafe_settings_stop_the_start(changed: dict[str, Any], named: str) -> None:
    good = {"fingerprint_secret": SecretStr("x" * 32), "jwt_secret": SecretStr("y" * 32)}
    with pytest.raises(UnsafeSettings, match=named):
        create_app(Settings(**(good | changed)), Ledger(Writer("", SCRIP), reader=Reader("", SCRIP)))


def test_a_port_that_is_taken() -> None:
    with listen(Settings(port=0)) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=str(port)):
            listen(Settings(port=port))


def test_no_database_no_start() -> None:
    uri = "postgresql://nobody@127.0.0.1:1/none"
    settings = Settings(
        fingerprint_secret=SecretStr("x" * 32),
        jwt_secret=SecretStr("y" * 32),
        writer_url=SecretStr(uri),
        reader_url=SecretStr(uri),
        auditor_url=SecretStr(uri),
        port=0,
    )
    app = create_app(settings, Ledger(Writer(uri, SCRIP), reader=Reader(uri, SCRIP)))
    with pytest.raises(psycopg.OperationalError):
        asyncio.run(serve(app, settings))


def test_a_request_that_never_matched_a_route_is_counted_as_other() -> None:
    metrics, sent = Metrics(), []

    async def inner(_scope: Any, _receive: Any, _send: Any) -> None:
        raise ZeroDivisionError

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {"type": "http", "method": "GET", "path": "/", "headers": []}
    asyncio.run(Edge(inner, metrics)(scope, receive, send))
    assert sent[0]["status"] == 500
    assert b'scrip_http_requests_total{method="GET",route="other",status="500"} 1.0' in metrics.exposition()
