"""`/metrics` on the port that strangers reach: for programs of this machine, an admin, and the metrics token."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from api.operator.health import metrics_of
from infra.embedded.ports import free_port
from infra.role_metrics import metrics_served
from tests.api.service import Service, running, settings_of
from tests.conftest import Database

TOKEN = "a token for prometheus"


@pytest.fixture(scope="module")
def service(module_database: Database) -> Iterator[Service]:
    with running(module_database, settings_of(module_database, metrics_token=SecretStr(TOKEN))) as made:
        yield made


def on_loop(service: Service, work: Any) -> Any:
    loop = service.services.database.reads._sched_runner.get_loop()  # type: ignore[union-attr]
    return asyncio.run_coroutine_threadsafe(work, loop).result(20)


def status(service: Service, address: str = "203.0.113.9", host: str = "scrip.example", **headers: str) -> int:
    """What a caller at this address gets, through the whole application."""

    async def ask() -> int:
        transport = httpx.ASGITransport(service.app, client=(address, 1_234))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            answer = await client.get(
                "/metrics", headers={name.replace("_", "-"): each for name, each in headers.items()}
            )
            assert ("scrip_http_requests" in answer.text) is (answer.status_code == 200)
            return answer.status_code

    return int(on_loop(service, ask()))


def test_strangers_get_nothing(service: Service) -> None:
    assert status(service) == 401
    assert status(service, host="127.0.0.1") == 401, "a Host is anybody's to say"
    assert status(service, Authorization="Bearer wrong") == 401
    for role in ("user", "worker", "org_admin", "auditor"):
        assert status(service, Authorization=f"Bearer {service.token(role)}") == 403, role
    assert status(service, "") == 401


def test_an_admin_and_the_token_read_from_anywhere(service: Service) -> None:
    assert status(service, Authorization=f"Bearer {service.token('admin')}") == 200
    assert status(service, Authorization=f"Bearer {TOKEN}") == 200
    assert status(service, Authorization=f"Bearer {TOKEN}x") == 401


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.7", "::1"])
def test_a_program_on_this_machine_needs_no_login(service: Service, address: str) -> None:
    assert status(service, address, "localhost") == 200
    assert httpx.get(f"{service.url}/metrics").status_code == 200


@pytest.mark.parametrize("name", ["X_Forwarded_For", "Forwarded", "Via", "X_Real_IP", "X_Forwarded_Host"])
def test_a_proxy_on_this_machine_asks_for_others(service: Service, name: str) -> None:
    assert status(service, "127.0.0.1", "localhost", **{name: "127.0.0.1"}) == 401
    assert status(service, "127.0.0.1", "scrip.example") == 401, "and so does one that only passes the name on"


def test_behind_a_trusted_proxy_nobody_is_local(module_database: Database) -> None:
    with running(module_database, settings_of(module_database, trusted_proxy=True)) as service:
        assert httpx.get(f"{service.url}/metrics").status_code == 401
        assert service.client("admin").get("/metrics").status_code == 200


def test_the_metrics_have_a_port_of_their_own(service: Service) -> None:
    port = free_port()
    settings = settings_of(service.database, metrics_port=port)

    async def made() -> Any:
        return metrics_of(service.services)

    with metrics_served(settings, on_loop(service, made())):
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, timeout=20).text
    for name in ("scrip_http_requests_total", "scrip_log_events", "process_resident_memory_bytes"):
        assert name in text
