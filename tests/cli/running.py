"""A service that `scrip up` runs in a process of its own, as a person would start it."""

import json
import os
import re
import signal
import subprocess
import threading
from collections import deque
from pathlib import Path
from typing import Any

import httpx
import psutil
from pydantic import SecretStr

from cli.service.settings import secrets_of
from cli.service.tokens import signed_token
from infra.embedded.folder import read_running
from infra.embedded.ports import free_port
from infra.settings import Settings
from tests.cli.program import PROGRAM, environment, scrip
from tests.loopback import caller
from tests.waiting import patient, wait_until

START_S = patient(90)
GONE_S = 5.0  # no child outlives `scrip up` by more (contract)


class Up:
    """`scrip up` on a data folder, with further variables; everything it printed is in `lines`."""

    def __init__(self, data: Path, *arguments: str, **variables: str) -> None:
        self.data = data
        self.lines: list[str] = []
        self.errors: deque[str] = deque(maxlen=200)
        self.process = subprocess.Popen(
            [*PROGRAM, "up", "--data", str(data), "--port", str(free_port()), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**variables),
            start_new_session=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.lines), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self.errors), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Any, into: Any) -> None:
        for line in stream:
            into.append(line.rstrip("\n"))

    def await_ready(self) -> "Up":
        wait_until(lambda: bool(self.said("ready")) or self.process.poll() is not None, START_S, "ready")
        assert self.process.poll() is None, "\n".join(self.errors)
        return self

    def said(self, word: str) -> str:
        """What followed `word` on its line; empty while it was not said."""
        return next((line.partition(" ")[2] for line in self.lines if line.startswith(f"{word} ")), "")

    @property
    def url(self) -> str:
        return self.said("ready")

    def token(self, org: str, role: str, sub: str = "tester") -> str:
        """What `scrip token` prints (tests/cli/test_token.py), without a process for each."""
        settings = Settings(jwt_secret=SecretStr(secrets_of(self.data).jwt))
        return signed_token(settings, org=org, sub=sub, role=role, ttl_s=43_200)

    def client(self, org: str, role: str = "admin") -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token(org, role)}"}
        return caller(self.url, headers=headers, trust_env=False, timeout=patient(30))

    def processes(self) -> dict[str, psutil.Process]:
        """The recorded children that live, by name."""
        running = read_running(self.data)
        assert running is not None
        found = {name: identity.find() for name, identity in running.processes.items()}
        return {name: process for name, process in found.items() if process is not None}

    def family(self) -> list[psutil.Process]:
        """The process and everything below it, servers' sessions included."""
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def terminate(self) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        for reader in self._readers:
            reader.join(10)
        return status

    def kill_everything(self) -> None:
        """kill -9 of it and all its children."""
        for process in self.family():
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(10)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """An operator's command on the same folder."""
        return scrip(*arguments, "--data", str(self.data), timeout_s=180)

    def json(self, *arguments: str) -> Any:
        """Its JSON answer."""
        answer = self.run(*arguments, "--json")
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)


def gone(processes: list[psutil.Process]) -> bool:
    """Whether none of them runs any more."""
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


ADDRESSES = {
    "kafka": re.compile(r"kafka 127\.0\.0\.1:\d+"),
    "postgres": re.compile(r"postgres postgresql://scrip_analyst:[^@ ]+@127\.0\.0\.1:\d+/\w+"),
    "ready": re.compile(r"ready http://127\.0\.0\.1:\d+"),
}
