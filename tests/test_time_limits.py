"""Planted tests that hang, each in its own way, run as `scrip test` runs ours: nothing stops the others or the run."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cli.commands.test import SPREAD
from tests.cli.program import ROOT, environment
from tests.waiting import SLOWNESS, patient

LIMIT_S = "2"
CONFTEST = """
import pathlib
pytest_plugins = ["tests.time_limits"]
def pytest_runtest_setup(item): item.config.rootpath.joinpath("ran").open("a").write(item.name + "\\n")
"""
DIES_UNSEEN = """
import os, signal
from xdist.workermanage import WorkerController
send = WorkerController.send_runtest_some
def dies_unseen(worker, indices, told=[]):
    told.append(worker.gateway.id)
    if told.count("gw1") == 2 and worker.gateway.id == "gw1":
        os.kill(worker.gateway._io.popen.pid, signal.SIGKILL)
        worker.gateway._io.popen.wait()
    send(worker, indices)
WorkerController.send_runtest_some = dies_unseen
"""
# One file each, so that hanging tests have others before and after them in their file.
HEAD = """
import asyncio, collections, itertools, os, pathlib, signal, subprocess, sys, threading, time
import pytest, uvloop
HERE = pathlib.Path(__file__).parent
def started(*command, **more):
    child = subprocess.Popen(command, **more)
    HERE.joinpath("pids").open("a").write(f"{child.pid}\\n")
    return child
"""
HANGING = {
    "sleep": """
def test_before_sleep(): pass
def test_hangs_in_sleep(): time.sleep(600)
def test_between(): pass
def test_hangs_in_a_join():
    thread = threading.Thread(target=time.sleep, args=(600,), daemon=True, name="sleeper")
    thread.start()
    thread.join()
def test_after_sleep(): pass
""",
    "c_call": """
def test_before_c(): pass
def test_hangs_in_c(): collections.deque(itertools.repeat(0), maxlen=0)
def test_after_c(): pass
""",
    "loops": """
def test_before_asyncio(): pass
def test_hangs_in_asyncio(): asyncio.run(forever())
def test_hangs_in_uvloop(): uvloop.run(forever())
async def forever(): await asyncio.sleep(600)
def test_after_asyncio(): pass
""",
    "children": """
def test_before_children(): pass
def test_hangs_in_a_child():
    started("setsid", "sh", "-c", "trap '' TERM; sleep 600", start_new_session=True)  # leaves and ignores SIGTERM
    subprocess.run(["sleep", "600"])
def test_after_children(): pass
""",
    "fixtures": """
@pytest.fixture
def hangs_after():
    server = started("sleep", "600")
    yield
    time.sleep(600)
@pytest.fixture
def cannot_be_ended():
    yield
    while True:
        try: time.sleep(600)
        except BaseException: pass
def test_before_fixtures(): pass
def test_hangs_in_teardown(hangs_after): pass
def test_between_fixtures(): pass
def test_fails_and_hangs(cannot_be_ended): assert False
def test_after_fixtures(): pass
""",
    "session_fixtures": """
@pytest.fixture(scope="session")
def hangs_once():
    seen = HERE / "seen"
    if not seen.exists():
        seen.touch()
        time.sleep(600)
    yield
def test_hangs_in_setup(hangs_once): pass
def test_after_setup(hangs_once): pass
""",
    "killed": """
def test_before_kill(): pass
def test_is_killed(): os.kill(os.getpid(), signal.SIGKILL)
def test_after_kill(): pass
""",
}
HANG = {
    "test_hangs_in_sleep", "test_hangs_in_a_join", "test_hangs_in_c", "test_hangs_in_asyncio", "test_hangs_in_uvloop",
    "test_hangs_in_a_child", "test_hangs_in_teardown", "test_fails_and_hangs", "test_hangs_in_setup", "test_is_killed",
}  # fmt: skip


class Run:
    """A run of planted tests and what it left."""

    def __init__(
        self, folder: Path, planted: dict[str, str], *options: str, conftest: str = CONFTEST, **variables: str
    ) -> None:
        self._folder = folder
        folder.joinpath("conftest.py").write_text(conftest, encoding="utf-8")
        for name, text in planted.items():
            folder.joinpath(f"test_{name}.py").write_text(HEAD + text, encoding="utf-8")
        place = ("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder), "-p", "no:cacheprovider")
        command = [sys.executable, "-P", "-m", "cli", "test", "--json", str(folder), *place, "--timeout", LIMIT_S]
        self.done = subprocess.run(
            [*command, *options],
            cwd=ROOT,
            env=environment(**{"SCRIP_TEST_SLOWNESS": str(SLOWNESS), **variables}),
            capture_output=True,
            text=True,
            check=False,
            timeout=patient(150),
        )
        self.said = self.done.stdout + self.done.stderr

    @property
    def ran(self) -> list[str]:
        """The tests that began, each as often as it did."""
        return self._folder.joinpath("ran").read_text(encoding="utf-8").split()

    @property
    def left_over(self) -> list[int]:
        """What the planted tests started and nobody ended."""
        pids = self._folder.joinpath("pids").read_text(encoding="utf-8").split()
        return [int(pid) for pid in pids if psutil.pid_exists(int(pid))]

    def outcome(self, word: str) -> list[str]:
        """The names in the lines of the summary that begin with a word."""
        return re.findall(rf"^{word} \S+::(\S+)", self.said, re.MULTILINE)


@pytest.fixture(scope="module")
def hanging(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All that hangs in a test, in one run."""
    return Run(tmp_path_factory.mktemp("hanging"), HANGING, *SPREAD, "--max-worker-restart", "20", "-rA")


def test_each_test_over_its_limit_fails_once_by_name(hanging: Run) -> None:
    assert sorted({*hanging.outcome("FAILED"), *hanging.outcome("ERROR")}) == sorted(HANG), hanging.said
    assert len(hanging.outcome("FAILED")) == len(set(hanging.outcome("FAILED")))
    assert hanging.done.returncode == 1


def test_no_test_runs_twice_and_all_others_pass(hanging: Run) -> None:
    assert len(hanging.ran) == len(set(hanging.ran))
    assert set(hanging.outcome("PASSED")) == {name for name in hanging.ran if name not in HANG} | {
        "test_hangs_in_teardown"  # the test itself passed
    }
    planted = re.findall(r"^def (test_\w+)", "".join(HANGING.values()), re.MULTILINE)
    assert sorted(hanging.ran) == sorted(planted)


@pytest.mark.parametrize(
    "line",
    ["time.sleep(600)", "-- thread sleeper", "in test_hangs_in_c", "Stack for <Task pending", "its process died"],
)
def test_what_it_was_doing_is_shown(hanging: Run, line: str) -> None:
    assert line in hanging.said


def test_a_worker_that_dies_before_it_gets_its_next_tests_is_replaced(tmp_path: Path) -> None:
    others = {f"other{number}": f"def test_other{number}(): pass\n" for number in range(10)}
    run = Run(tmp_path, others, *SPREAD, "-rA", conftest=CONFTEST + DIES_UNSEEN)
    assert "INTERNALERROR" not in run.said
    passed, failed = run.outcome("PASSED"), run.outcome("FAILED")
    assert sorted([*passed, *failed]) == sorted(f"test_{name}" for name in others)
    assert len(failed) <= 1, run.said  # what it was running


def test_its_processes_are_ended(hanging: Run) -> None:
    assert hanging.left_over == []


def test_a_session_fixture_that_does_not_end_is_an_error_of_the_last_test(tmp_path: Path) -> None:
    planted = """
@pytest.fixture(scope="session")
def server():
    yield
    time.sleep(600)
def test_one(server): pass
def test_two(server): pass
"""
    run = Run(tmp_path, {"server": planted, "other": "def test_other(): pass\n"}, *SPREAD, "-rA")
    assert run.outcome("ERROR") == ["test_two"]
    assert sorted(run.outcome("PASSED")) == ["test_one", "test_other", "test_two"]
    assert run.done.returncode == 1


def test_files_that_cannot_be_imported_in_time_end_the_run(tmp_path: Path) -> None:
    run = Run(tmp_path, {"import": "time.sleep(600)\n", "other": "def test_other(): pass\n"}, *SPREAD)
    assert run.done.returncode == 1
    assert "ended while it collected the tests" in run.said
    assert re.search(r'File ".*test_import.py", line \d+ in <module>', run.said)


def test_a_process_that_does_not_end_after_its_tests_fails_the_run(tmp_path: Path) -> None:
    planted = """
def test_leaves_work_for_the_end():
    import atexit
    atexit.register(never_ends)
def never_ends():
    while True:
        try: time.sleep(600)
        except BaseException: pass
"""
    run = Run(tmp_path, {"exit": planted, "other": "def test_other(): pass\n"}, *SPREAD)
    assert run.done.returncode == 1
    assert "it did not end after its last test" in run.said


@pytest.mark.parametrize(("where", "shown"), [("sleep", "time.sleep(600)"), ("c_call", "in test_hangs_in_c")])
def test_without_workers_the_run_ends_too(tmp_path: Path, where: str, shown: str) -> None:
    run = Run(tmp_path, {where: HANGING[where]}, "-rA")
    assert run.done.returncode == 1
    assert shown in run.said
    if where == "sleep":
        assert run.outcome("FAILED") == ["test_hangs_in_sleep", "test_hangs_in_a_join"]
        assert len(run.outcome("PASSED")) == 3


@pytest.fixture
def interrupts_ignored() -> Iterator[None]:
    """As a shell without job control, such as a script's or one under `nohup`, starts what it runs beside itself."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts_ignored")
def test_at_the_deadline_everything_ends_and_says_what_was_running(tmp_path: Path) -> None:
    planted = "def test_fails(): assert False\n" + HANGING["children"]
    both = {"children": planted, "other": "def test_other(): pass\n"}
    run = Run(tmp_path, both, *SPREAD, "--timeout", "300", SCRIP_TEST_DEADLINE_S=str(patient(8)))
    assert run.done.returncode == 1
    assert json.loads(run.done.stdout) == {"pytest": 124}
    assert re.search(r"== gw\d: running test_children.py::test_hangs_in_a_child", run.said)
    assert re.search(r'File ".*test_children.py", line \d+ in test_hangs_in_a_child', run.said)
    assert run.outcome("FAILED") == ["test_fails"]  # what is known by then is said
    assert run.left_over == []


def test_limits_grow_with_the_slowness_of_the_machine(tmp_path: Path) -> None:
    planted = "def test_takes_three_seconds(): time.sleep(3)\n"
    run = Run(tmp_path, {"slow": planted}, SCRIP_TEST_SLOWNESS=str(2 * SLOWNESS))
    assert run.done.returncode == 0, run.said
