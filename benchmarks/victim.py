"""An API process to be attacked: on a database that is there already, with a folder for temporary files of its own."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import httpx
import psutil
from pydantic import SecretStr

from benchmarks.attackers import Target
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
LOGIN_FORM = re.compile(r'name="csrf" value="([^"]+)"')


class Victim:
    """One API process and what it costs."""

    def __init__(self, process: "subprocess.Popen[bytes]", target: Target, files: Path) -> None:
        self.target = target
        self._process = psutil.Process(process.pid)
        self._files = files

    @property
    def resident(self) -> float:
        """MB in memory now."""
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
    told = settings.model_copy(update={"port": port, "host": "127.0.0.1", **_sign_in()})
    given = {f"SCRIP_{name.upper()}": _text(value) for name, value in told if value not in ("", None)}
    command = [sys.executable, "-P", str(PROGRAM), "api", "--ready", str(ready)]
    if open_files:
        command = [sys.executable, "-c", FEWER_FILES, str(open_files), *command]
    environment = {**os.environ, **given, "TMPDIR": str(files)}
    with (folder / "log").open("wb") as log:
        # It ends with us, however we end.
        process = FORKS.start(launched(command, signal.SIGKILL, None), log.fileno(), environment)
        try:
            _wait(process, ready, folder / "log")
            yield Victim(process, _known(told, port), files)
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
    """Logins of somebody who has them, and each kind of answer asked for once, so that what is kept is there."""
    token = signed_token(settings, org=ORG, sub="bench", role="org_admin", ttl_s=86_400)
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url, timeout=60) as person:
        page = person.get("/login")
        csrf = LOGIN_FORM.search(page.text)
        form = {"csrf": csrf[1] if csrf else "", "org": ORG, "sub": "bench", "role": "org_admin", "next": "/"}
        if person.post("/login", data=form).status_code != 303:
            raise RuntimeError("nobody can sign in")
        cookie = "; ".join(f"{name}={value}" for name, value in person.cookies.items())
    with httpx.Client(base_url=url, timeout=60, headers={"Authorization": f"Bearer {token}"}) as caller:
        grants = [{"path": "/api/v1/accounts/user:u0:credits/grants", "body": {"amount": 1, "source": "gift"}}] * GRANTS
        caller.post("/api/v1/batch", json={"operations": grants}).raise_for_status()
        for path in ("/api/openapi.json", "/api/docs", "/api/v1/events?limit=200", "/api/v1/prices", "/metrics"):
            caller.get(path)
    return Target(port, token, cookie)
