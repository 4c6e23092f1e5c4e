"""Kills processes of a running service with signal 9 and has them started again."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from random import Random

from cli.service.role_process import RoleProcess
from cli.service.service import Service
from infra.embedded import ServerUnavailable
from tests.faults.history import History
from tests.waiting import patient

POLL_S = 0.05
GAPS_S = (0.2, 1.2)
EARLY = 0.2  # the share of kills that do not wait until their target serves again
SERVES_S = patient(60.0)

# How often each is killed in one round of a campaign. Servers take longest to come back.
ROUND = {"api": 5, "relay": 4, "intake": 4, "projector": 4, "sweeper": 1, "postgres": 3, "kafka": 2}


class Killer:
    """Everything that touches the service's processes happens in the thread that calls `run` and `tend`."""

    def __init__(self, service: Service, history: History, seed: int, say: Callable[[str], None]) -> None:
        self._service = service
        self._history = history
        self._random = Random(f"{seed}/killer")
        self._say = say
        self.killed: list[str] = []

    def run(self, seconds: float = 0.0) -> None:
        """One round in a random order, and further ones until `seconds` have passed."""
        end = time.monotonic() + seconds
        while True:
            for target in self._order():
                self._kill(target)
                self.tend(self._random.uniform(*GAPS_S))
            if time.monotonic() >= end:
                return

    def tend(self, seconds: float) -> None:
        """Start again what has died, for so long."""
        end = time.monotonic() + seconds
        while True:
            self._service.tend()
            if time.monotonic() >= end:
                return
            time.sleep(POLL_S)

    def _order(self) -> Iterator[str]:
        targets = [name for name, times in ROUND.items() for _ in range(times)]
        self._random.shuffle(targets)
        return iter(targets)

    def _kill(self, target: str) -> None:
        self._history.fault(f"kill -9 {target}")
        self._say(f"kill -9 {target}")
        if target == "postgres":
            self._service._servers.postgres.kill()
        elif target == "kafka":
            self._service._servers.kafka.kill()
        else:
            os.kill(self._running(target), signal.SIGKILL)
        self.killed.append(target)

    def _running(self, name: str) -> int:
        """The role's process; mostly not before it serves, or nothing would ever get done between two kills."""
        (role,) = (role for role in self._service._roles if role.name == name)
        early = self._random.random() < EARLY
        end = time.monotonic() + SERVES_S
        while role.pid is None or not (early or _serves(role)):
            assert time.monotonic() < end, f"the {name} does not serve again"
            self.tend(POLL_S)
        return role.pid


def _serves(role: RoleProcess) -> bool:
    try:
        return role.ready() is not None
    except ServerUnavailable:  # it has died of something else; `tend` starts it again
        return False
