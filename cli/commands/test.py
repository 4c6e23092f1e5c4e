"""`scrip test`: everything that continuous integration checks."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import typer

from cli.options import Json

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("domain", "projections", "consumers", "infra", "api", "console", "client", "cli", "benchmarks", "tests")
# One process more than there are processors: browsers, brokers and crashes are waited for more than computed.
SPREAD = ("-n", str(min(4, (os.cpu_count() or 1) + 1)), "--dist", "loadfile", "--no-loadscope-reorder")
TOOLS = ("ruff", "mypy", "pytest", "hypothesis", "jsonschema", "playwright", "axe_playwright_python")
NODE = ROOT / "tests" / "browser" / "npm"
PICTURES = ROOT / ".screenshots"


def test(context: typer.Context, as_json: Json = False) -> None:  # noqa: PT028 - a command, not a test
    """Check style and types, then run the tests; further arguments go to pytest, e.g. `scrip test -k import`.

    Exit status 0 if everything passed. Real PostgreSQL and Kafka are started by the tests themselves. Chromium and
    Node.js are installed from the Debian archive where they are missing. Each screen's picture goes to the folder in
    SCRIP_SCREENSHOTS, by default .screenshots.
    """
    from cli.failure import Failure
    from cli.output import complain, say_json

    missing = [tool for tool in TOOLS if importlib.util.find_spec(tool) is None]
    if missing:
        raise Failure(f"{', '.join(missing)} is not installed; start with ./scrip, which installs it.")
    if not (ROOT / "tests").is_dir():
        raise Failure("The tests are in the repository; run ./scrip test there.")
    folders = [name for name in FOLDERS if (ROOT / name).is_dir()]
    python = [sys.executable, "-m"]
    extra = list(context.args)
    steps = {
        "ruff": [*python, "ruff", "check", *folders],
        "mypy": [*python, "mypy", "--strict", *folders],
        # Each process has servers of its own.
        "pytest": [*python, "pytest", "-q", "--durations=10", *SPREAD, *(extra or ["tests"])],
    }
    if any(not argument.startswith("-") for argument in extra):
        # Somebody works on a part of the tests.
        steps = {"pytest": [*python, "pytest", "-q", "--durations=10", *extra]}
    else:
        _install_missing()
        complain(f"pictures of the screens go to {os.environ.get('SCRIP_SCREENSHOTS') or PICTURES}")
    # Beside the tests, which wait for browsers and servers often enough.
    checks = {name: _beside(name, command) for name, command in steps.items() if name != "pytest"}
    complain("== pytest")
    results = {"pytest": _run(steps["pytest"], quiet=as_json)}
    results |= {name: check.result() for name, check in checks.items()}
    if as_json:
        say_json(results)
    failed = [name for name, status in results.items() if status]
    if failed:
        complain(f"failed: {', '.join(failed)}")
        raise typer.Exit(1)


def _install_missing() -> None:
    """Bring what the tests need beside Python packages; quick where it is there. Raises Failure."""
    from cli.debian_packages import install_packages, missing_packages
    from cli.node_packages import install_node_packages, node_packages_missing
    from cli.output import complain, console
    from infra.embedded.class_cache import make_class_cache

    missing = missing_packages()
    if missing:
        complain(f"installing {', '.join(missing)} (once; some minutes)")
        with console(stderr=True).status("asking the archive") as status:
            install_packages(missing, status.update)
        complain("installed")
    if node_packages_missing(NODE):
        with console(stderr=True).status("installing React and what builds it, from npm"):
            install_node_packages(NODE)
    with console(stderr=True).status("having Java remember the broker's classes"):
        make_class_cache()  # the tests start some forty brokers


def _beside(name: str, command: list[str]) -> Future[int]:
    """Run a check in the background and say what came of it when it is over."""
    from cli.output import complain

    def run() -> int:
        done = subprocess.run(  # noqa: S603 - one of the commands above
            command, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False
        )
        complain(f"== {name}: {'ok' if done.returncode == 0 else done.stdout + done.stderr}")
        return done.returncode

    threads = ThreadPoolExecutor(1)
    try:
        return threads.submit(run)
    finally:
        threads.shutdown(wait=False)


def _run(command: list[str], *, quiet: bool) -> int:
    # With --json standard output is for the one document.
    return subprocess.run(  # noqa: S603 - the commands above, with what the person at the terminal added
        command, cwd=ROOT, env=_environment(), stdout=sys.stderr if quiet else None, check=False
    ).returncode


def _environment() -> dict[str, str]:
    # Hundreds of processes start in the tests; without __pycache__ each would compile all our code anew.
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**ours, "PYTHONPATH": os.pathsep.join([str(ROOT), *_given("PYTHONPATH")])}


def _given(name: str) -> list[str]:
    value = os.environ.get(name)
    return [value] if value else []
