"""The API's memory under each attack of `benchmarks/attackers.py`: at its highest, and a minute after it."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import httpx
import psutil
from pydantic import SecretStr

from benchmarks.attackers import ATTACKS, Target, attack
from benchmarks.figures import Figure, Report
from benchmarks.stage import signed_in, whole_service
from cli.output import progress
from cli.service.tokens import signed_token
from infra.embedded.ports import free_port
from infra.embedded.process import FORKS, launched
from infra.settings import Settings

PROGRAM = Path(__file__).parents[1] / "cli" / "__main__.py"
READY_S = 60.0
ORG = "bench"
MB = 1_048_576
GRANTS = 250  # events of the organisation, for long lists
FEWER_FILES = (
    "import os, resource, sys; most = int(sys.argv[1]);"
    " resource.setrlimit(resource.RLIMIT_NOFILE, (most, most)); os.execv(sys.argv[2], sys.argv[2:])"
)


class Victim:
    """One API process and what it costs."""

    def __init__(self, process: "subprocess.Popen[bytes]", target: Target, files: Path) -> None:
        self.target = target
        self._process = psutil.Process(process.pid)
        self._files = files

    @property
    def resident(self) -> float:
        return float(self._process.memory_info().rss / MB)

    @property
    def temporary(self) -> float:
        """MB of its temporary files, those that have no name included."""
        named = sum(each.stat().st_size for each in self._files.rglob("*") if each.is_file())
        return (named + sum(self._nameless())) / MB

    def _nameless(self) -> Iterator[int]:
        for each in Path(f"/proc/{self._process.pid}/fd").iterdir():
            try:
                found = each.stat()
            except OSError:
                continue  # closed meanwhile
            if stat.S_ISREG(found.st_mode) and found.st_nlink == 0:
                yield found.st_size


@contextmanager
def victim(settings: Settings, folder: Path, *, open_files: int = 0) -> Iterator[Victim]:
    """Serve until the block ends. `folder` is made, for its log and its temporary files.

    `open_files`: the most that it may have open, 0 for as many as this process. Raises RuntimeError.
    """
    files = folder / "tmp"
    files.mkdir(parents=True)
    port, ready = free_port(), folder / "ready"
    known = settings.model_copy(update={"port": port, "host": "127.0.0.1", **_sign_in()})
    given = {f"SCRIP_{name.upper()}": _text(value) for name, value in known if value not in ("", None)}
    command = [sys.executable, "-P", str(PROGRAM), "api", "--ready", str(ready)]
    if open_files:
        command = [sys.executable, "-c", FEWER_FILES, str(open_files), *command]
    environment = {**os.environ, **given, "TMPDIR": str(files)}
    with (folder / "log").open("wb") as log:
        # It ends with us, however we end.
        process = FORKS.start(launched(command, signal.SIGKILL, None), log.fileno(), environment)
        try:
            _wait(process, ready, folder / "log")
            yield Victim(process, _known(known, port), files)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _sign_in() -> dict[str, object]:
    return {"development_login": True, "session_secret": SecretStr("the key of sessions in benchmarks")}


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _wait(process: "subprocess.Popen[bytes]", ready: Path, log: Path) -> None:
    deadline = monotonic() + READY_S
    while not ready.exists():
        if process.poll() is not None or monotonic() > deadline:
            raise RuntimeError(f"the API does not start: {log.read_text()[-2_000:]}")
        sleep(0.05)


def _known(settings: Settings, port: int) -> Target:
    """Sign in, and ask for each kind of answer once, so that what the API caches is cached."""
    token = signed_token(settings, org=ORG, sub="bench", role="org_admin", ttl_s=86_400)
    url = f"http://127.0.0.1:{port}"
    with closing(signed_in(url, ORG, "bench", "org_admin")) as person:
        cookie = "; ".join(f"{name}={value}" for name, value in person.cookies.items())
    with httpx.Client(base_url=url, timeout=60, headers={"Authorization": f"Bearer {token}"}) as caller:
        grants = [{"path": "/api/v1/accounts/user:u0:credits/grants", "body": {"amount": 1, "source": "gift"}}] * GRANTS
        caller.post("/api/v1/batch", json={"operations": grants}).raise_for_status()
        for path in ("/api/openapi.json", "/api/docs", "/api/v1/events?limit=200", "/api/v1/prices", "/metrics"):
            caller.get(path)
    return Target(port, token, cookie)


SECONDS = 60
SIDE_BY_SIDE = 7  # attacks at once, each on an API of its own: they wait more than they work
HIGHEST_MB = 400.0
STAYING_MB = 50.0
BACK_S = 60.0
LOOK_S = 0.5
QUIET_S = 3.0  # in which an API that has just started comes to rest

Progress = Callable[[float, float], None]  # seconds that have passed, and the highest memory so far, in MB


@dataclass(slots=True)
class Seen:
    """One attack's figures in MB; `temporary` is of the folder for temporary files, at its highest."""

    name: str
    before: float
    highest: float = 0.0
    after: float = 0.0
    temporary: float = 0.0
    opened: int = 0

    @property
    def met(self) -> bool:
        """Whether the memory had its bound and was given back."""
        return self.highest < HIGHEST_MB and self.after <= self.before + STAYING_MB


def run(report: Report, *, seconds: int = SECONDS) -> list[Figure]:
    """Each attack for `seconds`, seven at a time, every one on an API process of its own over one database."""
    figures: list[Figure] = []
    with whole_service() as service, tempfile.TemporaryDirectory(prefix="scrip-attacks-") as folder:
        names = list(ATTACKS)
        turns = range(0, len(names), SIDE_BY_SIDE)
        each_s = seconds + round(BACK_S)
        with progress() as bar:
            task = bar.add_task("attacks, seconds", total=each_s * len(turns), rate="")
            for number, first in enumerate(turns):
                chosen = names[first : first + SIDE_BY_SIDE]
                report(f"{seconds} s of {', '.join(chosen)}")

                def show(done_s: float, highest: float, before: int = number * each_s) -> None:
                    bar.update(task, completed=before + round(done_s), rate=f"{highest:,.0f} MB")

                seen = attacked(service.settings, Path(folder), [[name] for name in chosen], seconds, on_progress=show)
                figures += [_figure(each) for each in seen]
    return figures


def attacked(
    settings: Settings,
    folder: Path,
    groups: Sequence[Sequence[str]],
    seconds: float,
    *,
    calm: float = 1.0,
    on_progress: Progress = lambda _done_s, _highest: None,
) -> list[Seen]:
    """Each group of attacks at once on an API of its own.

    `calm` above 1: attackers have longer pauses, and it ends when the memory is back instead of a minute later.
    `on_progress` is called twice a second.
    """
    with ExitStack() as running:
        folders = [folder / "-".join(names).replace(" ", "_") for names in groups]
        with ThreadPoolExecutor() as pool:
            victims = list(pool.map(lambda each: running.enter_context(victim(settings, each)), folders))
        return asyncio.run(_attack_all(groups, victims, seconds, calm, on_progress))


async def _attack_all(
    groups: Sequence[Sequence[str]], victims: Sequence[Victim], seconds: float, calm: float, on_progress: Progress
) -> list[Seen]:
    await asyncio.sleep(QUIET_S)
    all_ = [Seen(", ".join(names), on.resident) for names, on in zip(groups, victims, strict=True)]
    showing = asyncio.create_task(_show_progress(all_, on_progress))
    try:
        each = zip(all_, groups, victims, strict=True)
        await asyncio.gather(*(_one(seen, names, on, seconds, calm) for seen, names, on in each))
    finally:
        showing.cancel()
    return all_


async def _show_progress(all_: Sequence[Seen], on_progress: Progress) -> None:
    began = monotonic()
    while True:
        on_progress(monotonic() - began, max(seen.highest for seen in all_))
        await asyncio.sleep(LOOK_S)


async def _one(seen: Seen, names: Sequence[str], on: Victim, seconds: float, calm: float) -> None:
    watching = asyncio.create_task(_watch(seen, on))
    try:
        seen.opened = sum(await asyncio.gather(*(attack(on.target, ATTACKS[name], seconds, calm) for name in names)))
        until = monotonic() + BACK_S
        while monotonic() < until and (calm <= 1 or on.resident > seen.before + STAYING_MB):
            await asyncio.sleep(LOOK_S)
    finally:
        watching.cancel()
    seen.after = on.resident


async def _watch(seen: Seen, on: Victim) -> None:
    while True:
        seen.highest = max(seen.highest, on.resident)
        seen.temporary = max(seen.temporary, on.temporary)
        await asyncio.sleep(LOOK_S)


def _figure(seen: Seen) -> Figure:
    more = {"before": seen.before, "a minute after": seen.after, "temporary files": seen.temporary}
    bar = f"under {HIGHEST_MB:.0f}, back within {STAYING_MB:.0f}"
    return Figure("attacks", seen.name, seen.highest, "MB", bar, seen.met, more)
