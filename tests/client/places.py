"""Where the contract suite runs: a real API on a real database, and the client's fake server."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self

from scrip_client import AsyncScrip, Scrip
from scrip_client.testing import FakeScrip

from domain.prices.catalogue import CATALOGUE
from domain.prices.events import PriceEntry
from tests.api.generating import give, limit_storage
from tests.api.service import Service
from tests.conftest import move_clock

NAMED = ("operation", "provider", "model", "options", "credits", "tokens", "rates", "expected_usage")
METERED = PriceEntry(model="chatty", operation="chat", credits=100, rates={"input_tokens": 20, "output_tokens": 60})
BY_USE = PriceEntry(
    model="by-use", operation="chat", rates={"in": 10, "out": 50}, expected_usage={"in": 1000, "out": 400}
)
PRICES = (*(entry for entry in CATALOGUE if entry.model and not entry.at_most), METERED, BY_USE)


class Place(Protocol):
    """A server and what tests do to it beside the client."""

    def give(self, user: str, **amounts: int) -> None:
        """Grant, by unit."""

    def limit_storage(self, user: str, size: int) -> None:
        """A user's limit, in bytes."""

    def advance(self, seconds: int) -> None:
        """Move the server's clock."""

    def project(self) -> None:
        """Bring the read models up to date."""

    def arguments(self, role: str = "worker", sub: str = "worker-1") -> dict[str, Any]:
        """A client's, with a login of this role."""


class Real:
    """The API over HTTP."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def give(self, user: str, **amounts: int) -> None:
        for unit, amount in amounts.items():
            give(self.service, f"user:{user}:{unit}", amount)

    def limit_storage(self, user: str, size: int) -> None:
        limit_storage(self.service, user, size)

    def advance(self, seconds: int) -> None:
        move_clock(self.service.database, f"{seconds} seconds")

    def project(self) -> None:
        self.service.project()

    def arguments(self, role: str = "worker", sub: str = "worker-1") -> dict[str, Any]:
        return {"url": self.service.url, "token": self.service.token(role, sub)}


class Fake:
    """The fake server."""

    def __init__(self) -> None:
        self.server = FakeScrip()
        for entry in PRICES:
            self.server.price(**{name: getattr(entry, name) for name in NAMED})

    def give(self, user: str, **amounts: int) -> None:
        self.server.give(user, **amounts)

    def limit_storage(self, user: str, size: int) -> None:
        self.server.limit_storage(user, size)

    def advance(self, seconds: int) -> None:
        self.server.advance(seconds)

    def project(self) -> None:
        """It has none."""

    def arguments(self, role: str = "worker", sub: str = "worker-1") -> dict[str, Any]:
        return {"url": "http://scrip", "token": self.server.token(role, sub), "transport": self.server}


class Waiting:
    """An async client in the form of the blocking one, so that one suite tells what both do."""

    def __init__(self, scrip: AsyncScrip, loop: asyncio.AbstractEventLoop) -> None:
        self._scrip, self._loop = scrip, loop

    def __getattr__(self, name: str) -> Any:
        return wrapped(getattr(self._scrip, name), self._loop)


class WaitingGeneration:
    """The same for a generation."""

    def __init__(self, generation: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._generation, self._loop = generation, loop

    def __getattr__(self, name: str) -> Any:
        return wrapped(getattr(self._generation, name), self._loop)

    def __enter__(self) -> Self:
        self._loop.run_until_complete(self._generation.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.run_until_complete(self._generation.__aexit__(kind, error, trace))


def wrapped(value: Any, loop: asyncio.AbstractEventLoop) -> Any:
    """What an async client has, for a caller that waits."""
    if not callable(value):
        return value

    def call(*args: Any, **kwargs: Any) -> Any:
        made = value(*args, **kwargs)
        if isinstance(made, Coroutine):
            return loop.run_until_complete(made)
        if isinstance(made, AsyncIterator):
            return loop.run_until_complete(_all(made))
        return WaitingGeneration(made, loop) if hasattr(made, "__aenter__") else made

    return call


class Opened(AbstractContextManager[Any]):
    """A client of one of the two forms, open while the block runs."""

    def __init__(self, form: str, **arguments: Any) -> None:
        self._form, self._arguments = form, arguments
        self._loop = asyncio.new_event_loop()
        self._scrip: Any = None

    def __enter__(self) -> Any:
        if self._form == "blocking":
            self._scrip = Scrip(**self._arguments)
            return self._scrip.__enter__()
        self._scrip = AsyncScrip(**self._arguments)
        return Waiting(self._loop.run_until_complete(self._scrip.__aenter__()), self._loop)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._form == "blocking":
            self._scrip.close()
        else:
            self._loop.run_until_complete(self._scrip.close())
        self._loop.close()


async def _all(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]
