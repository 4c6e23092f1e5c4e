"""A test over its limit fails once, by name, with all stacks; its processes are ended and the other tests go on.

Three lines of defence, each for what the one before it cannot end:

1. At its limit a signal raises `OverLimit` in the test, as often as needed. Its fixtures are taken down as always.
2. What does not react (a call into C, a lock, an exception that is caught) ends with its process: a thread of C,
   which needs no interpreter, writes all stacks and exits. It watches collection and the end of the session, too.
3. `scrip test` ends the whole run at its deadline and prints what was running (`cli/commands/test.py`).

With pytest-xdist a worker is replaced after a test over its limit, whatever ended it: what was interrupted half-way
is not fit for the next test. All processes that it started are ended with it.
"""

import asyncio
import atexit
import faulthandler
import gc
import io
import os
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Generator
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Any

import pytest
import pytest_timeout
from _pytest.outcomes import OutcomeException
from xdist.scheduler import LoadFileScheduling, Scheduling
from xdist.workermanage import WorkerController

from cli.output import complain
from cli.testing import RUN_FOLDER, end_marked, mark_of
from tests.order import group
from tests.waiting import SLOWNESS

COLLECTING, IDLE, LEAVING, FINISHING, ENDED = "collecting", "waiting for a test", "leaving", "finishing", "ended"
HANDING_OUT = "handing out tests"


class OverLimit(OutcomeException):
    """A test took longer than it may.

    An outcome, so that pytest takes down all fixtures after it, and not `Failed`, which Hypothesis catches and repeats.
    """


def pytest_configure(config: pytest.Config) -> None:
    """Watch this process; in the process that hands tests out, watch the workers."""
    if RUN_FOLDER not in os.environ:  # pytest was not started by `scrip test`
        os.environ[RUN_FOLDER] = tempfile.mkdtemp(prefix="scrip-tests-")
        config.add_cleanup(partial(shutil.rmtree, os.environ[RUN_FOLDER], ignore_errors=True))
    folder = Path(os.environ[RUN_FOLDER])
    worker = getattr(config, "workerinput", {}).get("workerid")
    mark = mark_of(folder.name, worker)
    os.environ[mark] = "1"
    if worker is None and config.getoption("dist", "no") != "no":
        config.pluginmanager.register(Workers(folder, mark))
    else:
        config.pluginmanager.register(Watch(config, folder, mark, worker))


class Watch:
    """The limits of whatever runs in this process."""

    def __init__(self, config: pytest.Config, folder: Path, mark: str, worker: str | None) -> None:
        self._mark, self._worker = mark, worker
        self._limit_s = float(pytest_timeout.get_env_settings(config).timeout or 0) * SLOWNESS
        self._note = folder / f"{worker or 'main'}.now"
        self._stacks = _stacks_file(config, folder, worker)
        self._in_phase = self._over = False
        self._ends_s = 0.0
        faulthandler.enable(self._stacks)
        faulthandler.register(signal.SIGUSR1, self._stacks)
        if worker:
            atexit.register(self._now, ENDED)
        self._now(COLLECTING)
        self._kill_after(self._limit_s + grace_s(self._limit_s))

    def _now(self, what: str) -> None:
        self._note.write_text(f"{os.getpid()} {what}", encoding="utf-8")

    def _kill_after(self, seconds: float) -> None:
        if self._limit_s:
            faulthandler.dump_traceback_later(seconds, exit=True, file=self._stacks)

    def pytest_collection_finish(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        self._now(IDLE)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._now(f"running {item.nodeid}")
        try:
            return (yield)
        finally:
            self._disarm()
            if self._over and self._worker:
                self._now(f"{LEAVING} after {item.nodeid}")
                os._exit(1)
            self._over = False
            self._now(IDLE)

    @pytest.hookimpl(tryfirst=True)
    def pytest_timeout_set_timer(self, item: pytest.Item, settings: Any) -> bool:
        """Take the place of pytest-timeout's own timer, which ends at the first failure."""
        limit_s = settings.timeout * SLOWNESS
        grace = grace_s(limit_s)

        def over(_number: int, _frame: FrameType | None) -> None:
            __tracebackhide__ = True  # the traceback ends where the test is
            # Between setup, test and teardown an exception would end the session; it comes again.
            if self._in_phase and not pytest_timeout.is_debugging():
                first, self._over = not self._over, True
                again = "" if first else " again, in what follows it"
                raise OverLimit(f"over the limit of {limit_s:g} s{again}: {item.nodeid}\n{other_stacks()}")

        signal.signal(signal.SIGALRM, over)
        signal.setitimer(signal.ITIMER_REAL, limit_s, grace / 2)
        self._ends_s = monotonic() + limit_s + grace
        self._kill_after(limit_s + grace)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_timeout_cancel_timer(self) -> bool:
        return True  # it is asked for at the first failure; teardown has limits too

    @pytest.hookimpl(trylast=True)
    def pytest_exception_interact(self) -> None:
        if self._ends_s:  # pytest has cancelled it at a failure
            self._kill_after(max(self._ends_s - monotonic(), 1.0))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self) -> Generator[None, object, object]:
        return (yield from self._phase())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        return (yield from self._phase())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, object]:
        return (yield from self._phase())

    def _phase(self) -> Generator[None, object, object]:
        self._in_phase = True
        try:
            return (yield)
        finally:
            self._in_phase = False

    def _disarm(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        self._ends_s = 0.0

    def pytest_enter_pdb(self) -> None:
        self._disarm()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """The end has its limit, the interpreter's own end included: threads are waited for there."""
        self._now(FINISHING)
        self._kill_after(self._limit_s + grace_s(self._limit_s))

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        if not self._worker:
            _say_ended(end_marked(self._mark))


class Workers:
    """The process that hands tests out: what becomes of a worker that ended before its time."""

    def __init__(self, folder: Path, mark: str) -> None:
        self._folder, self._mark = folder, mark
        self._begun: dict[str, bool] = {}  # test -> whether it has ended
        self._failed: set[str] = set()
        self._faults: list[str] = []
        folder.joinpath("controller.now").write_text(f"{os.getpid()} {HANDING_OUT}", encoding="utf-8")
        faulthandler.register(signal.SIGUSR1, folder.joinpath("controller.stacks").open("w", encoding="utf-8"))

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Scheduling | None:
        return Files(config, log, self._begun) if config.getoption("dist") == "loadfile" else None

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._begun[nodeid] = False

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._begun[nodeid] = True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed.add(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_testnodedown(self, node: WorkerController, error: object) -> None:
        """End what a dead worker left. A worker that cannot even begin is not replaced: the next would not either."""
        name = node.gateway.id
        if not error:
            return
        _say_ended(end_marked(f"{self._mark}_{name}"), of=name)
        was = self._last_note(name)
        if was.startswith(COLLECTING):
            pytest.exit(f"{name} ended while it collected the tests\n{self._stacks(name)}", returncode=1)
        if not was.startswith((LEAVING, "running")):
            self._faults.append(f"{name} ended while it was {was or 'starting'}\n{self._stacks(name)}")

    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """Show why a worker died, as far as it could say it."""
        self._begun[crashitem] = True
        name = report.node.gateway.id
        stacks = self._stacks(name)
        why = "it is over its limit and did not react" if stacks.startswith("Timeout") else "its process died"
        if crashitem in self._failed:  # its failure is known: this is an error of its teardown
            report.when = "teardown"
        report.location = (*report.location[:2], crashitem.partition("::")[2])
        report.longrepr = f"{why}: {crashitem} (its worker, {name}, is replaced)\n{stacks}"

    @pytest.hookimpl(wrapper=True, trylast=True)  # before the summary is printed
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        finished = yield  # xdist ends the workers, in 10 s or by force
        for note in sorted(self._folder.glob("gw*.now")):
            if self._last_note(note.stem) == FINISHING:
                self._faults.append(f"{note.stem} had to be killed: it did not end after its last test")
        if self._faults and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return finished

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for fault in self._faults:
            terminalreporter.write_sep("=", "a worker ended before its time", red=True)
            terminalreporter.write_line(fault)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        _say_ended(end_marked(self._mark))

    def _last_note(self, worker: str) -> str:
        try:
            return self._folder.joinpath(f"{worker}.now").read_text(encoding="utf-8").partition(" ")[2]
        except FileNotFoundError:
            return ""

    def _stacks(self, worker: str) -> str:
        try:
            return self._folder.joinpath(f"{worker}.stacks").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""


class Files(LoadFileScheduling):
    """Each worker gets one file at a time, as by `--dist loadfile`; and the run goes on when a worker dies.

    The files that are to run together (tests/order.py) count as one.

    pytest-xdist 3.8 hands out again all files that a dead worker ever had, and the test that ended it. A worker whose
    new file has nothing left to do, or one test only, then waits for ever.
    """

    def __init__(self, config: pytest.Config, log: Any, begun: dict[str, bool]) -> None:
        super().__init__(config, log)
        self._begun = begun

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid) or super()._split_scope(nodeid)

    def remove_node(self, node: WorkerController) -> str | None:
        """Hand out what a worker has not begun. Returns the test that it was running, None if there was none."""
        deadly = None
        for scope, tests in self.assigned_work.pop(node).items():
            waiting = [test for test, done in tests.items() if not done]
            deadly = next((test for test in waiting if self._begun.get(test) is False), deadly)
            if left := {test: False for test in waiting if test not in self._begun}:
                self.workqueue[scope] = left
                self.workqueue.move_to_end(scope, last=False)
        for other in self.assigned_work:
            self._reschedule(other)
        return deadly

    def _assign_work_unit(self, node: WorkerController) -> None:
        # A worker that has just died is known to be dead only when its end is worked off; `remove_node` then takes
        # back what it was given here.
        with suppress(OSError):
            super()._assign_work_unit(node)

    def _reschedule(self, node: WorkerController) -> None:
        if node not in self.registered_collections:
            return  # it is still collecting; it asks when it has done so
        super()._reschedule(node)
        # A worker runs a test when it knows the next one.
        while self.workqueue and not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
            self._assign_work_unit(node)


def grace_s(limit_s: float) -> float:
    """How long after its limit a test may still take itself down, in seconds: a minute after five.

    On a busy machine it takes two seconds only to say what all threads and tasks were doing.
    """
    return max(5.0, limit_s / 5)


def other_stacks() -> str:
    """What every thread does but the main one, and what every asyncio task waits for."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    text = io.StringIO()
    for ident, frame in sys._current_frames().items():
        stack = traceback.extract_stack(frame)
        # The main thread's is the failure's own; pytest-xdist's listens to its controller.
        if ident != threading.main_thread().ident and "_thread_receiver" not in {step.name for step in stack}:
            print(f"-- thread {names.get(ident, ident)}", *traceback.format_list(stack), sep="\n", file=text)
    for found in gc.get_objects():
        if issubclass(type(found), asyncio.Task) and not found.done():
            found.print_stack(file=text)
    return text.getvalue()


def _stacks_file(config: pytest.Config, folder: Path, worker: str | None) -> io.TextIOWrapper:
    """Where stacks go: a worker's to a file of its own, for its controller to show; else to the terminal."""
    if worker:
        return folder.joinpath(f"{worker}.stacks").open("w", encoding="utf-8")
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is None:
        return os.fdopen(os.dup(2), "w")
    with capture.global_and_fixture_disabled():
        return os.fdopen(os.dup(2), "w")


def _say_ended(names: list[str], of: str = "the tests") -> None:
    if names:
        complain(f"ended what {of} left running: {', '.join(names)}")
