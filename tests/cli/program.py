"""Runs `scrip` as a person does: in a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-P", str(ROOT / "cli" / "__main__.py")]


def environment(**more: str) -> dict[str, str]:
    """Ours without any SCRIP_ variable, so that no test depends on whose machine it runs on."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith("SCRIP_") or name == "SCRIP_CACHE"
    }
    return {**clean, "COLUMNS": "200", **more}


def scrip(*arguments: str, timeout_s: float = 60, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=environment(**variables),
        check=False,
    )


def wait_until(condition: Callable[[], bool], deadline_s: float, what: str) -> None:
    """Poll until the condition holds; fails the test at the deadline."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {deadline_s} s: {what}"
        time.sleep(0.05)
