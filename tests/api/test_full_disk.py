"""No room on PostgreSQL's disk: 503 with Retry-After on every command, and reads go on."""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from api.http.problems import of_the_machine
from infra.disk import NOT_WATCHED, DiskWatch
from tests.api.service import Service, address


@pytest.fixture
def full(service: Service, tmp_path: Path) -> Iterator[None]:
    """A reserve that is larger than any disk."""
    service.writer.disk = DiskWatch({"postgres": str(tmp_path), "kafka": str(tmp_path)}, 2**62)
    yield
    service.writer.disk = NOT_WATCHED


def refused(answer: httpx.Response) -> bool:
    told: dict[str, Any] = answer.json()
    return (answer.status_code, told["code"], answer.headers["Retry-After"]) == (503, "disk_full", "5")


def test_commands_are_refused_and_reads_are_not(service: Service, full: None) -> None:
    client, account = service.client("admin"), f"/api/v1/accounts/{address()}"
    grant = {"amount": 1, "source": "purchase"}
    assert refused(client.post(f"{account}/grants", json=grant))
    assert refused(client.post("/api/v1/batch", json={"operations": [{"path": f"{account}/grants", "body": grant}]}))
    assert client.get("/api/v1/accounts").status_code == 200
    assert client.get("/readyz").status_code == 200
    health = client.get("/health")
    assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
    assert any("commands are refused below" in issue for issue in health.json()["issues"])
    figure = client.get("/api/v1/operations").json()["disk"]
    assert (figure["status"], figure["runbook"]) == ("act", "disk-full")


def test_the_room_is_shown_as_a_figure(service: Service, full: None) -> None:
    lines = service.client("admin").get("/metrics").text.splitlines()
    assert "scrip_disk_full 1.0" in lines
    assert any(line.startswith('scrip_disk_free_bytes{folder="kafka"} ') for line in lines)
    assert any(line.startswith('scrip_disk_size_bytes{folder="postgres"} ') for line in lines)


def test_without_a_watched_disk_nothing_is_refused(service: Service) -> None:
    lines = service.client("admin").get("/metrics").text.splitlines()
    assert "scrip_disk_full 0.0" in lines
    figure = service.client("admin").get("/api/v1/operations").json()["disk"]
    assert (figure["status"], figure["items"]) == ("ok", [])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
        (psycopg.errors.DiskFull(), "disk_full"),
        (OSError(errno.EMFILE, "Too many open files"), "unavailable"),
        (MemoryError(), "unavailable"),
    ],
)
def test_what_the_machine_lacks_is_no_fault_of_ours(error: BaseException, code: str) -> None:
    # An error that ends a command may have come after the commit.
    for method, told in (("GET", code), ("POST", "outcome_unknown")):
        problem = of_the_machine(error, method)
        assert problem is not None
        assert (problem.status, problem.code) == (503, told)
        assert problem.headers["Retry-After"]


def test_other_errors_are_faults() -> None:
    assert of_the_machine(OSError(errno.EIO, "Input/output error"), "GET") is None
    assert of_the_machine(ValueError(), "GET") is None
