"""Rebuilds asked for over HTTP: one at a time, done by a projector, taken up again after a crash."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from consumers import rebuild
from infra.settings import Settings
from tests.api.service import Service, address, running, settings_of
from tests.conftest import Database
from tests.waiting import patient

CURRENT = "/api/v1/rebuilds/current"


@pytest.fixture
def service(database: Database) -> Iterator[Service]:
    with running(database) as made:
        account = address()
        made.client().post(f"/api/v1/accounts/{account}/grants", json={"amount": 5, "source": "gift"})
        yield made


@contextmanager
def projector(database: Database) -> Iterator[None]:
    """The part of a projector that rebuilds, in a thread."""
    settings: Settings = settings_of(database, projector_url=SecretStr(database.projector_uri))
    started, control = Event(), []

    async def main() -> None:
        stop = asyncio.Event()
        control.append((asyncio.get_running_loop(), stop))
        started.set()
        await rebuild.serve_rebuilds(settings, stop)

    thread = Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert started.wait(10)
    try:
        yield
    finally:
        loop, stop = control[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        assert not thread.is_alive()


def until(service: Service, *states: str) -> dict[str, Any]:
    deadline = monotonic() + patient(20)
    while monotonic() < deadline:
        told: dict[str, Any] = service.client("admin").get(CURRENT).json()
        if told["state"] in states:
            return told
        sleep(0.05)
    raise AssertionError(f"it is {told}")


def test_a_rebuild_is_asked_for_once_and_done_by_a_projector(service: Service) -> None:
    admin = service.client("admin")
    assert admin.get(CURRENT).status_code == 404
    asked = admin.post("/api/v1/rebuilds", json={})
    assert (asked.status_code, asked.json()["state"], asked.json()["waiting"]) == (202, "requested", True)
    again = admin.post("/api/v1/rebuilds", json={})
    assert (again.status_code, again.json()["code"]) == (409, "in_progress")
    with projector(service.database):
        done = until(service, "done")
        assert (done["by"], done["generation"], done["error"]) == ("admin:boss", 2, None)
        assert done["done"] == done["total"] >= 1
        others = service.client("auditor").get(CURRENT).json()
        assert (others["state"], others["percent"]) == ("done", 100)
        assert (others["by"], others["done"], others["total"]) == (None, None, None)
        assert service.client("admin").get("/api/v1/operations").json()["last_rebuild"]["live"]["generation"] == 2
        assert admin.post("/api/v1/rebuilds").status_code == 202  # and the next one, by the same projector
        assert until(service, "done")["generation"] == 3


def test_what_a_dead_projector_left_is_taken_up(service: Service) -> None:
    service.client("admin").post("/api/v1/rebuilds")
    with psycopg.connect(service.database.owner_uri) as connection:
        connection.execute(
            "update rebuilds set state = 'running', started_at = now() - interval '1 hour',"
            " seen_at = now() - interval '1 hour', done = 7"
        )
    left = service.client("admin").get(CURRENT).json()
    assert (left["state"], left["waiting"]) == ("running", True)
    assert service.client("admin").get("/api/v1/operations").json()["last_rebuild"]["status"] == "look"
    with projector(service.database):
        assert until(service, "done")["generation"] == 2


def test_one_projector_at_a_time(service: Service) -> None:
    service.client("admin").post("/api/v1/rebuilds")
    with projector(service.database), projector(service.database):
        assert until(service, "done")["generation"] == 2
    with psycopg.connect(service.database.owner_uri) as connection:
        assert connection.execute("select count(*), max(generation) from rebuilds").fetchone() == (1, 2)


def test_a_rebuild_that_fails_leaves_what_is_live(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise LookupError("no such type")

    monkeypatch.setattr(rebuild, "rebuild_from", broken)
    service.client("admin").post("/api/v1/rebuilds")
    with projector(service.database):
        assert until(service, "failed")["error"] == "LookupError: no such type"
    figure = service.client("admin").get("/api/v1/operations").json()["last_rebuild"]
    assert (figure["status"], figure["runbook"], figure["live"]["generation"]) == ("act", "rebuild-failed", 1)


def test_a_projector_that_stops_leaves_the_rest_to_the_next(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = Event()

    def endless(_uri: str, progress: Any) -> Any:
        while True:
            progress(3, 10, 1.0)
            begun.set()
            sleep(0.02)

    monkeypatch.setattr(rebuild, "rebuild_from", endless)
    service.client("admin").post("/api/v1/rebuilds")
    with projector(service.database):
        assert begun.wait(20)
        deadline = monotonic() + patient(20)
        while service.client("admin").get(CURRENT).json()["done"] != 3:
            assert monotonic() < deadline
            sleep(0.05)
    assert until(service, "running")["total"] == 10
    monkeypatch.undo()
    with projector(service.database):
        assert until(service, "done")["generation"] == 2
