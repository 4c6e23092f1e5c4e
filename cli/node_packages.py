"""What the tests of the React module need from npm, fetched before any test runs: tests reach no network."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cli.failure import Failure

LOCK = "package-lock.json"
DEADLINE_S = 300
LAST_CHARACTERS = 500


def node_packages_missing(folder: Path) -> bool:
    """Whether `folder` lacks what its lock file names, or has what an older one named."""
    installed = folder / "node_modules" / LOCK
    return not installed.is_file() or installed.read_bytes() != (folder / LOCK).read_bytes()


def install_node_packages(folder: Path) -> None:
    """Install by the lock file's hashes and run none of the packages' scripts. Raises Failure with npm's last words."""
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            command, cwd=folder, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(f"npm ci in {folder} failed: {error}") from error
    if done.returncode:
        raise Failure(f"npm ci in {folder} failed: {done.stderr.strip()[-LAST_CHARACTERS:]}")
    # Written last: an interrupted installation has none.
    (folder / "node_modules" / LOCK).write_bytes((folder / LOCK).read_bytes())
