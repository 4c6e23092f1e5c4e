"""The data folder: private, one owner, and a note that survives its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.embedded import DataFolder, DataFolderInUse, ServerUnavailable, read_running
from infra.embedded.folder import write_private
from infra.embedded.process import ProcessIdentity
from tests.waiting import ENOUGH_S

OWN_FOLDER = """
import sys, time
from pathlib import Path
from infra.embedded import DataFolder
from infra.embedded.process import ProcessIdentity
folder = DataFolder(Path(sys.argv[1]))
folder.record_process("kafka", ProcessIdentity(pid=7, created_s=1.0, marker="m"))
folder.record_address("kafka", "127.0.0.1:1")
print("owned", flush=True)
time.sleep(60)
"""


def owner_process(path: Path) -> subprocess.Popen[str]:
    """A process that owns the folder until it is killed."""
    owner = subprocess.Popen([sys.executable, "-c", OWN_FOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "owned\n"
    return owner


def test_folder_and_everything_in_it_is_private(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    with DataFolder(tmp_path / "data") as folder:
        sub = folder.subfolder("logs")
        assert folder.path.stat().st_mode & 0o777 == 0o700
        assert sub.stat().st_mode & 0o777 == 0o700
        for file in ("state.json", "lock"):
            assert (folder.path / file).stat().st_mode & 0o777 == 0o600


def test_second_owner_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    owner = owner_process(tmp_path / "data")
    try:
        with pytest.raises(DataFolderInUse, match=rf"{tmp_path / 'data'} is in use by process {owner.pid}") as refusal:
            DataFolder(tmp_path / "data")
        assert refusal.value.owner_pid == owner.pid
    finally:
        owner.kill()
        owner.wait(ENOUGH_S)


def test_second_owner_in_the_same_process_is_refused(folder: DataFolder) -> None:
    with pytest.raises(DataFolderInUse, match=str(os.getpid())):
        DataFolder(folder.path)


def test_closed_folder_is_free_and_has_no_note(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.close()
    folder.close()
    assert not (tmp_path / "state.json").exists()
    with DataFolder(tmp_path):
        pass


def test_other_process_reads_what_runs_until_the_owner_is_killed(tmp_path: Path) -> None:
    owner = owner_process(tmp_path)
    try:
        running = read_running(tmp_path)
        assert running is not None
        assert running.owner.pid == owner.pid
        assert running.addresses == {"kafka": "127.0.0.1:1"}
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait(ENOUGH_S)
    assert read_running(tmp_path) is None
    with DataFolder(tmp_path) as successor:
        # The successor must know what to stop, but not take addresses for alive.
        assert successor.process("kafka") == ProcessIdentity(pid=7, created_s=1.0, marker="m")
        running = read_running(tmp_path)
        assert running is not None
        assert running.addresses == {}


def test_no_folder_or_a_foreign_note_means_nothing_runs(tmp_path: Path) -> None:
    assert read_running(tmp_path / "missing") is None
    for text in ("", "[]", '{"owner": 1}', '{"owner": {"pid": "x"}}'):
        (tmp_path / "state.json").write_text(text)
        assert read_running(tmp_path) is None


def test_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServerUnavailable, match="The data folder .*file/data cannot be used"):
        DataFolder(tmp_path / "file" / "data")


def test_failed_write_keeps_the_old_text(tmp_path: Path) -> None:
    file = tmp_path / "note"
    write_private(file, "old")
    (tmp_path / "note.new").mkdir()
    with pytest.raises(ServerUnavailable, match="cannot be written"):
        write_private(file, "new")
    assert file.read_text() == "old"
