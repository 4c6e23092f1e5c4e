"""Scrip refuses to serve on a PostgreSQL that would lose or change what it acknowledged."""

from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infra.embedded import DataFolder, EmbeddedPostgres
from infra.postgres.migrations import migrate
from infra.postgres.selfcheck import UnsafeSetting, check_postgres
from tests.conftest import PARTITIONS, Database


def execute(uri: str, statement: str) -> None:
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(statement.encode())


def refusal(uri: str, partitions: int | None = None) -> UnsafeSetting:
    with pytest.raises(UnsafeSetting) as caught:
        check_postgres(uri, partitions)
    return caught.value


def test_a_safe_server_is_accepted_for_every_login(database: Database) -> None:
    for uri in (
        *(database.writer_uri, database.relay_uri, database.projector_uri),
        *(database.reader_uri, database.auditor_uri),
    ):
        check_postgres(uri)
        check_postgres(uri, PARTITIONS)


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_server_that_loses_data_in_a_power_cut_is_refused(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weakened = ("-c", f"{setting}=off", "-c", "unix_socket_directories=")
    monkeypatch.setattr("infra.embedded.postgres.COMMAND_LINE", weakened)
    folder = DataFolder(tmp_path / "data")
    server = EmbeddedPostgres(folder)
    try:
        server.start()
        migrate(server.address, PARTITIONS)
        error = refusal(server.address)
    finally:
        server.stop()
        folder.close()
    assert (error.server, error.setting, error.value) == ("PostgreSQL", setting, "off")


def test_asynchronous_commit_is_found_wherever_it_was_set(database: Database) -> None:
    name = conninfo_to_dict(database.owner_uri)["dbname"]
    execute(database.owner_uri, f"alter database {name} set synchronous_commit = off")
    error = refusal(database.writer_uri)
    assert (error.setting, error.value) == ("synchronous_commit", "off")
    execute(database.owner_uri, f"alter database {name} reset synchronous_commit")
    check_postgres(database.writer_uri)
    by_session = make_conninfo(database.writer_uri, options="-c synchronous_commit=off")
    assert refusal(by_session).setting == "synchronous_commit"


def test_a_superuser_is_refused(database: Database) -> None:
    error = refusal(database.owner_uri)
    assert error.setting.startswith("the login ")
    assert error.value == "a superuser"


def test_a_login_exempt_from_row_level_security_is_refused(database: Database) -> None:
    execute(database.owner_uri, "create role exempt_for_a_test login bypassrls password 'for-tests-only'")
    execute(database.owner_uri, "grant scrip_relay to exempt_for_a_test")
    try:
        uri = make_conninfo(database.relay_uri, user="exempt_for_a_test", password="for-tests-only")
        assert refusal(uri).value == "exempt from row-level security"
    finally:
        execute(database.owner_uri, "drop role exempt_for_a_test")


@pytest.mark.parametrize("right", ["update", "delete", "truncate"])
def test_a_login_that_may_change_events_is_refused(database: Database, right: str) -> None:
    execute(database.owner_uri, f"grant {right} on events to scrip_writer")
    assert refusal(database.writer_uri).value == "allowed to change events"
    check_postgres(database.relay_uri)


@pytest.mark.parametrize("change", ["disable row level security", "no force row level security"])
def test_a_log_without_row_level_security_is_refused(database: Database, change: str) -> None:
    execute(database.owner_uri, f"alter table events {change}")
    assert refusal(database.writer_uri).setting == "row-level security of events"


def test_another_number_of_partitions_is_refused(database: Database) -> None:
    error = refusal(database.writer_uri, PARTITIONS + 1)
    assert (error.server, error.setting, error.value) == ("Scrip", "SCRIP_PARTITIONS", str(PARTITIONS + 1))
    assert str(PARTITIONS) in error.needed


def test_a_database_without_a_log_is_refused(database: Database) -> None:
    execute(database.owner_uri, "delete from log")
    assert refusal(database.writer_uri).setting == "the log"
