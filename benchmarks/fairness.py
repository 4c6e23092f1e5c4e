"""What the load of one user or one organisation costs the others: their times beside it, and without it.

The others are 40 users of four organisations; their requests begin by a schedule. Quiet windows and windows under load
take turns, so that both see the same minute. Each load comes from a process of its own that gives way to the service:
a caller's processor time is not ours. `python -m benchmarks.fairness` is that process.
"""

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count, cycle
from math import ceil
from statistics import median
from time import monotonic, sleep
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import msgspec
import psutil
import psycopg
import uvloop

from benchmarks.figures import Figure, Report, percentile
from benchmarks.http_load import Ask, Timed, batch_of_pairs, open_load, pairs, request, reservation_id
from benchmarks.http_load import load as closed_load
from benchmarks.load import grant, submission, submit_all
from benchmarks.stage import wait_until_projected, whole_service
from cli.failure import Failure
from cli.service.role_process import BEHIND, give_place
from cli.service.service import Service
from cli.service.tokens import signed_token
from domain.credits.account import MAX_OPEN_HOLDS
from domain.credits.commands import Reserve
from domain.registry import SCRIP
from infra.ids import record_id
from infra.writer.submission import Submission
from infra.writer.writer import Writer

SECONDS = 10  # of a window
ROUNDS = 2  # windows of each kind; what is shown is their median
RATE = 100  # requests a second of the others
ORGS = ("bench0", "bench1", "bench2", "bench3")
USERS = 40
ALONE = "crowd"  # the organisation of a load that is not in one of the others'
CROWD = 200  # users of a load from many connections
HELD_RATE, BALANCE_RATE = 10, 2  # requests a second of the user with many holds
SPREAD_S = (60, 3_600)  # over which the holds of that user end: one each 40 ms
FILL_RATE = 3_000  # holds a second that are written, projected included, where nothing else runs
IN_BATCH = 1_000
MOST = 2.0  # times as long as in the quiet windows
WITHIN_S = 180.0
CHECKED = b'{"operation":"image","provider":"BFL","model":"FLUX.1 [pro]"}'
_VERSION = "select coalesce(max(version), 0) from events where org = %s and stream = %s"


class Load(NamedTuple):
    """`kind`: what its process does, see `_attack`. `restart`: the API starts just before and has nothing cached.

    `holds`: how many the load's user has; a run of all loads makes `in_all` of them, which takes less long: what is
    written or looked at in one turn does not depend on it. `rounds`: at most so many, where each needs new holds.
    """

    name: str
    what: str
    kind: str
    connections: int = 1
    org: str = ALONE
    restart: bool = False
    holds: int = 0
    in_all: int = 0
    rounds: int = ROUNDS

    @property
    def title(self) -> str:
        """What it is, and whose."""
        whose = "an organisation of its own" if self.org == ALONE else "one of the others' organisations"
        return f"{self.what.format(holds=self.holds)}, {whose}"


MANY, PART = MAX_OPEN_HOLDS * 99 // 100, MAX_OPEN_HOLDS // 10
_HELD, _TOGETHER = "{holds:,} holds of a user, 10 requests/s", "{holds:,} holds that end together"
LOADS = (
    Load("held", _HELD, "held", holds=MANY, in_all=MANY),
    Load("held-restart", _HELD + ", after a restart", "held", restart=True, holds=MANY, in_all=MANY),
    Load("held-shared", _HELD, "held", org=ORGS[0], holds=MANY, in_all=PART),
    Load("together", _TOGETHER, "together", holds=MAX_OPEN_HOLDS, in_all=MAX_OPEN_HOLDS // 2, rounds=1),
    Load("together-shared", _TOGETHER, "together", org=ORGS[0], holds=MAX_OPEN_HOLDS, in_all=PART, rounds=1),
    Load("connections", "512 connections", "pairs", 512),
    Load("connections-shared", "512 connections", "pairs", 512, ORGS[0]),
    Load("batches", "batches of 1,000", "batches"),
    Load("batches-4", "batches of 1,000 from 4 connections", "batches", 4),
    Load("batches-4-shared", "batches of 1,000 from 4 connections", "batches", 4, ORGS[0]),
    Load("atomic", "atomic batches of 1,000", "atomic"),
)


class Attack(msgspec.Struct, kw_only=True):
    """The input of a load's process: a `Load`, its user and token, and its seconds."""

    kind: str
    connections: int
    seconds: float
    port: int
    token: str
    user: str


class Answered(msgspec.Struct):
    """The output of a load's process: how many requests were answered well, and how many were not."""

    well: int
    badly: int


class User(NamedTuple):
    """A user, and the token of a worker of the user's organisation."""

    id: str
    token: str


class Traffic:
    """Reserve, capture, balance and check in equal parts, for one user after the other."""

    def __init__(self, users: Sequence[User]) -> None:
        self._users = cycle(users)
        self._user = users[0]
        self._number = count()
        self._held: deque[tuple[User, str]] = deque()

    def draw(self) -> Ask:
        """The next request. Where nothing is held, it reserves in place of a capture."""
        turn = next(self._number) % 4
        if not turn:
            self._user = next(self._users)
        user = self._user
        account = f"/api/v1/accounts/user:{user.id}:credits"
        if turn == 1 and self._held:
            owner, id_ = self._held.popleft()
            path = f"/api/v1/accounts/user:{owner.id}:credits/reservations/{id_}/capture"
            return Ask("capture", request("POST", path, owner.token, b"{}", record_id()))
        if turn < 2:
            body = b'{"amount":1}'
            sent = request("POST", f"{account}/reservations", user.token, body, record_id())
            return Ask("reserve", sent, lambda answer: self._held.append((user, reservation_id(answer))))
        if turn == 2:
            return Ask("balance", request("GET", f"{account}/balance", user.token))
        body = CHECKED[:-1] + b',"user_id":"%b"}' % user.id.encode()
        return Ask("check", request("POST", "/api/v1/generations/check", user.token, body))


class Windows(NamedTuple):
    """What was measured of one load: the others' times in the windows of both kinds, and the load's own answers."""

    quiet: list[Timed]
    loaded: list[Timed]
    own: list[Answered]
    busy: list[float]  # the API's processor time in each window under load, in parts of one processor
    ended_s: list[float]  # from the moment when holds ended together until all were written


def run(report: Report, *, seconds: int = SECONDS, load: str | None = None) -> list[Figure]:
    """All loads in turn, or the one of that name with all of its holds, each in windows of so many seconds.

    Raises Failure for a name that no load has.
    """
    if load is None:
        return measured(report, seconds, [each._replace(holds=each.in_all) for each in LOADS])
    chosen = [each for each in LOADS if each.name == load]
    if not chosen:
        raise Failure(f"There is no load {load}; there are {', '.join(each.name for each in LOADS)}.")
    return measured(report, seconds, chosen)


def measured(report: Report, seconds: int, loads: Sequence[Load]) -> list[Figure]:
    """Each load in turn, in rounds of a quiet window and one under the load, each of `seconds`."""
    figures: list[Figure] = []
    with whole_service("api", "relay", "projector", "sweeper") as service:
        bench = Bench(service, seconds)
        for load in loads:
            report(load.title)
            seen = bench.measure(load)
            for failure in [each for timed in (*seen.quiet, *seen.loaded) for each in timed.failures][:3]:
                report(failure)
            report(f"the API took {median(seen.busy):.0%} of a processor")
            figures += _figures(load, seen, seconds)
    return figures


class Bench:
    """The service with the others' accounts."""

    def __init__(self, service: Service, seconds: int) -> None:
        self._service = service
        self._seconds = seconds
        self._port = urlsplit(service.url).port or 0
        users = [(ORGS[number % len(ORGS)], f"u{number}") for number in range(USERS)]
        self._traffic = Traffic([User(id_, self._token(org, "worker")) for org, id_ in users])
        self._keepers: dict[str, str] = {}  # organisation -> the user who holds many reservations
        crowd = [(org, f"c{number}") for org in (ALONE, ORGS[0]) for number in range(CROWD)]
        with self._writer() as writer:
            submit_all(writer, [_granted(org, id_) for org, id_ in users + crowd])
        uvloop.run(self._others(max(1, seconds // 2)))

    def measure(self, load: Load) -> Windows:
        """Quiet windows and windows under the load, by turns."""
        seen = Windows([], [], [], [], [])
        user = self._keeper(load.org, load.holds) if load.kind == "held" else "c0"
        for _ in range(load.rounds):
            end = None
            if load.kind == "together":
                user, end = self._held(load.org, load.holds)
                sleep(max(0.0, end - 1 - self._seconds - monotonic()))
            seen.quiet.append(uvloop.run(self._others(self._seconds)))
            if load.restart:
                self._restart()
            attack = Attack(
                kind=load.kind,
                connections=load.connections,
                seconds=self._seconds,
                port=self._port,
                token=self._token(load.org, "crowd"),
                user=user,
            )
            with _attacking(attack) as process:
                sleep(max(0.0, (end or 0.0) - 1 - monotonic()))
                before = self._processor_s()
                _tell(process, "begin")
                seen.loaded.append(uvloop.run(self._others(self._seconds)))
                seen.busy.append((self._processor_s() - before) / self._seconds)
                seen.own.append(msgspec.json.decode(_line(process), type=Answered))
            if end is not None:
                seen.ended_s.append(self._until_ended(load.org, user, load.holds) - end)
        return seen

    async def _others(self, seconds: float) -> Timed:
        return await open_load(self._port, self._traffic.draw, RATE, seconds)

    def _keeper(self, org: str, kept: int) -> str:
        """A user of the organisation with many holds, which end by and by."""
        if org not in self._keepers:
            user = self._keepers[org] = record_id("keeper")
            first, last = SPREAD_S
            with self._writer() as writer:
                submit_all(writer, [_granted(org, user)])
                submit_all(
                    writer, [_reserved(org, user, first + (last - first) * each // kept) for each in range(kept)]
                )
            self._wait()
            attack = Attack(
                kind="held", connections=1, seconds=1, port=self._port, token=self._token(org, "crowd"), user=user
            )
            with _attacking(attack) as process:  # loads the account, so that it is cached if it can be
                _tell(process, "begin")
                _line(process)
        return self._keepers[org]

    def _held(self, org: str, holds: int) -> tuple[str, float]:
        """A user with as many holds as may be, and when they all end, by the monotonic clock."""
        for patience in (1, 2, 4):  # on a busy machine it takes longer to write them
            user = record_id("together")
            end = monotonic() + patience * (holds / FILL_RATE + 5) + self._seconds
            with self._writer() as writer:
                submit_all(writer, [_granted(org, user)])
                for start in range(0, holds, IN_BATCH):
                    ttl_s = max(1, ceil(end - monotonic()))
                    submit_all(writer, [_reserved(org, user, ttl_s) for _ in range(min(IN_BATCH, holds - start))])
            self._wait()
            if monotonic() < end - 1 - self._seconds:
                return user, end
        raise RuntimeError("the holds ended before all of them were written")

    def _until_ended(self, org: str, user: str, holds: int) -> float:
        """Wait until each hold has one event for its end; returns when that was."""
        until = monotonic() + WITHIN_S
        whole = 1 + 2 * holds  # the grant, and a beginning and an end of each
        with psycopg.connect(self._service.settings.auditor_url.get_secret_value(), autocommit=True) as connection:
            while (version := _number(connection.execute(_VERSION, (org, f"account/user:{user}:credits")))) < whole:
                if monotonic() > until:
                    raise RuntimeError(f"{whole - version:,} holds have not ended after {WITHIN_S:.0f} s")
                sleep(0.1)
        if version != whole:
            raise RuntimeError(f"{version - whole:,} holds ended twice")
        return monotonic()

    def _restart(self) -> None:
        """Another API process. The others' accounts are cached before it returns."""
        pid = self._service.role_pids()["api"]
        os.kill(pid, signal.SIGKILL)
        until = monotonic() + WITHIN_S
        while self._service.role_pids().get("api", pid) == pid or not self._ready():
            if monotonic() > until:
                raise RuntimeError("the API does not start again")
            self._service.tend()
            sleep(0.05)
        uvloop.run(self._others(max(1, self._seconds // 2)))

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self._service.url}/readyz", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def _processor_s(self) -> float:
        used = psutil.Process(self._service.role_pids()["api"]).cpu_times()
        return float(used.user + used.system)

    def _wait(self) -> None:
        wait_until_projected(self._service.settings)

    def _writer(self) -> Writer:
        return Writer(self._service.settings.writer_url.get_secret_value(), SCRIP)

    def _token(self, org: str, sub: str) -> str:
        return signed_token(self._service.settings, org=org, sub=sub, role="worker", ttl_s=86_400)


def _figures(load: Load, seen: Windows, seconds: int) -> Iterator[Figure]:
    for percent in (50, 99):
        quiet, loaded = (
            median(percentile([s for each in timed.seconds.values() for s in each], percent / 100) for timed in windows)
            for windows in (seen.quiet, seen.loaded)
        )
        most = MOST * quiet * 1000
        yield Figure(
            "fairness",
            f"{load.title}: the others' p{percent}",
            loaded * 1000,
            "ms",
            f"at most {most:.3g}, twice the quiet run",
            loaded * 1000 <= most,
            {"quiet": quiet * 1000},
        )
    failed = sum(len(timed.failures) for timed in (*seen.quiet, *seen.loaded))
    yield Figure("fairness", f"{load.title}: the others' failures", failed, "requests", "0", failed == 0)
    rate = sum(own.well for own in seen.own) / seconds / len(seen.own)
    badly = {"answered badly": sum(own.badly for own in seen.own) / seconds / len(seen.own)}
    yield Figure("fairness", f"{load.title}: its own", rate, "requests/s", "above 0", rate > 0, badly)
    if seen.ended_s:
        yield Figure("fairness", f"{load.title}: until all have ended", median(seen.ended_s), "s")


def _granted(org: str, user: str) -> Submission:
    return submission(org, grant(f"user:{user}:credits"))


def _reserved(org: str, user: str, ttl_s: int) -> Submission:
    address = f"user:{user}:credits"
    return submission(org, Reserve(address=address, reservation_id=record_id("r"), amount=1, ttl_s=ttl_s))


def _number(found: "psycopg.Cursor[Any]") -> int:
    row = found.fetchone()
    return int(row[0]) if row else 0


@contextmanager
def _attacking(attack: Attack) -> "Iterator[subprocess.Popen[str]]":
    """The load's process, ready to begin; ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.fairness"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        give_place(process.pid, BEHIND)
        _tell(process, msgspec.json.encode(attack).decode())
        _line(process)
        yield process
    finally:
        process.kill()
        process.communicate()


def _tell(process: "subprocess.Popen[str]", line: str) -> None:
    if process.stdin is None:
        raise AssertionError("it is a pipe")
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _line(process: "subprocess.Popen[str]") -> str:
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line:
        raise RuntimeError("the process of the load has ended")
    return line


async def _attack(attack: Attack) -> Answered:
    """`held`: all kinds of requests about one account; `together`: its balance; `pairs`: reserve and capture from many
    connections, the next when one is answered; `batches` and `atomic`: the same in batches."""
    users = [User(attack.user, attack.token)]
    if attack.kind == "held":
        return _of(await open_load(attack.port, Traffic(users).draw, HELD_RATE, attack.seconds))
    if attack.kind == "together":
        path = f"/api/v1/accounts/user:{attack.user}:credits/balance"
        balance = Ask("balance", request("GET", path, attack.token))
        return _of(await open_load(attack.port, lambda: balance, BALANCE_RATE, attack.seconds))
    numbers = range(attack.connections)
    if attack.kind == "pairs":
        clients = [pairs(f"user:c{number % CROWD}:credits", b'{"amount":1}') for number in numbers]
    else:
        crowd = [f"c{number}" for number in range(CROWD)]

        def batch(_answer: bytes) -> tuple[str, bytes]:
            return "/api/v1/batch", batch_of_pairs(crowd, IN_BATCH, atomic=attack.kind == "atomic")

        clients = [batch for _ in numbers]
    answered = await closed_load("127.0.0.1", attack.port, attack.token, clients, attack.seconds)
    well = sum(answered.statuses.get(status, 0) for status in (200, 201))
    return Answered(well, len(answered.seconds) - well)


def _of(timed: Timed) -> Answered:
    total = sum(map(len, timed.seconds.values()))
    return Answered(total - len(timed.failures), len(timed.failures))


def main() -> None:
    """Read what to do, say when all is ready, begin at a second line, tell what came back."""
    attack = msgspec.json.decode(sys.stdin.readline(), type=Attack)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    answered = uvloop.run(_attack(attack))
    sys.stdout.write(msgspec.json.encode(answered).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
