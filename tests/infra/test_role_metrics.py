"""A role without HTTP of its own shows what it counts."""

import asyncio
import threading

import httpx
import pytest

from cli.commands.roles import sweeper_sources
from domain.registry import SCRIP
from infra.embedded.errors import PortInUse
from infra.embedded.ports import free_port
from infra.role_metrics import Figure, RoleMetrics, metrics_served
from infra.settings import Settings
from infra.sweeper import run_sweeper
from tests.api.service import settings_of
from tests.conftest import Database
from tests.waiting import patient


def shown(port: int) -> str:
    return httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text


def test_figures_are_read_when_somebody_looks() -> None:
    counted, reasons = [1], {"unpriced": 2}
    metrics = RoleMetrics(
        [
            Figure("counter", "scrip_test_seen", "Seen.", lambda: counted[0]),
            Figure("counter", "scrip_test_refused", "Refused.", lambda: reasons, "reason"),
            Figure("gauge", "scrip_test_active", "Active.", lambda: True),
        ]
    )
    port = free_port()
    with metrics_served(Settings(metrics_port=port), metrics):
        assert "scrip_test_seen_total 1.0" in shown(port)
        counted[0] = 5
        text = shown(port)
        for line in ("scrip_test_seen_total 5.0", 'scrip_test_refused_total{reason="unpriced"} 2.0'):
            assert line in text
        assert "scrip_test_active 1.0" in text
        assert "process_resident_memory_bytes" in text
        with pytest.raises(PortInUse), metrics_served(Settings(metrics_port=port), metrics):
            pass
    with pytest.raises(httpx.ConnectError):
        shown(port)


def test_without_a_port_nothing_is_served() -> None:
    before = threading.active_count()
    with metrics_served(Settings(metrics_port=0), RoleMetrics([])):
        assert threading.active_count() == before


def test_a_role_serves_its_own_and_its_writers(database: Database) -> None:
    port = free_port()

    async def while_it_runs() -> str:
        stop, ready = asyncio.Event(), asyncio.Event()
        served = settings_of(database, metrics_port=port)
        role = asyncio.create_task(run_sweeper(served, stop, ready.set, domain=SCRIP, sources=sweeper_sources()))
        async with asyncio.timeout(patient(20)):
            await ready.wait()
            text = await asyncio.to_thread(shown, port)
        stop.set()
        await role
        return text

    text = asyncio.run(while_it_runs())
    assert "scrip_sweeper_swept_total 0.0" in text
    assert "scrip_writer_connected 1.0" in text
