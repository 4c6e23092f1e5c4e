"""The demo's callers over HTTP (an admin, workers, users, each with a token of their own), and its counts so far."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from cli.api_client import problem_of
from cli.demo.plan import Fate
from cli.failure import Failure
from cli.service.tokens import signed_token
from infra.settings import Settings

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = {
    Fate.SUCCEEDS: "completed",
    Fate.SUCCEEDS_TWICE: "completed, reported twice",
    Fate.FAILS: "failed",
    Fate.NEVER_SETTLED: "never settled",
    Fate.TOO_LATE: "settled late",
}


@dataclass(slots=True)
class Tally:
    """Counts of one demo."""

    planned: int
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None
    last_held: float | None = None
    held: int = 0
    running: int = 0
    requests: int = 0
    messages: int = 0
    settled: Counter[Fate] = field(default_factory=Counter)

    @property
    def seconds(self) -> float:
        """How long the traffic has taken."""
        return (self.ended or time.monotonic()) - self.began

    @property
    def rate(self) -> float:
        """Generations begun per second, while they were begun."""
        span = (self.last_held or time.monotonic()) - self.began
        return self.held / span if span > 0 else 0.0

    def was_held(self) -> None:
        self.held += 1
        self.last_held = time.monotonic()

    def as_table(self) -> Table:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        table.title = f"{self.seconds:.1f} s, {self.rate:.0f} generations/s, {self.messages} messages"
        table.title_justify = "left"
        settled = {name: self.settled[fate] for fate, name in SHOWN.items()}
        for name, count in {"held": self.held, "generating now": self.running, **settled}.items():
            table.add_row(name, ProgressBar(total=self.planned, completed=count, width=40), f"{count}/{self.planned}")
        return table


TIMEOUT_S = 30.0


class Caller:
    """Calls in the name of anybody; counts them in the tally."""

    def __init__(self, http: httpx.AsyncClient, settings: Settings, tally: Tally) -> None:
        """`http` has the service's address as its base."""
        self._http = http
        self._settings = settings
        self._tally = tally
        self._tokens: dict[tuple[str, str, str], str] = {}

    async def admin(self, method: str, path: str, org: str, body: dict[str, Any] | None = None) -> Any:
        """The answer to the platform's admin. Raises Failure."""
        return answered(path, await self.call(method, path, self.token(org, "admin-1", "admin"), body))

    async def worker(self, path: str, org: str, body: dict[str, Any], key: str | None = None) -> Any:
        """The answer to a worker's POST. Raises Failure."""
        return answered(path, await self.call("POST", path, self.token(org, "worker-1", "worker"), body, key))

    async def user(
        self, method: str, path: str, org: str, user: str, body: dict[str, Any] | None = None, key: str | None = None
    ) -> httpx.Response:
        """What a user gets with their own token, a refusal or not. Raises Failure where nothing answers."""
        return await self.call(method, path, self.token(org, user, "user"), body, key)

    async def call(
        self, method: str, path: str, token: str, body: dict[str, Any] | None = None, key: str | None = None
    ) -> httpx.Response:
        """Any call. Raises Failure where nothing answers."""
        headers = {"Authorization": f"Bearer {token}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        self._tally.requests += 1
        try:
            return await self._http.request(method, path, json=body, headers=headers, timeout=TIMEOUT_S)
        except httpx.HTTPError as error:
            raise Failure(f"The API does not answer {method} {path}: {error or type(error).__name__}.") from error

    def token(self, org: str, sub: str, role: str) -> str:
        known = (org, sub, role)
        if known not in self._tokens:
            self._tokens[known] = signed_token(self._settings, org=org, sub=sub, role=role, ttl_s=3600)
        return self._tokens[known]


def answered(path: str, answer: httpx.Response) -> Any:
    """The JSON of a success. Raises Failure for anything else."""
    if not answer.is_success:
        raise Failure(f"{answer.request.method} {path}: {problem_of(answer)}")
    return answer.json() if answer.content else None
