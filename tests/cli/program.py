"""Runs `scrip` as a person does: in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.waiting import patient

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
        timeout=patient(timeout_s),
        env=environment(**variables),
        check=False,
    )
