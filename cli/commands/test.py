"""`scrip test`: everything that continuous integration checks."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import typer

from cli.options import Json

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("domain", "projections", "consumers", "infra", "api", "console", "client", "cli", "benchmarks", "tests")
SPREAD = ("-n", "auto", "--maxprocesses", "4", "--dist", "loadfile", "--no-loadscope-reorder")
TOOLS = ("ruff", "mypy", "pytest", "hypothesis", "jsonschema", "playwright", "axe_playwright_python")
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
        # The last, so that its closing line is the last one of all. Each process has servers of its own.
        "pytest": [*python, "pytest", "-q", "--durations=10", *SPREAD, *(extra or ["tests"])],
    }
    if any(not argument.startswith("-") for argument in extra):
        # Somebody works on a part of the tests.
        steps = {"pytest": [*python, "pytest", "-q", "--durations=10", *extra]}
    else:
        _install_missing()
        complain(f"pictures of the screens go to {os.environ.get('SCRIP_SCREENSHOTS') or PICTURES}")
    results: dict[str, int] = {}
    for name, command in steps.items():
        complain(f"== {name}")
        results[name] = _run(command, quiet=as_json)
    if as_json:
        say_json(results)
    failed = [name for name, status in results.items() if status]
    if failed:
        complain(f"failed: {', '.join(failed)}")
        raise typer.Exit(1)


def _install_missing() -> None:
    """Bring what the tests need beside Python packages; quick where it is there. Raises Failure."""
    from cli.debian_packages import install_packages, missing_packages
    from cli.output import complain, console

    missing = missing_packages()
    if not missing:
        return
    complain(f"installing {', '.join(missing)} (once; some minutes)")
    with console(stderr=True).status("asking the archive") as status:
        install_packages(missing, status.update)
    complain("installed")


def _run(command: list[str], *, quiet: bool) -> int:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *_given("PYTHONPATH")])}
    # With --json standard output is for the one document.
    return subprocess.run(  # noqa: S603 - the commands above, with what the person at the terminal added
        command, cwd=ROOT, env=environment, stdout=sys.stderr if quiet else None, check=False
    ).returncode


def _given(name: str) -> list[str]:
    value = os.environ.get(name)
    return [value] if value else []
