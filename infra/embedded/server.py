"""What both embedded servers have in common: a child process that is started on a port, awaited, and stopped."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import ClassVar

from infra.embedded.errors import ServerUnavailable
from infra.embedded.folder import DataFolder
from infra.embedded.ports import PortLost, choose_port
from infra.embedded.process import ChildProcess

_PORT_TAKEN = ("Address already in use", "BindException")
Step = tuple[signal.Signals, float]  # a signal, and seconds to wait for the child's end


class EmbeddedServer:
    """A server with its data in `folder`. Nothing happens before `start`."""

    title: ClassVar[str]  # for people
    name: ClassVar[str]  # in the folder's note
    ports: ClassVar[str] = ""  # what else it listens on, for people
    poll_s: ClassVar[float]
    start_deadline_s: ClassVar[float]
    give_up: ClassVar[Step]  # how a server that does not start is stopped

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder
        self._child: ChildProcess | None = None
        self._port: int | None = None

    @property
    def address(self) -> str:
        """Where clients reach it; ServerUnavailable before the first `start`."""
        raise NotImplementedError

    @property
    def port(self) -> int:
        """Its port; ServerUnavailable before the first `start`."""
        if self._port is None:
            raise ServerUnavailable(f"{self.title} was not started yet.")
        return self._port

    @property
    def pid(self) -> int | None:
        """Its main process, or None if it does not run."""
        child = self._child
        return child.identity.pid if child and child.alive else None

    def kill(self) -> None:
        """Kill -9 and return when all its processes are gone, as after a crash."""
        self._end()

    def _end(self, *steps: Step) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.stop(*steps)
        self._ended()
        self._folder.record_process(self.name, None)
        self._folder.record_address(self.name, None)

    def _ended(self) -> None:
        """Called when the main process has ended."""

    def _answers(self) -> bool:
        """Whether the server accepts clients."""
        raise NotImplementedError

    def _cause(self, child: ChildProcess) -> tuple[str, str]:
        """The end of the server's log, and what of it says why the server has ended."""
        raise NotImplementedError

    def _start_on(self, asked: int | None, run: Callable[[int], ChildProcess]) -> str:
        """Start with `run(port)`, on another port if one was lost to another process; the address, once it answers.

        Raises PortInUse, ServerUnavailable.
        """
        for attempts_left in (2, 1, 0):
            self._port = choose_port(asked, self._port)
            child = run(self._port)
            self._child = child
            self._folder.record_process(self.name, child.identity)
            try:
                self._await_answer(child)
                break
            except PortLost:
                if not attempts_left:
                    raise
        self._folder.record_address(self.name, self.address)
        return self.address

    def _await_answer(self, child: ChildProcess) -> None:
        deadline = time.monotonic() + self.start_deadline_s
        while not self._answers():
            alive = child.alive
            if alive and time.monotonic() < deadline:
                time.sleep(self.poll_s)
                continue
            self._end(self.give_up)
            said, cause = self._cause(child)
            if any(sign in said for sign in _PORT_TAKEN):
                raise PortLost(f"{self.title} cannot listen on port {self._port}{self.ports}: {cause[-500:]}")
            late = f" within {self.start_deadline_s:.0f} s" if alive else ""
            raise ServerUnavailable(f"{self.title} does not start{late}: {cause[-1000:]}")
