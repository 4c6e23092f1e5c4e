"""Log files stay small while their process runs: no line is lost or cut, and a full disk stops nothing."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.embedded.log_files import LogBounds, OwnLog, move_aside, numbered
from tests.waiting import ENOUGH_S, wait_until

BYTES = 65_536
WRITER = """
import logging, sys, threading
from pathlib import Path
import structlog
from cli.role_log import log_as_json
from infra.embedded.log_files import LogBounds, OwnLog
own = OwnLog.of_standard_error(Path(sys.argv[1]), LogBounds(65_536, int(sys.argv[2])))
assert own is not None
log_as_json(own=own)
each = int(sys.argv[3])
def by_structlog():
    log = structlog.get_logger()
    for number in range(each):
        log.info("a", number=number, text="ä" * 50)
def by_logging():
    log = logging.getLogger("tests")
    for number in range(each):
        log.info("b %s", number)
threads = [threading.Thread(target=by_structlog), threading.Thread(target=by_logging)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("on standard output", flush=True)
raise RuntimeError("the end")
"""
NO_SPACE = """
import logging, sys
import structlog
from cli.role_log import log_as_json
log_as_json()
for number in range(500):
    structlog.get_logger().warning("a", text="x" * 100)
    logging.getLogger("tests").warning("b %s", "y" * 100)
sys.stdout.write("served")
"""


def run_writer(log: Path, files: int, each: int) -> None:
    with log.open("ab") as stream:
        command = [sys.executable, "-c", WRITER, str(log), str(files), str(each)]
        subprocess.run(command, stdout=stream, stderr=stream, check=False, timeout=ENOUGH_S)


def all_text(log: Path, files: int) -> str:
    """Of all files, the oldest first."""
    named = [numbered(log, number) for number in range(files - 1, 0, -1)] + [log]
    return "".join(file.read_text() for file in named if file.exists())


def test_no_line_is_lost_or_cut_by_a_switch(tmp_path: Path) -> None:
    log = tmp_path / "role.log"
    run_writer(log, 100, 3_000)
    assert len(list(tmp_path.iterdir())) > 5
    assert all(file.stat().st_size <= BYTES for file in tmp_path.iterdir())
    told = [json.loads(line) for line in all_text(log, 100).splitlines() if line.startswith("{")]
    assert [line["number"] for line in told if line["event"] == "a"] == list(range(3_000))
    assert [line["event"] for line in told if line["event"] != "a"] == [f"b {number}" for number in range(3_000)]
    # What does not pass through the logger follows into the new file.
    assert "on standard output" in log.read_text()
    assert log.read_text().endswith("RuntimeError: the end\n")


def test_the_oldest_are_deleted(tmp_path: Path) -> None:
    log = tmp_path / "role.log"
    run_writer(log, 3, 3_000)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["role.log", "role.log.1", "role.log.2"]
    assert "b 2999" in all_text(log, 3)


def test_fewer_files_than_before_are_kept(tmp_path: Path) -> None:
    for name in ("role.log", "role.log.1", "role.log.2", "role.log.7", "role.log.old", "other.log.9"):
        (tmp_path / name).write_text(name)
    move_aside(tmp_path / "role.log", 3)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        "role.log.1": "role.log",
        "role.log.2": "role.log.1",
        "role.log.old": "role.log.old",
        "other.log.9": "other.log.9",
    }
    move_aside(tmp_path / "role.log", 3)  # while nobody has begun the new one yet
    assert (tmp_path / "role.log.1").read_text() == "role.log"


def test_a_kill_leaves_whole_lines_and_the_next_start_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "role.log"
    for _ in range(2):
        with log.open("ab") as stream:
            command = [sys.executable, "-c", WRITER, str(log), "4", "1000000"]
            writer = subprocess.Popen(command, stdout=stream, stderr=stream)
        try:
            begun = log.stat().st_ino
            wait_until(lambda begun=begun: log.exists() and log.stat().st_ino != begun, 30, "a switch")  # type: ignore[misc]
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.wait(ENOUGH_S)
    broken = [line for line in all_text(log, 4).splitlines() if not (line.startswith("{") and line.endswith("}"))]
    assert broken == []
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 4 * BYTES


def test_a_folder_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    own = OwnLog(tmp_path / "gone" / "role.log", LogBounds(BYTES, 3))
    for _ in range(100):
        own.make_room(BYTES)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk to write to")
def test_a_full_disk_stops_nothing() -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-c", NO_SPACE]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, check=False, timeout=ENOUGH_S)
    assert done.stdout == b"served"


def test_only_the_file_of_standard_error_is_kept_small(tmp_path: Path) -> None:
    other = tmp_path / "other.log"
    assert OwnLog.of_standard_error(other, LogBounds(BYTES, 3)) is None
    other.touch()
    assert OwnLog.of_standard_error(other, LogBounds(BYTES, 3)) is None
