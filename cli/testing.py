"""What `scrip test` needs beside pytest: programs from Debian, packages from npm, and an end to what the tests started.

Tests reach no network, so what is missing is installed before the first one runs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from cli.failure import Failure

# Package -> what shows that it is there, however it came: a program on the path, or a file.
NEEDED = {
    "chromium": "chromium",
    "curl": "curl",  # the documentation speaks to the API with it
    "nodejs": "node",
    "npm": "npm",
    "fonts-dejavu-core": "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
}
APT_LAST_WORDS = 5
NPM_LOCK = "package-lock.json"
NPM_DEADLINE_S = 300
NPM_LAST_CHARACTERS = 500
RUN_FOLDER = "SCRIP_TEST_RUN"  # where each process of a test run keeps its note (`<name>.now`) and its stacks
END_S = 5.0  # PostgreSQL and Kafka stop in order if they are given so long
ROUNDS = 3  # a process may start another while it is being ended

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
    rights = _root_rights()
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


def _root_rights() -> list[str] | None:
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
    words: deque[str] = deque(maxlen=APT_LAST_WORDS)
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


def node_packages_missing(folder: Path) -> bool:
    """Whether `folder` lacks what its lock file names, or has what an older one named."""
    installed = folder / "node_modules" / NPM_LOCK
    return not installed.is_file() or installed.read_bytes() != (folder / NPM_LOCK).read_bytes()


def install_node_packages(folder: Path) -> None:
    """Install by the lock file's hashes and run none of the packages' scripts. Raises Failure with npm's last words."""
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            command, cwd=folder, capture_output=True, text=True, timeout=NPM_DEADLINE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(f"npm ci in {folder} failed: {error}") from error
    if done.returncode:
        raise Failure(f"npm ci in {folder} failed: {done.stderr.strip()[-NPM_LAST_CHARACTERS:]}")
    # Written last: an interrupted installation has none.
    (folder / "node_modules" / NPM_LOCK).write_bytes((folder / NPM_LOCK).read_bytes())


def mark_of(run: str, worker: str | None = None) -> str:
    """The environment variable of every process that a test run, or one worker of it, has started.

    A daemon leaves its parent, its session and its process group, but keeps the environment that it was started with.
    """
    return "PROCESS_OF_" + run.replace("-", "_") + (f"_{worker}" if worker else "")


def end_marked(mark: str, end_s: float = END_S) -> list[str]:
    """End every process that has the variable `mark`, and its descendants; all but this process.

    Asks each to end, and kills it after `end_s` seconds. Returns the names of those that had to be ended, sorted.
    """
    ended: set[tuple[int, str]] = set()
    for _ in range(ROUNDS):
        found = _marked(mark)
        if not found:
            break
        ended |= found.keys()
        for process in found.values():
            _signal(process, kill=False)
        _, left = psutil.wait_procs(list(found.values()), end_s)
        for process in left:
            _signal(process, kill=True)
        psutil.wait_procs(left, end_s)
    return sorted(name for _, name in ended)


def has_mark(number: int, mark: str) -> bool:
    """Whether the process of this number has the variable `mark`; not so if there is none, or it is another user's."""
    try:
        return mark in psutil.Process(number).environ()
    except psutil.Error:
        return False


def _marked(mark: str) -> dict[tuple[int, str], psutil.Process]:
    found: dict[tuple[int, str], psutil.Process] = {}
    for process in psutil.process_iter():
        if not has_mark(process.pid, mark):
            continue
        try:
            family = [process, *process.children(recursive=True)]
        except psutil.Error:
            continue
        for member in family:
            try:
                if member.pid != os.getpid() and member.status() != psutil.STATUS_ZOMBIE:
                    found[member.pid, member.name()] = member
            except psutil.Error:
                continue
    return found


def _signal(process: psutil.Process, *, kill: bool) -> None:
    with suppress(psutil.Error):
        process.kill() if kill else process.terminate()
