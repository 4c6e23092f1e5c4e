"""One thread that lives as long as the process and starts all its children.

The kernel's death signal fires when the *thread* that forked ends, so a child started from a short-lived
worker thread would be killed as soon as that worker is done.
"""

from __future__ import annotations

import os
import queue
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import Future

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
