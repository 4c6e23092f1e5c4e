"""Children end with their parent, and leftovers are stopped without hitting anybody else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra.embedded.errors import ServerUnavailable
from infra.embedded.process import ChildProcess, ProcessIdentity, own_identity, stop_leftover
from tests.infra.embedded.conftest import WaitUntil, is_running
from tests.waiting import ENOUGH_S, joined

SLEEP = "/bin/sleep"
PARENT = """
import signal, sys, threading, time
from pathlib import Path
from infra.embedded.process import ChildProcess
def start():
    child = ChildProcess(["/bin/sleep", "61"], marker="61", log=Path(sys.argv[1]), death_signal=signal.SIGKILL)
    print(child.identity.pid, flush=True)
starter = threading.Thread(target=start)
starter.start()
starter.join()
time.sleep(60)
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[ChildProcess]:
    """A child that sleeps."""
    started = ChildProcess([SLEEP, "62"], marker="62", log=tmp_path / "log", death_signal=signal.SIGKILL)
    yield started
    started.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal is Linux's")
def test_kill_9_of_the_parent_ends_the_child(tmp_path: Path, wait_until: WaitUntil) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        # Started from a thread that has ended: that alone must not end the child.
        assert is_running(pid)
        parent.kill()
        parent.wait(ENOUGH_S)
        wait_until(lambda: not is_running(pid), 5.0)
    finally:
        parent.kill()
        parent.wait(ENOUGH_S)


def test_child_outlives_the_thread_that_asked_for_it(tmp_path: Path) -> None:
    children: list[ChildProcess] = []

    def start() -> None:
        children.append(ChildProcess([SLEEP, "63"], marker="63", log=tmp_path / "log", death_signal=signal.SIGKILL))

    starter = threading.Thread(target=start)
    starter.start()
    joined(starter)
    try:
        with pytest.raises(psutil.TimeoutExpired):  # it does not end
            psutil.Process(children[0].identity.pid).wait(0.3)
        assert children[0].alive
    finally:
        children[0].stop()


def test_child_has_a_session_of_its_own(child: ChildProcess) -> None:
    # Ctrl-C in a terminal goes to the whole group: only the parent may get it.
    assert os.getsid(child.identity.pid) == child.identity.pid


def test_stop_kills_a_child_that_ignores_the_signal(tmp_path: Path, wait_until: WaitUntil) -> None:
    log = tmp_path / "log"
    stubborn = ChildProcess(
        ["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"],
        marker="trap",
        log=log,
        death_signal=signal.SIGKILL,
    )
    try:
        wait_until(lambda: "ready" in log.read_text(), 10.0)
    finally:
        stubborn.stop((signal.SIGTERM, 0.2))
    assert not stubborn.alive


def test_last_words_are_of_this_run_only(tmp_path: Path, wait_until: WaitUntil) -> None:
    log = tmp_path / "log"
    log.write_text("an earlier run\n")
    talker = ChildProcess(
        ["/bin/sh", "-c", "echo one; echo; echo two >&2"], marker="one", log=log, death_signal=signal.SIGKILL
    )
    wait_until(lambda: not talker.alive, 10.0)
    assert talker.last_words() == "one | two"


def test_log_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ServerUnavailable, match="/bin/sleep cannot be started"):
        ChildProcess([SLEEP, "1"], marker="1", log=tmp_path / "no" / "log", death_signal=signal.SIGKILL)


def test_leftover_is_stopped(child: ChildProcess) -> None:
    assert stop_leftover(child.identity, signal.SIGTERM)
    assert not child.alive
    assert not stop_leftover(child.identity, signal.SIGTERM)


def test_process_that_only_has_the_same_pid_is_left_alone(child: ChildProcess) -> None:
    pid, created_s = child.identity.pid, child.identity.created_s
    for other in (
        ProcessIdentity(pid=pid, created_s=created_s - 60, marker="62"),
        ProcessIdentity(pid=pid, created_s=created_s, marker="/somebody/elses/folder"),
    ):
        assert not stop_leftover(other, signal.SIGKILL)
    assert not stop_leftover(None, signal.SIGKILL)
    assert child.alive


def test_own_identity_is_found() -> None:
    found = own_identity().find()
    assert found is not None
    assert found.pid == os.getpid()
    assert found.create_time() <= time.time()
