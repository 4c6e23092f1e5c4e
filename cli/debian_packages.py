"""Programs that the tests need and pip cannot bring, installed by apt-get where they are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from cli.failure import Failure

# Package -> what shows that it is there, however it came: a program on the path, or a file.
NEEDED = {
    "chromium": "chromium",
    "curl": "curl",  # the documentation speaks to the API with it
    "nodejs": "node",
    "npm": "npm",
    "fonts-dejavu-core": "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
}
LAST_WORDS = 5

Report = Callable[[str], None]


def missing_packages() -> list[str]:
    """The packages of `NEEDED` that this machine lacks."""
    return [name for name, sign in NEEDED.items() if not (shutil.which(sign) or Path(sign).is_file())]


def install_packages(names: Sequence[str], report: Report) -> None:
    """Install them by apt-get, as root or through a sudo that asks nothing; `report` hears how far it is.

    Raises Failure with the command to type where that is not possible, or with apt-get's last words.
    """
    by_hand = f"apt-get install --no-install-recommends {' '.join(names)}"
    if shutil.which("apt-get") is None:
        raise Failure(f"The tests need {', '.join(names)}; here is no apt-get to install them with.")
    rights = _rights()
    if rights is None:
        raise Failure(f"The tests need {', '.join(names)}; as root: {by_hand}")
    apt = [
        *(*rights, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "--no-install-recommends"),
        # Another apt may be at work, and mirrors fail now and then.
        *("-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3", "-o", "APT::Status-Fd=1"),
    ]
    for arguments in (["update"], ["install", *names]):
        status, words = _run([*apt, *arguments], report)
        if status:
            raise Failure(f"{by_hand} failed (apt-get {arguments[0]}: {' '.join(words)})")


def _rights() -> list[str] | None:
    """What to put before a command so that it runs as root; None if we may not."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo is None:
        return None
    silent = [sudo, "-n"]
    asked = subprocess.run([*silent, "true"], capture_output=True, check=False)  # noqa: S603 - the sudo on the path
    return silent if asked.returncode == 0 else None


def _run(command: list[str], report: Report) -> tuple[int, list[str]]:
    """Run apt-get; returns its exit status and its last words."""
    words: deque[str] = deque(maxlen=LAST_WORDS)
    with subprocess.Popen(  # noqa: S603 - put together above
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as apt:
        for line in apt.stdout or ():
            said = _progress(line)
            if said:
                report(said)
            elif line.strip():
                words.append(line.strip())
    return apt.returncode, list(words)


def _progress(line: str) -> str:
    """`dlstatus:1:20.5:Retrieving file 1 of 9` (or `pmstatus:…`) as `20 % Retrieving file 1 of 9`; else nothing."""
    kind, _, rest = line.strip().partition(":")
    parts: Sequence[str] = rest.split(":", 2)
    if kind not in {"dlstatus", "pmstatus"} or len(parts) < 3:
        return ""
    return f"{parts[1].partition('.')[0]} % {parts[2]}"
