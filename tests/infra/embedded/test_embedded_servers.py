"""Both servers together: up at once, down together, and gone when their owner is killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from infra.embedded import (
    DataFolderInUse,
    EmbeddedPostgres,
    EmbeddedServers,
    PortInUse,
    ServerUnavailable,
    read_running,
)
from tests.infra.embedded.conftest import WaitUntil, is_running
from tests.waiting import ENOUGH_S

OWNER = """
import json, sys, time
from pathlib import Path
import psutil, psycopg
from infra.embedded import EmbeddedServers
servers = EmbeddedServers(Path(sys.argv[1])).start()
with psycopg.connect(servers.postgres_uri, autocommit=True) as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS starts (n serial)")
    connection.execute("INSERT INTO starts DEFAULT VALUES")
print(json.dumps([child.pid for child in psutil.Process().children(recursive=True)]), flush=True)
time.sleep(60)
"""


def count_starts(uri: str) -> int:
    """How often OWNER started on this data."""
    with psycopg.connect(uri) as connection:
        row = connection.execute("SELECT count(*) FROM starts").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal is Linux's")
def test_kill_9_of_the_owner_leaves_no_child_and_loses_no_data(tmp_path: Path, wait_until: WaitUntil) -> None:
    data = tmp_path / "data"
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(data)], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None
        children = json.loads(owner.stdout.readline())
        assert len(children) > 5  # the broker, the database and the database's own children
        running = read_running(data)
        assert running is not None
        assert running.owner.pid == owner.pid
        assert set(running.addresses) == {"postgres", "kafka"}
        with pytest.raises(DataFolderInUse, match=str(owner.pid)), EmbeddedServers(data):
            pass
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait(ENOUGH_S)
    wait_until(lambda: not any(is_running(pid) for pid in children), 5.0)
    assert read_running(data) is None

    steps: list[tuple[str, int, int]] = []
    with EmbeddedServers(data, progress=lambda *step: steps.append(step)) as servers:
        assert count_starts(servers.postgres_uri) == 1
        host, port = servers.kafka_bootstrap.split(":")
        socket.create_connection((host, int(port)), 5).close()
        pids = [servers.postgres.pid, servers.kafka.pid]
        assert all(pid is not None and is_running(pid) for pid in pids)
    assert {("PostgreSQL is up", 1, 1), ("Kafka is up", 1, 1)} <= set(steps)
    assert not any(pid is not None and is_running(pid) for pid in pids)
    assert read_running(data) is None


def test_database_left_behind_is_stopped_at_the_next_start(tmp_path: Path) -> None:
    """As where no death signal exists: the owner is gone, its server runs on."""
    data = tmp_path / "data"
    with EmbeddedServers(data) as servers:
        left = servers.postgres.pid
        assert left is not None
        folder = servers.folder
        state = (folder.path / "state.json").read_text()
        # Forget it without stopping it.
        forgotten, servers.postgres._child = servers.postgres._child, None
        assert forgotten is not None
    try:
        assert is_running(left)
        (data / "state.json").write_text(state.replace(f'"pid": {os.getpid()},', '"pid": 1,'))
        with EmbeddedServers(data) as servers:
            assert servers.postgres.pid != left
            assert not is_running(left)
    finally:
        forgotten.stop()


def test_port_in_use_stops_everything_and_frees_the_folder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        servers = EmbeddedServers(tmp_path / "data", kafka_port=port)
        with pytest.raises(PortInUse, match=str(port)):
            servers.start()
    assert read_running(tmp_path / "data") is None
    with pytest.raises(ServerUnavailable, match="not started"):
        _ = servers.folder
    servers.stop()


def java_children() -> set[int]:
    """The brokers that this process has started and that still run."""
    return {child.pid for child in psutil.Process().children() if child.name() == "java"}


def test_failure_of_one_server_stops_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(server: EmbeddedPostgres, port: int | None = None) -> str:
        raise ServerUnavailable("No database today.")

    monkeypatch.setattr(EmbeddedPostgres, "start", fail)
    servers = EmbeddedServers(tmp_path / "data")
    before = java_children()  # other tests of the session may have a broker running
    with pytest.raises(ServerUnavailable, match="No database today"):
        servers.start()
    assert java_children() == before
    assert read_running(tmp_path / "data") is None
