"""Fills the disks of a service under load, one after the other, and says as JSON what its callers and its owner saw.

`python -m tests.faults.disk_drill FOLDER`, in a process of its own because its mounts are its own. It ends with status
75 and the reason where this machine lets it mount nothing.
"""

import asyncio
import json
import logging
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psutil
import psycopg

from cli.service.settings import settings_of
from infra.embedded.folder import DataFolder, read_running
from infra.embedded.jars import ensure_jars
from infra.embedded.kafka import format_storage
from infra.embedded.postgres import PostgresData
from infra.settings import Settings
from tests.cli.running import Up, gone
from tests.faults import oracle
from tests.faults.clients import ACCOUNTS, ORGS, UNCERTAIN, Clients
from tests.faults.history import History, Told
from tests.faults.small_disks import CannotMount, fill, make_room, mount_small, own_mounts
from tests.waiting import ENOUGH_S, wait_until

CANNOT_MOUNT = 75
RESERVE_MB, LITTLE_MB = 64, 32
PAUSE_S = 0.1  # of each caller after each turn: the other tests run beside it
SIZES_MB = {"data": 32, "data/postgres": 320, "data/kafka": 160}
ACCOUNT = "/api/v1/accounts/user:u0:credits"


@dataclass
class Seen:
    """What callers got while a disk was full."""

    answers: Counter[str] = field(default_factory=Counter)  # "503 disk_full", with "no Retry-After" where it lacked
    slowest_s: float = 0.0  # of these
    accepted: int = 0
    last: tuple[str, str] = ("", "")  # organisation and position of the last command that was accepted

    def take(self, org: str, answer: httpx.Response) -> None:
        """Count an answer."""
        status, told = answer.status_code, answer.json()
        if status >= UNCERTAIN:
            name = f"{status} {told.get('code')}"
            self.answers[name if "Retry-After" in answer.headers else f"{name} without Retry-After"] += 1
            self.slowest_s = max(self.slowest_s, answer.elapsed.total_seconds())
            return
        self.answers[str(status)] += 1
        if answer.is_success and "position" in told:
            self.accepted += 1
            self.last = (org, told["position"])


def main() -> int:
    """Run the drill; the last line on standard output is the report."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("it took too long"))
    base = Path(sys.argv[1])
    base.mkdir(exist_ok=True)
    try:
        own_mounts()
        for folder, megabytes in SIZES_MB.items():
            mount_small(base / folder, megabytes)
    except (CannotMount, OSError) as error:
        sys.stdout.write(f"{error}\n")
        return CANNOT_MOUNT
    _make_servers(base / "made", base / "data")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it says at length that the broker is away
    # A caller that is left hanging would wait for a minute; the callers themselves wait for 15 s.
    up = Up(base / "data", SCRIP_DISK_RESERVE_MB=str(RESERVE_MB), SCRIP_REQUEST_DEADLINE_S="60")
    try:
        report = Drill(base, up.await_ready()).run()
        assert up.process.poll() is None, "`scrip up` has ended"
        sys.stdout.write(json.dumps(report) + "\n")
    finally:
        sys.stderr.write("\n".join(up.errors) + "\n")
        up.terminate()
    return 0


def _make_servers(made: Path, data: Path) -> None:
    """Make the servers' files where a folder can get its name when complete, and copy them onto the small disks."""
    with DataFolder(made) as folder:
        PostgresData(folder).prepare()
        format_storage(folder, ensure_jars(), folder.path / "kafka")
    for part in ("postgres", "kafka", "postgres.password"):
        subprocess.run(["cp", "-a", "-T", str(made / part), str(data / part)], check=True, timeout=ENOUGH_S)


class Watched(Clients):
    """Clients whose answers are counted."""

    def __init__(self, settings: Settings, url: str, history: History) -> None:
        super().__init__(settings, url, history, seed=1, pause_s=PAUSE_S)
        self.seen = Seen()
        self._without_kafka = cycle((True, False))

    async def _client(self, random: Random) -> None:
        """Half of them use HTTP alone: whoever sends usage waits for a broker that is away."""
        if not next(self._without_kafka):
            await super()._client(random)
            return
        while not self._stop.is_set():
            await self._charged(random, random.choice(ORGS), random.choice(ACCOUNTS))
            await asyncio.sleep(PAUSE_S)

    def _take(self, told: Told, answer: httpx.Response) -> None:
        self.seen.take(told.operation.org, answer)
        super()._take(told, answer)


class Drill:
    """One service, three small disks, and callers that never stop."""

    def __init__(self, base: Path, up: Up) -> None:
        self._base = base
        self._data = base / "data"
        self._up = up
        self._settings = settings_of(self._data)

    def run(self) -> dict[str, Any]:
        """All drills, then the check of everything that was acknowledged. Raises AssertionError."""
        report: dict[str, Any] = {}
        with History(self._base / "history.jsonl") as history, self._up.client("red") as self._http:
            self._clients = Watched(self._settings, self._up.url, history)
            running = threading.Thread(target=lambda: asyncio.run(self._clients.run()), daemon=True)
            running.start()
            try:
                self._await_accepted()
                for drill in (self.postgres, self.kafka, self.state, self.together):
                    began, seen = time.monotonic(), self._begin()
                    report[drill.__name__] = drill() | {
                        "said": self._said(),
                        "answers": dict(seen.answers),
                        "slowest_refusal_s": round(seen.slowest_s, 2),
                        "took_s": round(time.monotonic() - began, 1),
                    }
            finally:
                self._clients.stop()
                running.join(ENOUGH_S)
            assert not running.is_alive(), "callers have not finished"
            oracle.wait_until_settled(self._settings, history)
            report["checked"] = asyncio.run(oracle.check(self._settings, history, self._clients.expected))
        return report

    def postgres(self) -> dict[str, Any]:
        """First below the reserve, where PostgreSQL lives on and reads are served; then full, until it ends."""
        disk, server = self._data / "postgres", self._up.processes()["postgres"]
        fill(disk, LITTLE_MB * 1024**2)
        seen = self._clients.seen
        wait_until(lambda: seen.answers["503 disk_full"] > 0, 30, "commands are refused")
        found = {"health": self._http.get("/health").json(), "reads": self._reads(), "lived_on": server.is_running()}
        self._write_until_it_ends(server)
        refused = seen.answers["503 disk_full"]
        wait_until(lambda: seen.answers["503 disk_full"] > refused + 20, 30, "commands are refused")
        seen.slowest_s = max(seen.slowest_s, self._slowest_read_s())
        make_room(disk)
        return found | self._served_again("PostgreSQL")

    def kafka(self) -> dict[str, Any]:
        """Full until the broker ends. Commands go on, also with an API that starts meanwhile."""
        disk = self._data / "kafka"
        self._fill_until_it_ends(self._up.processes()["kafka"])
        wait_until(lambda: "nothing is published" in self._http.get("/health").text, 30, "/health says it")
        found = {"health": self._http.get("/health").json()}
        self._up.processes()["role-api"].kill()
        self._await_accepted()
        make_room(disk)
        return found | self._served_again("Kafka")

    def state(self) -> dict[str, Any]:
        """Neither state nor logs can be written, and a role ends."""
        ended = self._up.processes()["role-sweeper"]
        fill(self._data)
        ended.kill()
        wait_until(lambda: self._sweeper() not in (None, ended.pid), 30, "the sweeper runs again")
        make_room(self._data)
        wait_until(lambda: self._noted("role-sweeper") == self._sweeper(), 30, "the note is written")
        return self._served_again()

    def together(self) -> dict[str, Any]:
        """All at once, as on a machine with one disk: neither server can start, and the note of that not be written."""
        running, disks = self._up.processes(), [self._data, self._data / "postgres", self._data / "kafka"]
        fill(self._data)
        self._fill_until_it_ends(running["kafka"])
        self._write_until_it_ends(running["postgres"])
        for disk in disks:
            make_room(disk)
        return self._served_again("PostgreSQL", "Kafka")

    def _begin(self) -> Seen:
        self._clients.seen = Seen()
        self._before = len(self._up.errors)
        return self._clients.seen

    def _said(self) -> list[str]:
        """What `scrip up` has told its owner since the drill began."""
        return list(self._up.errors)[self._before :]

    def _await_told(self, what: str) -> None:
        wait_until(lambda: any(line.startswith(what) for line in self._said()), 60, what)

    def _fill_until_it_ends(self, server: psutil.Process) -> None:
        def ended() -> bool:
            fill(self._data / "kafka")
            return not server.is_running()

        wait_until(ended, 60, "the broker ends")
        self._await_told("Kafka cannot run")

    def _reads(self) -> dict[str, int]:
        """From current states, and from the read models."""
        return {path: self._http.get(path).status_code for path in (f"{ACCOUNT}/balance", "/api/v1/accounts")}

    def _slowest_read_s(self) -> float:
        return max(self._http.get(path).elapsed.total_seconds() for path in (f"{ACCOUNT}/balance", "/api/v1/accounts"))

    def _write_until_it_ends(self, server: psutil.Process) -> None:
        """As vacuum and checkpoints do, without callers: PostgreSQL ends when it cannot write its log.

        A slot keeps all files of the log meanwhile. Without it a checkpoint frees old ones for new use, and on a slow
        machine as quickly as they are filled.
        """
        owner = self._settings.owner_url.get_secret_value()
        end = time.monotonic() + 2 * ENOUGH_S
        with suppress(psycopg.Error), psycopg.connect(owner, autocommit=True) as keeper:
            keeper.execute("select pg_create_physical_replication_slot('all', true, true)")
            while not gone([server]):
                assert time.monotonic() < end, "PostgreSQL goes on without a disk"
                fill(self._data / "postgres")
                keeper.execute("select pg_switch_wal() from pg_logical_emit_message(false, '', repeat('x', 100000))")
        wait_until(lambda: gone([server]), ENOUGH_S, "PostgreSQL ends")
        self._await_told("PostgreSQL cannot run")

    def _await_accepted(self) -> tuple[str, str]:
        """Wait for a command that was accepted from now on: its organisation and position."""
        seen = self._clients.seen
        before = seen.accepted
        wait_until(lambda: seen.accepted > before + 20, 60, "commands are accepted")
        return seen.last

    def _served_again(self, *servers: str) -> dict[str, float]:
        """Wait until commands are accepted and shown, by servers that run again; after how many seconds."""
        began = time.monotonic()
        for server in servers:
            self._await_told(f"{server} runs again")
        runs = time.monotonic() - began
        org, position = self._await_accepted()
        served = time.monotonic() - began
        with self._up.client(org) as client:
            shown = {"min_position": position}
            wait_until(lambda: client.get("/api/v1/accounts", params=shown).is_success, 60, "what is accepted is shown")
        current = time.monotonic() - began
        after = {"runs": runs, "served": served, "current": current}
        return {f"{what}_after_s": round(seconds, 1) for what, seconds in after.items()}

    def _sweeper(self) -> int | None:
        for process in self._up.family():
            with suppress(psutil.Error):  # it has just ended
                if "sweeper" in process.cmdline():
                    return process.pid
        return None

    def _noted(self, name: str) -> int | None:
        running = read_running(self._data)
        return running.processes[name].pid if running is not None and name in running.processes else None


if __name__ == "__main__":
    sys.exit(main())
