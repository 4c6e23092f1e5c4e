"""`scrip test`: everything that continuous integration checks."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import Annotated

import typer

from cli.failure import Failure
from cli.options import Json

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("domain", "projections", "consumers", "infra", "api", "console", "client", "cli", "benchmarks", "tests")
# Two processes more than there are processors: browsers, brokers and crashes are waited for more than computed.
# A worker is replaced after a test over its limit: eight times, then the fault is not in single tests.
SPREAD = (
    *("-n", str(min(4, (os.cpu_count() or 1) + 2)), "--dist", "loadfile", "--no-loadscope-reorder"),
    *("--max-worker-restart", "8"),
)
DEADLINE_S = 1_800.0  # twice what the tests may take, and under the limit of any continuous integration
TIMED_OUT = 124  # as timeout(1) says it
LAST_WORDS_S = 30.0  # within which pytest prints what has failed so far
TOOLS = ("ruff", "mypy", "pytest", "hypothesis", "jsonschema", "playwright", "axe_playwright_python")
NODE = ROOT / "tests" / "browser" / "npm"
PICTURES = ROOT / ".screenshots"
MEMORY = Path("/dev/shm")  # noqa: S108 - a file system in memory; only a folder with a name of its own is made there
MUCH_ROOM = 8 * 1024**3  # bytes: all that the tests write at a time is a quarter of it


Quick = Annotated[
    bool, typer.Option("--quick", help="Leave out what takes long: browsers, brokers, crash drills, long properties.")
]


def test(context: typer.Context, quick: Quick = False, as_json: Json = False) -> None:  # noqa: PT028 - a command
    """Check style and types, then run the tests; further arguments go to pytest, e.g. `scrip test -k import`.

    Exit status 0 if everything passed. Real PostgreSQL and Kafka are started by the tests themselves. Chromium and
    Node.js are installed from the Debian archive where they are missing. Each screen's picture goes to the folder in
    SCRIP_SCREENSHOTS, by default .screenshots. With --quick nothing is installed; it takes some three minutes.

    A test that takes over 300 seconds fails, with what it waited for. After 30 minutes everything ends, with what was
    running (SCRIP_TEST_DEADLINE_S). On a slow or busy machine, SCRIP_TEST_SLOWNESS=2 doubles all limits, the tests'
    own waits included.

    What the tests write is in memory where there is room for it, a fifth less work, and is gone afterwards;
    --basetemp=FOLDER keeps it there.
    """
    from cli.output import complain, say_json

    missing = [tool for tool in TOOLS if importlib.util.find_spec(tool) is None]
    if missing:
        raise Failure(f"{', '.join(missing)} is not installed; start with ./scrip, which installs it.")
    if not (ROOT / "tests").is_dir():
        raise Failure("The tests are in the repository; run ./scrip test there.")
    folders = [name for name in FOLDERS if (ROOT / name).is_dir()]
    python = [sys.executable, "-m"]
    extra = [*(["--quick"] if quick else []), *context.args]
    steps = {
        "ruff": [*python, "ruff", "check", *folders],
        "mypy": [*python, "mypy", "--strict", *folders],
        # Each process has servers of its own.
        "pytest": [*python, "pytest", "-q", "--durations=10", *SPREAD, *(extra or ["tests"])],
    }
    if any(not argument.startswith("-") for argument in extra):
        # A part of the tests is named: run it alone.
        steps = {"pytest": [*python, "pytest", "-q", "--durations=10", *extra]}
    # Beside the installation and the tests, which wait for networks, browsers and servers often enough.
    checks = {name: _beside(name, command) for name, command in steps.items() if name != "pytest"}
    if checks and not quick:
        _install_missing()
        complain(f"pictures of the screens go to {os.environ.get('SCRIP_SCREENSHOTS') or PICTURES}")
    complain("== pytest")
    results = {"pytest": _run_tests(steps["pytest"], quiet=as_json)}
    results |= {name: check.result() for name, check in checks.items()}
    if as_json:
        say_json(results)
    failed = [name for name, status in results.items() if status]
    if failed:
        complain(f"failed: {', '.join(failed)}")
        raise typer.Exit(1)


def _install_missing() -> None:
    """Bring what the tests need beside Python packages; quick where it is there. Raises Failure."""
    from cli.output import complain, status
    from cli.testing import install_node_packages, install_packages, missing_packages, node_packages_missing
    from infra.embedded.kafka import make_class_cache

    missing = missing_packages()
    if missing:
        complain(f"installing {', '.join(missing)} (once; some minutes)")
        with status("asking the archive") as show:
            install_packages(missing, show)
        complain("installed")
    if node_packages_missing(NODE):
        with status("installing React and what builds it, from npm"):
            install_node_packages(NODE)
    with status("having Java remember the broker's classes"):
        make_class_cache()  # the tests start some forty brokers


def _beside(name: str, command: list[str]) -> Future[int]:
    """Run a check in the background and say what came of it when it is over."""
    from cli.output import complain

    def run() -> int:
        try:
            done = subprocess.run(  # noqa: S603 - one of the commands above
                command,
                cwd=ROOT,
                env=_environment(),
                capture_output=True,
                text=True,
                check=False,
                timeout=_deadline_s(),
            )
        except subprocess.TimeoutExpired as late:
            complain(f"== {name}: {late}")
            return TIMED_OUT
        complain(f"== {name}: {'ok' if done.returncode == 0 else done.stdout + done.stderr}")
        return done.returncode

    threads = ThreadPoolExecutor(1)
    try:
        return threads.submit(run)
    finally:
        threads.shutdown(wait=False)


def _run_tests(command: list[str], *, quiet: bool) -> int:
    """Run pytest until its end or the deadline. Nothing that it started runs on after it."""
    from cli.testing import RUN_FOLDER, end_marked, mark_of

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # The deadline sends SIGINT. A script that runs us in its background ignores it, and pytest would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="scrip-tests-", dir=_in_memory()) as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL has a user of its own, who must get through
        files = folder / "tmp"
        files.mkdir()
        files.chmod(0o1777)
        mark = mark_of(folder.name)
        # With --json standard output is for the one document.
        pytest = subprocess.Popen(  # noqa: S603 - the command above, with what the person at the terminal added
            command,
            cwd=ROOT,
            env={**_environment(), RUN_FOLDER: name, mark: "1", "TMPDIR": str(files)},
            stdout=sys.stderr if quiet else None,
        )
        try:
            return pytest.wait(_deadline_s())
        except subprocess.TimeoutExpired:
            _say_what_runs(folder, mark)
            pytest.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                pytest.wait(LAST_WORDS_S)
            return TIMED_OUT
        except KeyboardInterrupt:
            with suppress(subprocess.TimeoutExpired):
                pytest.wait(LAST_WORDS_S)
            raise
        finally:
            end_marked(mark)


def _in_memory() -> Path | None:
    """Where files are kept in memory, if there is room: servers that write their logs to a disk wait for it."""
    import psutil

    room = shutil.disk_usage(MEMORY).free if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else 0
    return MEMORY if min(room, psutil.virtual_memory().available) > MUCH_ROOM else None


def _deadline_s() -> float:
    given = os.environ.get("SCRIP_TEST_DEADLINE_S")
    return float(given) if given else DEADLINE_S * float(os.environ.get("SCRIP_TEST_SLOWNESS") or 1)


def _say_what_runs(folder: Path, mark: str) -> None:
    """Print what each process of the tests is doing, with all its stacks."""
    from cli.output import complain
    from cli.testing import has_mark

    complain(f"the tests did not end within {_deadline_s():g} s; what they were doing:")
    for note in sorted(folder.glob("*.now")):
        number, _, what = note.read_text(encoding="utf-8").partition(" ")
        if has_mark(int(number), mark):
            os.kill(int(number), signal.SIGUSR1)  # faulthandler writes them, whatever the process is doing
            sleep(1)
            stacks = note.with_suffix(".stacks")
            said = stacks.read_text(encoding="utf-8", errors="replace") if stacks.exists() else ""
            complain(f"== {note.stem}: {what}\n{said}")


def _environment() -> dict[str, str]:
    # Hundreds of processes start in the tests; without __pycache__ each would compile all our code again.
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**ours, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
