"""`GET /api/v1/operations`: each figure with its status, its sentence and its page of the runbook."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from api.operator import figures as operator_figures
from consumers.usage import USAGE
from infra.kafka.lag import read_by_us
from infra.kafka.topics import LEDGER, provision, topic_name
from tests.api.generating import give, new_user
from tests.api.service import Service, running, settings_of
from tests.conftest import PARTITIONS, Database
from tests.infra.consumer_lag import group_lag

FIGURES = {
    *("read_models", "notifier", "usage", "consumers", "oldest_hold", "overdue_holds", "quarantine", "webhooks"),
    *("last_verify", "last_rebuild", "log", "topic", "disk", "relay"),
}


@pytest.fixture(scope="module")
def owner(service: Service) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(service.database.owner_uri, autocommit=True) as connection:
        yield connection


def figures(service: Service, role: str = "admin", org: str = "acme") -> dict[str, Any]:
    answer = service.client(role, org=org).get("/api/v1/operations")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_a_quiet_service(service: Service) -> None:
    service.project()
    told = figures(service)
    assert set(told) == FIGURES | {"as_of"}
    for name in FIGURES:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", told[name]["runbook"])
        assert told[name]["status"] in {"ok", "look"}
    assert told["read_models"]["message"] == "Up to date."
    assert (told["last_verify"]["status"], told["last_verify"]["verify"]) == ("look", None)
    assert told["oldest_hold"]["hold"] is None


def test_lag_and_stops(service: Service, owner: psycopg.Connection[Any]) -> None:
    service.project()
    give(service, f"user:{new_user(service)}:credits", 5)
    late = figures(service)["read_models"]
    assert (late["events"], late["message"].startswith("1 event behind")) == (1, True)
    assert sum(part["events"] for part in late["partitions"]) == 1
    owner.execute("insert into read_stops (partition, position, reason) values (1, 5, 'unknown type')")
    stopped = figures(service)["read_models"]
    assert (stopped["runbook"], stopped["status"]) == ("read-models-stopped", "act")
    assert stopped["partitions"][1]["stopped"] == "event 5: unknown type"
    owner.execute("delete from read_stops")
    assert figures(service)["notifier"]["events"] >= 1  # no notifier has run


def test_holds_are_an_auditors_own_and_an_admins_all(service: Service, owner: psycopg.Connection[Any]) -> None:
    user = new_user(service, credits=100)
    path = f"/api/v1/accounts/user:{user}:credits/reservations"
    held = service.client().post(path, json={"amount": 7, "ttl_seconds": 60}).json()["reservation_id"]
    service.project()
    mine = figures(service, "auditor")["oldest_hold"]
    assert (mine["hold"]["id"], mine["hold"]["amount"], mine["hold"]["org"]) == (held, 7, "acme")
    assert figures(service, "auditor", "globex")["oldest_hold"]["hold"] is None
    assert figures(service, "admin", "globex")["oldest_hold"]["hold"]["id"] == held
    schema = owner.execute("select 'read_g' || live from read_generation").fetchone()
    assert schema is not None
    owner.execute(f"update {schema[0]}.reservations set expires_at = now() - interval '2 minutes'")  # type: ignore[arg-type, unused-ignore]
    late = figures(service)["overdue_holds"]
    assert (late["count"], late["status"], late["message"]) == (1, "act", "1 hold should have ended.")


def test_quarantine_and_webhooks(service: Service, owner: psycopg.Connection[Any]) -> None:
    owner.execute(
        "insert into quarantine (id, org, source, event_id, reason, detail, body) values"
        " ('q1', 'globex', 's', 'e', 'unpriced', 'd', 'sealed')"
    )
    owner.execute(
        "insert into webhooks (id, org, url, secret, failing_since, created_by)"
        " values ('w1', 'globex', 'https://example.com', '', now(), 'me')"
    )
    told = figures(service)
    assert (told["quarantine"]["count"], told["webhooks"]["items"][0]["id"]) == (1, "w1")
    assert told["quarantine"]["status"] == told["webhooks"]["status"] == "look"
    own = figures(service, "auditor")
    assert (own["quarantine"]["count"], own["webhooks"]["count"]) == (0, 0)


def test_the_broker_is_asked_for_the_usage_that_waits(
    database: Database, kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(database, kafka=kafka, topic_prefix=topic_prefix)
    group = topic_name(settings, USAGE.group)
    assert (topic_name(settings, USAGE.topic), group) in read_by_us(settings)
    asyncio.run(provision(settings, PARTITIONS))
    lag = asyncio.run(group_lag(settings, group, topic_name(settings, LEDGER), 20))
    assert lag == dict.fromkeys(range(PARTITIONS), 0)
    monkeypatch.setattr(operator_figures, "KAFKA_S", 20.0)
    with running(database, settings) as service:
        assert figures(service)["usage"]["events"] == 0
    away = settings_of(database, kafka="127.0.0.1:1", topic_prefix=topic_prefix)
    with running(database, away) as service:
        assert figures(service)["usage"]["runbook"] == "kafka-away"
