"""`GET /api/v1/audit/verify` with progress; that there is one at a time; and that what it found is remembered."""

import asyncio
import json
from collections.abc import Iterator
from threading import Event
from typing import Any

import psycopg
import pytest

from domain.resources.table import RESOURCES
from infra.audit import runs
from infra.audit.report import Progress, Report, Section
from infra.settings import Settings
from tests.api.live.listening import Stream
from tests.api.service import Service, running, settings_of
from tests.conftest import Database

EVENTS = {"Accept": "text/event-stream"}


class Audit:
    """An audit that waits until the test lets it go on."""

    def __init__(self) -> None:
        self.by: list[str] = []
        self.go, self.begun = Event(), Event()

    async def __call__(self, by: str, progress: Any) -> dict[str, Any]:
        self.by.append(by)
        await asyncio.to_thread(self._run, progress)
        return {"ok": True, "sections": [{"name": "chain", "ok": True, "first_difference": {"found": "secret"}}]}

    def _run(self, progress: Any) -> None:
        progress("chain", 5, 10)
        self.begun.set()
        while not self.go.wait(0.02):
            progress("chain", 5, 10)


@pytest.fixture
def audit() -> Audit:
    return Audit()


@pytest.fixture
def service(database: Database, audit: Audit) -> Iterator[Service]:
    with running(database, verify=audit) as made:
        yield made


def messages(stream: Stream) -> Iterator[tuple[str, Any]]:
    for block in stream.blocks():
        fields = dict(line.split(": ", 1) for line in block)
        if "data" in fields:
            yield fields["event"], json.loads(fields["data"])


def test_progress_and_then_the_report(service: Service, audit: Audit) -> None:
    client, auditor = service.client("admin"), service.client("auditor")
    with client.stream("GET", "/api/v1/audit/verify", headers=EVENTS) as answer:
        told = messages(Stream(answer))
        assert next(told) == ("progress", {"section": "chain", "done": 5, "total": 10})
        plain = auditor.get("/api/v1/audit/verify")
        assert (plain.status_code, plain.json()["code"]) == (409, "in_progress")
        with auditor.stream("GET", "/api/v1/audit/verify", headers=EVENTS) as watched:  # the same one
            audit.go.set()
            *steps, (name, report) = messages(Stream(watched))
            assert (name, report["ok"]) == ("report", True)
            assert all(step["total"] in {0, 100} for _, step in steps), "in percent, not in everybody's events"
            assert "secret" not in str(report)
        *steps, (name, report) = told
        assert all(step == {"section": "chain", "done": 5, "total": 10} for _, step in steps)
        assert (name, report["sections"][0]["first_difference"]) == ("report", {"found": "secret"})
    assert audit.by == ["admin:boss"]


def test_a_ticket_lets_a_browser_watch(service: Service, audit: Audit) -> None:
    audit.go.set()
    ticket = service.client("auditor").post("/api/v1/stream/tickets").json()["ticket"]
    nobody = service.client(None)
    with nobody.stream("GET", "/api/v1/audit/verify", params={"ticket": ticket}, headers=EVENTS) as answer:
        *_, (name, _) = messages(Stream(answer))
    assert name == "report"
    user = service.client("user").post("/api/v1/stream/tickets").json()["ticket"]
    assert nobody.get("/api/v1/audit/verify", params={"ticket": user}, headers=EVENTS).status_code == 403


def test_it_goes_on_when_its_watcher_goes_and_ends_with_the_service(service: Service, audit: Audit) -> None:
    with service.client().stream("GET", "/api/v1/audit/verify", headers=EVENTS):
        assert audit.begun.wait(10)
    assert service.client().get("/api/v1/audit/verify").status_code == 409
    service.stop()  # and the fixture sees that it does stop, although the audit has not ended


def test_another_process_runs_one(database: Database) -> None:
    async def elsewhere(_by: str, _progress: Any) -> dict[str, Any]:
        raise runs.AuditRunning

    with running(database, verify=elsewhere) as service:
        assert service.client().get("/api/v1/audit/verify").json()["code"] == "in_progress"
        with service.client().stream("GET", "/api/v1/audit/verify", headers=EVENTS) as answer:
            *_, (name, problem) = messages(Stream(answer))
        assert (name, problem["code"]) == ("problem", "in_progress")


def test_one_audit_at_a_time_in_a_deployment_and_each_is_remembered(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, inner = settings_of(database), []

    async def verify(_settings: Settings, _resources: object, progress: Progress) -> Report:
        progress("chain", 1, 1)
        try:
            await runs.audited(settings, RESOURCES.kinds, "somebody:else")
        except runs.AuditRunning as error:
            inner.append(str(error))
        return Report("log", {0: 1}, [Section("chain")])

    monkeypatch.setattr(runs, "verify", verify)
    seen: list[tuple[str, int, int]] = []
    report = asyncio.run(runs.audited(settings, RESOURCES.kinds, "admin:boss", lambda *step: seen.append(step)))
    assert report.ok
    assert seen == [("chain", 1, 1)]
    assert inner == ["An audit is running. Try again when it has ended."]
    with psycopg.connect(database.auditor_uri) as connection:
        kept = connection.execute("select by, holds, report->>'log' from audits").fetchall()
    assert kept == [("admin:boss", True, "log")]
    with running(database) as service:
        last = service.client("admin").get("/api/v1/operations").json()["last_verify"]
        others = service.client("auditor").get("/api/v1/operations").json()["last_verify"]
    assert (last["status"], last["verify"]["by"]) == ("ok", "admin:boss")
    assert others["status"] == "ok"
    assert others["verify"].keys() == {"ended_at", "holds"}
