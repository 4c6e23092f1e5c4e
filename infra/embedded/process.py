"""Child processes that do not outlive their parent.

On Linux the kernel signals each child when its parent dies, however it dies. Elsewhere a child may
stay behind after a kill -9; the next start finds it by its recorded identity and stops it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.embedded.errors import ServerUnavailable
from infra.embedded.log_files import log_bounds, move_aside

Child = subprocess.Popen[bytes]
_Request = tuple[list[str], int, dict[str, str], Sequence[int], Future[Child]]


class ForkThread:
    """Starts children from a thread of its own; safe to use from any thread and after a fork."""

    def __init__(self) -> None:
        """The thread starts with the first child."""
        self._requests: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        self._owner_pid = 0
        self._lock = threading.Lock()

    def start(self, command: list[str], log_fd: int, env: dict[str, str], inherited: Sequence[int] = ()) -> Child:
        """Start a command in a session of its own; stdout and stderr go to `log_fd`.

        `inherited`: further file descriptors that it has under the same numbers. Raises OSError, or what Python raises
        where it has no memory or no thread left.
        """
        with self._lock:
            if self._owner_pid != os.getpid():  # first use, or we are a fork, which has no such thread
                self._requests = queue.SimpleQueue()
                threading.Thread(target=self._run, args=(self._requests,), name="forks", daemon=True).start()
                self._owner_pid = os.getpid()  # only now: a thread that could not be started is tried again
        answer: Future[Child] = Future()
        self._requests.put((command, log_fd, env, inherited, answer))
        return answer.result()

    def _run(self, requests: queue.SimpleQueue[_Request]) -> None:
        while True:
            command, log_fd, env, inherited, answer = requests.get()
            try:
                child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log_fd,
                    stderr=log_fd,
                    env=env,
                    pass_fds=inherited,
                    cwd="/",
                    # Not in the terminal's group: Ctrl-C is for the parent, which stops the rest in order.
                    start_new_session=True,
                )
            except Exception as error:  # noqa: BLE001 - the thread must outlive it, or all later starts would hang
                answer.set_exception(error)
            else:
                answer.set_result(child)


FORKS = ForkThread()


# The machine's clock may be corrected a little between recording a start and comparing it.
SAME_START_S = 2.0
BECOMING_S = 0.2  # at most; a process without a command line is one of the kernel's


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIdentity:
    """A process that cannot be mistaken for a later one with the same pid.

    `created_s` is its start in seconds since 1970, `marker` a part of its command line (a path in the
    data folder) that no unrelated process has; empty: any command line.
    """

    pid: int
    created_s: float
    marker: str = ""

    def find(self) -> psutil.Process | None:
        """The living process with this identity, or None if it ended or the pid now is another's."""
        try:
            process = psutil.Process(self.pid)
            same_start = abs(process.create_time() - self.created_s) < SAME_START_S
            same_command = not self.marker or any(self.marker in part for part in _command_line(process))
            alive = process.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return None
        return process if same_start and same_command and alive else None


def _command_line(process: psutil.Process) -> list[str]:
    """What the process was started as. For a moment, while it becomes another program, it has none."""
    until = time.monotonic() + BECOMING_S
    while not (parts := process.cmdline()) and time.monotonic() < until:
        time.sleep(0.002)
    return parts


def own_identity() -> ProcessIdentity:
    """This process."""
    process = psutil.Process()
    return ProcessIdentity(pid=process.pid, created_s=process.create_time())


def stop_leftover(identity: ProcessIdentity | None, gentle: signal.Signals, deadline_s: float = 10.0) -> bool:
    """Stop what an earlier owner left running, by force after the deadline; False if there was nothing to stop."""
    process = identity.find() if identity else None
    if identity is None or process is None:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        try:
            process.send_signal(gentle)
            process.wait(deadline_s)
        except psutil.TimeoutExpired:
            process.kill()
            try:
                process.wait(deadline_s)
            except psutil.TimeoutExpired as error:
                raise ServerUnavailable(
                    f"Process {identity.pid}, left by an earlier start, cannot be killed."
                ) from error
    return True


def launched(command: Sequence[str], death_signal: signal.Signals, uid: int | None) -> list[str]:
    """The command, run through the launcher: with a death signal and, if we are root, as user `uid`."""
    launcher = [sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py"))]
    return [*launcher, str(os.getpid()), str(int(death_signal)), str(-1 if uid is None else uid), *command]


def server_environment() -> dict[str, str]:
    """Our environment, with messages in English and file names in UTF-8 whatever the user's locale."""
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def last_lines(text: str, lines: int = 5) -> str:
    """The end of a program's output in one line, for an error sentence."""
    return " | ".join([line.strip() for line in text.splitlines() if line.strip()][-lines:])


def _open_log(log: Path) -> int:
    """The log to append to. Where the disk has no room for it, what is written is lost: the child matters more."""
    try:
        return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


class ChildProcess:
    """A running child with its log file."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        marker: str,
        log: Path,
        death_signal: signal.Signals,
        uid: int | None = None,
        inherited: Sequence[int] = (),
    ) -> None:
        """Start `command` (absolute path first), as user `uid` if we are root and it is given.

        `death_signal` is what the child gets when this process ends in any way. `marker` is a part of
        the command line that is only this child's. `inherited`: file descriptors that the child has under the same
        numbers. Raises ServerUnavailable if it cannot be started.
        """
        self._log = log
        try:
            bounds = log_bounds()
            if log.exists() and log.stat().st_size >= bounds.file_bytes:
                move_aside(log, bounds.files)
            log_fd = _open_log(log)
            self._opened = os.fstat(log_fd)
            try:
                self._child = FORKS.start(launched(command, death_signal, uid), log_fd, server_environment(), inherited)
            finally:
                os.close(log_fd)
        except (OSError, RuntimeError, MemoryError) as error:
            raise ServerUnavailable(f"{command[0]} cannot be started: {error}.") from error
        try:
            created_s = psutil.Process(self._child.pid).create_time()
        except psutil.NoSuchProcess:
            created_s = time.time()  # it ended at once, which its caller sees when it waits for it
        except (psutil.Error, OSError, MemoryError) as error:  # such as no more file descriptors
            self._child.kill()
            self._child.wait()
            raise ServerUnavailable(f"{command[0]} was started and cannot be watched: {error}.") from error
        self.identity = ProcessIdentity(pid=self._child.pid, created_s=created_s, marker=marker)

    @property
    def alive(self) -> bool:
        """Whether the child still runs."""
        return self._child.poll() is None

    def stop(self, *steps: tuple[signal.Signals, float]) -> None:
        """Send each signal in turn, waiting its seconds, and kill at last; returns when the child has ended."""
        for number, deadline_s in (*steps, (signal.SIGKILL, 30.0)):
            if not self.alive:
                return
            self._child.send_signal(number)
            try:
                self._child.wait(deadline_s)
            except subprocess.TimeoutExpired:
                continue
            return
        raise ServerUnavailable(f"Process {self._child.pid} ({self.identity.marker}) cannot be killed.")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if the child has ended."""
        self._child.send_signal(number)

    def last_words(self, lines: int = 5) -> str:
        """The end of what this child wrote to its log, in one line."""
        try:
            with self._log.open("rb") as file:
                now = os.fstat(file.fileno())
                start = self._opened.st_size if now.st_ino == self._opened.st_ino else 0  # else moved aside since
                file.seek(max(start, now.st_size - 16_384))
                return last_lines(file.read().decode(errors="replace"), lines)
        except OSError as error:
            return f"(its log {self._log} cannot be read: {error})"


def server_user(data: Path) -> int | None:
    """The uid for the server and its files in `data`, or None when we are not root and it is our own."""
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        return data.stat().st_uid  # as chosen at the first start
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise ServerUnavailable(
        "PostgreSQL refuses to run as root and this machine has no user 'postgres' or 'nobody';"
        " start scrip as an ordinary user."
    )


def run_to_end(uid: int | None, command: Sequence[str], timeout_s: float) -> str:
    """Run a command, as that user if we are root, and return what it printed.

    Raises ServerUnavailable with its last lines if it fails or takes longer than `timeout_s`.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            launched(command, signal.SIGKILL, uid),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd="/",
            env=server_environment(),
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerUnavailable(f"{name} did not run: {error}.") from error
    if done.returncode != 0:
        raise ServerUnavailable(f"{name} failed with status {done.returncode}: {last_lines(done.stdout)}")
    return done.stdout


def give_access(uid: int | None, folder: Path, program: Path) -> None:
    """Make sure user `uid` can write in `folder` (which root owns) and run `program`.

    Normally the launcher's kept capability is enough. Where the kernel has none, the folder is handed
    to the user: root can still use it. Raises ServerUnavailable if that is not enough either.
    """
    if uid is None:
        return
    probe = ["/bin/sh", "-c", 'test -w "$1" && test -x "$2"', "sh", str(folder), str(program)]
    try:
        run_to_end(uid, probe, 30)
        return
    except ServerUnavailable:
        os.chown(folder, uid, -1)
    try:
        run_to_end(uid, probe, 30)
    except ServerUnavailable as error:
        raise ServerUnavailable(
            f"PostgreSQL refuses to run as root, and user {pwd.getpwuid(uid).pw_name} cannot reach {folder}"
            f" or {program}; start scrip as an ordinary user or use folders every user may enter."
        ) from error
