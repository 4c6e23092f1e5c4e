"""For tests of programs that use Scrip: the real ledger in memory, without PostgreSQL, Kafka or a network.

It is Scrip's own code, in a child process from a folder of its own (`pip install "scrip-client[testing]"`), so that
none of its packages can be imported by, or get in the way of, the program that is tested.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from threading import Lock, RLock
from typing import IO, Any, cast

import httpx

from scrip_client.settling import OptionValue
from scrip_client.steps import Record

_START = "import sys; sys.path.insert(0, sys.argv.pop()); from api.in_memory import main; main()"


class FakeScrip(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A server in memory: `AsyncScrip("http://scrip", token=fake.token(), transport=fake, publisher=fake.topic)`.

    It has one organisation, `acme`, and takes all calls of the client, and those that set budgets and groups; others
    are 501. Its clock stands still until it is moved. There are no rate limits. `unreachable`: nobody answers.
    `requests`: the method and path of every request that arrived.
    """

    def __init__(self) -> None:
        """Raises ImportError without the extra `scrip-client[testing]`."""
        self.topic: FakeTopic = FakeTopic(self)
        self.unreachable = False
        self.requests: list[tuple[str, str]] = []
        self._engine = _engine()
        self._world = self._engine.new_world()
        weakref.finalize(self, self._engine.over.append, self._world)
        self._prices: dict[str, dict[str, Any]] = {}
        self._unpublished = False
        self._lost = 0
        self._guard = RLock()

    @property
    def now(self) -> datetime:
        """The server's clock."""
        return self._moved(0)

    def advance(self, seconds: float) -> None:
        """Move the clock; what ends until then has ended."""
        self._moved(seconds)

    def price(
        self,
        *,
        operation: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        options: Mapping[str, OptionValue] | None = None,
        credits: int | None = None,  # noqa: A002 - the contract's name
        tokens: int | None = None,
        usd: Decimal | None = None,
        rates: Mapping[str, int] | None = None,
        expected_usage: Mapping[str, int] | None = None,
    ) -> None:
        """Set a price. It is published with the next request; as on a real server it takes effect 5 s later.

        The clock goes there by itself. `rates`: credits per 1,000 measured units, for settlement by usage.
        `expected_usage`: units of one use; a hold is sized from them where the request gives no `estimate`.
        """
        thing = {"operation": operation, "provider": provider, "model": model, "options": dict(options or {})}
        amounts = {"credits": credits, "tokens": tokens, "usd": None if usd is None else str(usd)}
        units = {"rates": dict(rates or {}), "expected_usage": dict(expected_usage or {})}
        entry = {name: value for name, value in {**thing, **amounts, **units}.items() if value is not None}
        with self._guard:
            self._prices[json.dumps(thing, sort_keys=True)] = entry
            self._unpublished = True

    def give(self, user: str, **amounts: int) -> None:
        """Grant by unit: `give("u_42", credits=500)`."""
        for unit, amount in amounts.items():
            self.call("POST", f"/api/v1/accounts/user:{user}:{unit}/grants", {"amount": amount, "source": "gift"})

    def limit_storage(self, user: str, size: int) -> None:
        """Set a user's storage limit, in bytes."""
        self.call("PUT", f"/api/v1/users/{user}/storage-limit", {"bytes": size})

    def available(self, user: str, unit: str = "credits") -> int:
        """What a user may spend."""
        return int(self.call("GET", f"/api/v1/accounts/user:{user}:{unit}/balance")["available"])

    def token(self, role: str = "worker", sub: str = "worker-1") -> str:
        """A token of this role: user, worker, org_admin, auditor or admin (the platform's)."""
        return self._engine.token(role, sub)

    def lose_answers(self, count: int) -> None:
        """Apply the next requests and lose their answers, as a connection does that breaks."""
        self._lost = count

    def call(self, method: str, path: str, body: Any = None, *, role: str = "org_admin", key: str | None = None) -> Any:
        """Any call of the API, by a login of this role; it is not among `requests`. Raises httpx.HTTPStatusError."""
        headers = {"Authorization": f"Bearer {self.token(role, 'tester')}"} | ({"Idempotency-Key": key} if key else {})
        request = httpx.Request(method, f"http://scrip{path}", headers=headers, json=body)
        return self._answer(request).raise_for_status().json()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        if self.unreachable:
            raise httpx.ConnectError("the fake server is unreachable", request=request)
        self.requests.append((request.method, request.url.path))
        answer = self._answer(request)
        if self._lost:
            self._lost -= 1
            raise httpx.ReadError("the answer is lost", request=request)
        return answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        await request.aread()
        return self.handle_request(request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        with self._guard:
            if self._unpublished:
                self._unpublished = False
                book = self.call("PUT", "/api/v1/prices", {"entries": list(self._prices.values())}, role="admin")
                self.advance((datetime.fromisoformat(book["effective_at"]) - self.now).total_seconds())
            asked = {"world": self._world, "method": request.method, "path": request.url.raw_path.decode()}
            told = self._engine.ask(
                asked | {"headers": request.headers.multi_items(), "body": request.read().decode("latin-1")}
            )
        content = told["body"].encode("latin-1")
        return httpx.Response(told["status"], headers=told["headers"], content=content, request=request)

    def _moved(self, seconds: float) -> datetime:
        told = self._engine.ask({"world": self._world, "do": "advance", "seconds": seconds})
        return datetime.fromisoformat(told["now"])


class FakeTopic:
    """The usage topic and its reader in one: a message is applied when it is published, copies of it once."""

    def __init__(self, server: FakeScrip) -> None:
        self._server = server
        self.records: list[Record] = []

    async def publish(self, record: Record) -> None:
        """Apply a settlement. What is refused is in quarantine on the real server, and dropped here."""
        self.records.append(record)
        headers, data = dict(record.headers), json.loads(record.value)
        key = f"{headers['ce_source'].decode()}:{headers['ce_id'].decode()}"
        id_, verb = data.pop("generation_id"), "confirm" if data.pop("success") else "fail"
        with suppress(httpx.HTTPStatusError):
            self._server.call("POST", f"/api/v1/generations/{id_}/{verb}", data, role="worker", key=key)

    async def close(self) -> None:
        """Nothing to close."""


class _Engine:
    """The child process, which serves all `FakeScrip` of this process, one request after the other."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._guard = Lock()
        self._numbers = count(1)
        self._tokens: dict[tuple[str, str], str] = {}
        self.over: list[int] = []  # worlds that nobody uses any more
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - it is open for as long as the child runs
        self._child = subprocess.Popen(  # noqa: S603 - Scrip's own code
            [sys.executable, "-P", "-c", _START, str(_folder())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            encoding="utf-8",
        )
        self._asks: IO[str] = cast("IO[str]", self._child.stdin)
        self._answers: IO[str] = cast("IO[str]", self._child.stdout)

    def new_world(self) -> int:
        """The number of a new world. Raises ImportError where the child cannot start."""
        number = next(self._numbers)
        over = [self.over.pop() for _ in range(len(self.over))]
        self.ask({"world": number, "do": "new", "over": over})
        return number

    def token(self, role: str, sub: str) -> str:
        """The same token for the same login."""
        if (role, sub) not in self._tokens:
            self._tokens[role, sub] = self.ask({"do": "token", "role": role, "sub": sub})["token"]
        return self._tokens[role, sub]

    def ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The answer to a line. Raises ImportError where the child has ended, ValueError for what it cannot do."""
        with self._guard:
            try:
                self._asks.write(json.dumps(asked) + "\n")
                self._asks.flush()
                line = self._answers.readline()
            except (OSError, ValueError):  # the pipe is broken, or closed here
                line = ""
        if not line:
            raise ImportError(f'scrip_client.testing needs pip install "scrip-client[testing]"; {self._last_said()}')
        told: dict[str, Any] = json.loads(line)
        if "error" in told:
            raise ValueError(told["error"])
        return told

    def _last_said(self) -> str:
        if self._said.closed:
            return "its process has ended"
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip().splitlines()
        return said[-1] if said else "its process has ended"

    def end(self) -> None:
        """End the child."""
        with suppress(OSError):
            self._asks.close()
        self._child.wait(10)
        self._answers.close()
        self._said.close()


_running: _Engine | None = None
_starting = Lock()


def _engine() -> _Engine:
    """The child of this process; started where there is none. Raises ImportError."""
    global _running  # noqa: PLW0603 - a process has one
    with _starting:
        if _running is None or _running.owner != os.getpid():
            _running = _Engine()
        return _running


def close() -> None:
    """End the child process, which else ends with this one. All `FakeScrip` end with it; a new one starts another."""
    global _running
    with _starting:
        engine, _running = _running, None
    if engine is not None and engine.owner == os.getpid():
        engine.end()


atexit.register(close)


def _folder() -> Path:
    """Where Scrip's own packages are: installed by the extra, or in the checkout that this file is in."""
    found = find_spec("scrip_engine")
    checkout = Path(__file__).parents[2]
    if found is not None and found.submodule_search_locations:
        return Path(next(iter(found.submodule_search_locations)))
    if (checkout / "api" / "in_memory.py").is_file():
        return checkout
    raise ImportError('scrip_client.testing needs the extra: pip install "scrip-client[testing]"')
