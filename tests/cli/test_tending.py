"""A service goes on where a machine has no room, memory or file descriptors left, and starts again what ended."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.service.tending import TendedServer
from infra.embedded import DataFolder, EmbeddedPostgres, ServerUnavailable, read_running
from infra.embedded.process import ChildProcess
from tests.cli.program import ROOT
from tests.waiting import ENOUGH_S, patient, wait_until

# A process of its own, because the limit is one of the whole process.
WITHOUT_DESCRIPTORS = """
import os, resource, sys, time
from pathlib import Path
from cli.service.role_process import RoleProcess
from cli.service.tending import TendedServer
from infra.embedded import DataFolder, EmbeddedPostgres

with DataFolder(Path(sys.argv[1])) as folder:
    server = EmbeddedPostgres(folder)
    address = server.start()
    tended = TendedServer(server, folder, "postgres", "PostgreSQL", address, lambda said: print(said, flush=True))
    role = RoleProcess(folder, "sweeper")
    role.start()
    server.kill()
    role._child.stop()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1, hard))
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        assert not tended.tend()
        said = role.tend()
        time.sleep(0.05)
    assert server.pid is None and role.pid is None
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    role.try_now()
    while not (tended.tend() or server.pid and role.pid):
        role.tend()
        time.sleep(0.05)
    print("both run", flush=True)
    tended.end()
    role.stop(0.1)
    server.stop()
"""


def test_a_service_without_file_descriptors_goes_on_and_starts_again_what_ended(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DESCRIPTORS, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=patient(120),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0] == "PostgreSQL has ended; starting it again"
    assert "PostgreSQL does not start and is tried again" in said[1]
    assert "both run" in said
    assert len(said) <= 4, "told once"


def test_a_child_that_cannot_be_forked_is_one_sentence_and_the_next_one_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_given: object, **_named: object) -> None:
        raise MemoryError("cannot allocate memory")

    with monkeypatch.context() as short:
        short.setattr(subprocess, "Popen", no_memory)
        with pytest.raises(ServerUnavailable, match="cannot be started: cannot allocate memory"):
            start(tmp_path)
    child = start(tmp_path)
    assert child.alive
    child.stop()


def start(folder: Path) -> ChildProcess:
    return ChildProcess(["/bin/sleep", "60"], marker="60", log=folder / "log", death_signal=signal.SIGKILL)


def test_a_log_that_cannot_be_written_does_not_keep_a_child_from_its_work(tmp_path: Path) -> None:
    command = ["/bin/sh", "-c", 'for n in 1 2 3; do echo line; done; echo done > "$1"', "sh", str(tmp_path / "done")]
    child = ChildProcess(command, marker="line", log=Path("/dev/full"), death_signal=signal.SIGKILL)
    wait_until((tmp_path / "done").exists, ENOUGH_S, "the child has done its work")
    child.stop()


def test_a_note_that_cannot_be_written_is_written_later(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as folder:
        (tmp_path / "state.json.new").mkdir()
        folder.record_address("kafka", "127.0.0.1:1")
        folder.note_again()
        running = read_running(tmp_path)
        assert running is not None
        assert running.addresses == {}
        (tmp_path / "state.json.new").rmdir()
        folder.note_again()
        running = read_running(tmp_path)
        assert running is not None
        assert running.addresses == {"kafka": "127.0.0.1:1"}


def test_a_start_that_is_under_way_is_ended_with_the_service(tmp_path: Path) -> None:
    with DataFolder(tmp_path / "data") as folder:
        server = EmbeddedPostgres(folder)
        address = server.start()
        tended = TendedServer(server, folder, "postgres", "PostgreSQL", address, lambda _said: None)
        server.kill()
        assert not tended.tend()
        tended.end()
        assert server.pid is None
