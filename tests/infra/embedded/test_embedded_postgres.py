"""PostgreSQL: durable settings, and what it had committed is there after any end."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
from pathlib import Path

import psycopg
import pytest

from infra.embedded import DataFolder, EmbeddedPostgres, PortInUse, ServerUnavailable, read_running
from infra.embedded.log_files import numbered
from infra.embedded.ports import free_port
from tests.infra.embedded.conftest import LOG_BYTES, WaitUntil, is_running


def ask(uri: str, query: str) -> list[tuple[object, ...]]:
    """Run one statement in a transaction of its own."""
    with psycopg.connect(uri, autocommit=True, connect_timeout=10) as connection:
        cursor = connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("shared_buffers", "256MB"),
        ("max_wal_size", "2GB"),
        ("max_connections", "100"),
        ("log_lock_waits", "on"),
        ("password_encryption", "scram-sha-256"),
        ("timezone", "UTC"),
    ],
)
def test_setting(postgres: EmbeddedPostgres, setting: str, value: str) -> None:
    assert ask(postgres.address, f"SHOW {setting}") == [(value,)]


def test_text_sorts_by_code_point_whatever_the_machine(postgres: EmbeddedPostgres) -> None:
    assert ask(postgres.address, "SELECT datcollate, datlocprovider, datlocale FROM pg_database LIMIT 1") == [
        ("C", "b", "C.UTF-8")
    ]
    assert ask(postgres.address, "SELECT lower('Ä'), 'b' < 'Ä'") == [("ä", True)]


def test_unsafe_setting_does_not_survive_a_restart(postgres: EmbeddedPostgres) -> None:
    ask(postgres.address, "ALTER SYSTEM SET fsync = off")
    postgres.stop()
    postgres.start()
    assert ask(postgres.address, "SHOW fsync") == [("on",)]
    ask(postgres.address, "ALTER SYSTEM RESET fsync")


def test_login_needs_the_password(postgres: EmbeddedPostgres) -> None:
    user, rest = postgres.address.removeprefix("postgresql://").split(":", 1)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"postgresql://{user}:wrong@{rest.split('@')[1]}", connect_timeout=10)


def test_data_is_there_after_a_stop_and_a_kill(postgres: EmbeddedPostgres) -> None:
    uri = postgres.address
    ask(uri, "CREATE TABLE kept (n int)")
    ask(uri, "INSERT INTO kept VALUES (1)")
    postgres.stop()
    assert postgres.pid is None
    with pytest.raises(psycopg.OperationalError):
        ask(uri, "SELECT 1")
    assert postgres.start() == uri  # the same port: clients need not be told
    ask(uri, "INSERT INTO kept VALUES (2)")
    postgres.kill()
    assert postgres.pid is None
    assert postgres.start() == uri
    assert ask(uri, "SELECT n FROM kept ORDER BY n") == [(1,), (2,)]


def test_kill_waits_for_a_session_at_work(postgres: EmbeddedPostgres, wait_until: WaitUntil) -> None:
    with contextlib.closing(psycopg.connect(postgres.address, autocommit=True)) as busy:
        pid = busy.info.backend_pid
        # It computes and never looks whether its main process is alive.
        busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 2000000000)")
        active = f"SELECT state FROM pg_stat_activity WHERE pid = {pid}"
        wait_until(lambda: ask(postgres.address, active) == [("active",)], 10.0)
        postgres.kill()
    assert not is_running(pid)
    postgres.start()


def test_note_for_other_processes(postgres: EmbeddedPostgres) -> None:
    folder = Path(str(ask(postgres.address, "SHOW data_directory")[0][0])).parent
    running = read_running(folder)
    assert running is not None
    assert running.addresses["postgres"] == postgres.address
    assert running.processes["postgres"].pid == postgres.pid
    postgres.stop()
    running = read_running(folder)
    assert running is not None
    assert running.addresses == {}
    postgres.start()


def test_its_log_stays_small_and_loses_no_line(postgres: EmbeddedPostgres, wait_until: WaitUntil) -> None:
    log = postgres._folder.path / "logs" / "postgres.log"
    size = 1_000
    for start in range(0, 3 * size, size):
        ask(
            postgres.address,
            f"DO $$ BEGIN FOR i IN {start}..{start + size - 1} LOOP RAISE LOG 'line % of a flood', i; END LOOP; END $$",
        )
        # Each flood is larger than a file may be: it is moved aside, and a new file is begun.
        wait_until(lambda: log.exists() and log.stat().st_size < LOG_BYTES, 10.0)
    files = [numbered(log, number) for number in range(4, 0, -1)] + [log]
    text = "".join(file.read_text() for file in files if file.exists())
    assert [int(found) for found in re.findall(r"line (\d+) of a flood\n", text)] == list(range(3 * size))
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    pid = postgres.pid
    postgres.stop()
    assert "database system is shut down" in log.read_text()
    postgres.start()
    assert postgres.pid != pid


def test_files_with_secrets_are_private(postgres: EmbeddedPostgres) -> None:
    data = Path(str(ask(postgres.address, "SHOW data_directory")[0][0]))
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE((data.parent / "postgres.password").stat().st_mode) == 0o600
    assert not (data.parent / "postgres.password.initdb").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give it up")
def test_root_starts_it_as_another_user(postgres: EmbeddedPostgres) -> None:
    assert Path(f"/proc/{postgres.pid}").stat().st_uid != 0


def test_port_in_use_is_refused_by_number(folder: DataFolder) -> None:
    server = EmbeddedPostgres(folder)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=f"Port {port} on 127.0.0.1 is already in use") as refusal:
            server.start(port)
        assert refusal.value.port == port
        assert server.pid is None


def test_given_port_is_used(folder: DataFolder) -> None:
    server = EmbeddedPostgres(folder)
    port = free_port()
    try:
        assert f"@127.0.0.1:{port}/" in server.start(port)
    finally:
        server.stop()


def test_interrupted_initdb_is_repeated(folder: DataFolder) -> None:
    (folder.subfolder("postgres.new") / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(folder)
    try:
        assert ask(server.start(), "SELECT 1") == [(1,)]
    finally:
        server.stop()


def test_failing_initdb_is_a_sentence_with_its_last_words(folder: DataFolder) -> None:
    (folder.path / "postgres.password").write_text("\n")
    with pytest.raises(ServerUnavailable, match=r"PostgreSQL's folder .* cannot be made: initdb failed .*password"):
        EmbeddedPostgres(folder).start()
    assert not (folder.path / "postgres.new").exists()


def test_damaged_data_is_a_sentence_with_its_last_words(folder: DataFolder) -> None:
    server = EmbeddedPostgres(folder)
    server.start()
    server.stop()
    (folder.path / "postgres" / "global" / "pg_control").unlink()
    with pytest.raises(ServerUnavailable, match=r"PostgreSQL does not start: .*pg_control"):
        server.start()
    assert server.pid is None


def test_files_of_different_moments_are_a_sentence_with_the_cause(folder: DataFolder) -> None:
    """As in a copy of a folder in use, where the control file is newer than the log that it names."""
    server = EmbeddedPostgres(folder)
    server.start()
    server.kill()
    for segment in (folder.path / "postgres" / "pg_wal").glob("0*"):
        segment.unlink()
    with pytest.raises(ServerUnavailable, match=r"PostgreSQL does not start: .*could not locate .* checkpoint record"):
        server.start()


def test_uri_before_the_first_start_is_refused(folder: DataFolder) -> None:
    with pytest.raises(ServerUnavailable, match="not started"):
        _ = EmbeddedPostgres(folder).address
