"""A copied data folder has a copied note: what it names is the original's and is neither asked nor signalled."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infra.embedded import DataFolder, DataFolderInUse, EmbeddedPostgres, ServerUnavailable, read_running
from infra.embedded.folder import Place, noted_elsewhere, place_of
from infra.embedded.postgres import PostgresData
from infra.embedded.process import ChildProcess, ProcessIdentity
from tests.infra.embedded.conftest import is_running
from tests.infra.embedded.test_data_folder import owner_process
from tests.infra.embedded.test_embedded_postgres import ask
from tests.waiting import ENOUGH_S

Copy = Callable[[Path, Path], object]


def copied(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", source, target], check=True, timeout=ENOUGH_S)


@pytest.fixture
def owned(tmp_path: Path) -> Iterator[Path]:
    """A folder that a living process owns."""
    owner = owner_process(tmp_path / "original")
    yield tmp_path / "original"
    owner.kill()
    owner.wait(ENOUGH_S)


@pytest.fixture
def left(folder: DataFolder) -> Iterator[ChildProcess]:
    """A living process that the folder's note names."""
    child = ChildProcess(["/bin/sleep", "64"], marker="64", log=folder.path / "log", death_signal=signal.SIGKILL)
    folder.record_process("postgres", child.identity)
    yield child
    child.stop()


def test_a_copy_of_a_living_folder_has_nothing_running(owned: Path, tmp_path: Path) -> None:
    copied(owned, tmp_path / "copy")
    assert read_running(owned) is not None
    assert read_running(tmp_path / "copy") is None
    told: list[str] = []
    with DataFolder(tmp_path / "copy", told.append) as folder:
        assert folder.process("kafka") is None
        assert noted_elsewhere(folder.path) is None  # it has a note of its own now
    assert [line.partition(" in ")[0] for line in told] == [
        "The note of running processes",
        "It was copied while it was",
    ]
    assert read_running(owned) is not None


def test_a_copy_of_a_stopped_folder_is_an_ordinary_folder(tmp_path: Path) -> None:
    with DataFolder(tmp_path / "original"):
        pass
    copied(tmp_path / "original", tmp_path / "copy")
    told: list[str] = []
    with DataFolder(tmp_path / "original"), DataFolder(tmp_path / "copy", told.append):
        assert told == []


def test_a_moved_folder_is_the_same_folder(left: ChildProcess, folder: DataFolder, tmp_path: Path) -> None:
    folder.path.rename(tmp_path / "moved")
    assert read_running(tmp_path / "moved") is not None
    with pytest.raises(DataFolderInUse):
        DataFolder(tmp_path / "moved")


def test_two_names_of_a_folder_have_one_owner(owned: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(owned)
    assert read_running(tmp_path / "link") is not None
    with pytest.raises(DataFolderInUse):
        DataFolder(tmp_path / "link")


def test_a_copy_made_of_hard_links_is_refused(tmp_path: Path) -> None:
    with DataFolder(tmp_path / "original"):
        pass
    subprocess.run(["cp", "-al", tmp_path / "original", tmp_path / "copy"], check=True, timeout=ENOUGH_S)
    with pytest.raises(ServerUnavailable, match=r"shares its files .*cp -a"):
        DataFolder(tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy")
    with DataFolder(tmp_path / "original"):
        pass


HERE = Place(device=1, inode=2, lock_inode=3, machine="m", boot="b", booted_s=10.0, pid_namespace="pid:[1]")


@pytest.mark.parametrize(
    ("there", "why"),
    [
        (HERE, None),
        (replace(HERE, booted_s=500.0), None),  # a corrected clock
        (replace(HERE, inode=9), "copy"),
        (replace(HERE, lock_inode=9), "copy"),
        (replace(HERE, device=9), "copy"),
        (replace(HERE, inode=9, boot="c"), "copy"),
        (replace(HERE, machine="n"), "another machine"),
        (replace(HERE, pid_namespace="pid:[2]"), "container"),
        (replace(HERE, boot="c"), "restart"),
        (replace(HERE, boot="c", device=9, pid_namespace="pid:[2]"), "restart"),  # both may change at a restart
    ],
)
def test_what_a_place_is_known_by(there: Place, why: str | None) -> None:
    found = there.mismatch(HERE)
    assert (found is None) if why is None else (found is not None and why in found.why)


def test_without_ids_of_starts_their_times_are_compared() -> None:
    here = replace(HERE, boot="")
    assert replace(here, booted_s=11.0).mismatch(here) is None
    assert replace(here, booted_s=5_000.0).mismatch(here) is not None


@pytest.mark.parametrize("field", ["boot", "machine", "pid_namespace", "inode"])
def test_what_is_noted_elsewhere_gets_no_signal(
    left: ChildProcess, folder: DataFolder, tmp_path: Path, field: str
) -> None:
    """As after a restart, in another container, or in a copy: the number of a process may be another one's."""
    state = folder.path / "state.json"
    raw = json.loads(state.read_text())
    raw["place"][field] = "other" if isinstance(raw["place"][field], str) else 1
    state.write_text(json.dumps(raw))
    assert read_running(folder.path) is None
    folder._running.processes.clear()  # so that it is given free as after a kill -9, with its note
    os.close(folder._lock_fd)
    with DataFolder(folder.path) as later:
        EmbeddedPostgres(later)._stop_leftovers()
    folder._lock_fd = -1
    assert left.alive


def test_the_place_of_a_folder_is_one_for_all_processes(owned: Path) -> None:
    raw = json.loads((owned / "state.json").read_text())  # written by another process
    assert Place(**raw["place"]).mismatch(place_of(owned)) is None


def test_a_database_behind_a_symbolic_link_has_one_owner(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    """`cp -a` copies a link as a link: both folders then lead to one database."""
    data = Path(str(ask(postgres.address, "SHOW data_directory")[0][0]))
    with DataFolder(tmp_path / "copy") as copy:
        (copy.path / "postgres").symlink_to(data)
        with pytest.raises(DataFolderInUse):
            EmbeddedPostgres(copy).start()
    assert postgres.pid is not None
    assert ask(postgres.address, "SELECT 1") == [(1,)]


def test_only_sessions_in_this_folder_are_ended(postgres: EmbeddedPostgres, folder: DataFolder) -> None:
    """A name is not enough: in another container the same name is another folder."""
    assert PostgresData(postgres._folder)._sessions()
    folder.subfolder("postgres")
    assert PostgresData(folder)._sessions() == []
    pid = postgres.pid
    assert pid is not None
    assert is_running(pid)


def test_a_copy_of_a_running_database_starts_beside_it(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    """The copied `postmaster.pid` names the original's process, and the copied note as well."""
    source = postgres._folder.path
    ask(postgres.address, "CREATE TABLE copied (n int)")
    pid = postgres.pid
    copied(source, tmp_path / "copy")
    assert (tmp_path / "copy" / "postgres" / "postmaster.pid").exists()
    with DataFolder(tmp_path / "copy") as folder:
        server = EmbeddedPostgres(folder)
        try:
            ask(server.start(), "INSERT INTO copied VALUES (1)")
            assert ask(postgres.address, "SELECT count(*) FROM copied") == [(0,)]
        finally:
            server.stop()
    assert postgres.pid == pid


def test_a_note_of_an_older_version_names_nothing(folder: DataFolder, left: ChildProcess, tmp_path: Path) -> None:
    raw = json.loads((folder.path / "state.json").read_text())
    del raw["place"]
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "state.json").write_text(json.dumps(raw))
    with DataFolder(tmp_path / "old") as old:
        assert old.process("postgres") is None
    assert ProcessIdentity(**raw["processes"]["postgres"]).find() is not None
