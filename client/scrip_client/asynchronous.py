"""The async client: `async with AsyncScrip(url, token=…) as scrip: …`, and its generations."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from scrip_client import account_calls as acc
from scrip_client import generation_calls as gen
from scrip_client import opening as openings
from scrip_client.answers import Settlement
from scrip_client.delivery import Recovered, recover
from scrip_client.errors import ScripError
from scrip_client.http import answer_of, arguments, lost
from scrip_client.journal import Journal
from scrip_client.kafka import KafkaPublisher, NotPublished, Publisher, Servers
from scrip_client.listing import Listing
from scrip_client.methods import Method
from scrip_client.opening import Opening
from scrip_client.settling import confirmation
from scrip_client.steps import Answer, Call, Lost, Pause, Publish, Send, Step, Steps, Write, perform
from scrip_client.terms import Outcome, Settle, Terms, Token
from scrip_client.work import Work

log = logging.getLogger(__name__)

T = TypeVar("T")


class AsyncGeneration(Work):
    """One generation of an async client: `async with scrip.generation(…) as g: …; g.confirm(…)`."""

    def __init__(self, scrip: "AsyncScrip", opening: Opening) -> None:
        """Nothing happens before it is entered."""
        super().__init__(scrip.terms, opening)
        self._scrip = scrip
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Hold what it needs, and keep it held. Raises InsufficientResources and the other errors."""
        try:
            await self._scrip.run(self._enter())
        except ScripError:
            raise
        except BaseException:
            self._scrip.in_background(self._abandon())
            raise
        self._beating = self._scrip.in_background(self._beats())
        self._scrip.beating.add(self._beating)
        self._beating.add_done_callback(self._scrip.beating.discard)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Settle, or give everything back where there was an exception, which goes on."""
        if self._beating is not None:
            self._beating.cancel()
        # A second cancellation must not stop the settlement: it goes on in the background, and `close` waits for it.
        settling = self._scrip.in_background(self._leave(error))
        try:
            await asyncio.shield(settling)
        except ScripError as refused:
            if error is None:
                raise
            error.add_note(f"Scrip could not be told: {refused}")

    async def part(
        self,
        *,
        content_bytes: int | None = None,
        contents: Sequence[Mapping[str, Any]] | None = None,
        usage: Mapping[str, int] | None = None,
        actual: Mapping[str, Any] | None = None,
        succeeded: int | None = None,
        provider_cost: Any = None,
    ) -> Settlement | None:
        """Charge a part now; what it came to, None where settlements go through Kafka. Raises ScripError."""
        body = confirmation(
            content_bytes=content_bytes,
            contents=contents,
            usage=usage,
            actual=actual,
            succeeded=succeeded,
            provider_cost=provider_cost,
            final=False,
        )
        return await self._scrip.run(self._part(body))


def _does(scrip: "AsyncScrip", call: Call[T]) -> Coroutine[Any, Any, T]:
    return scrip.perform(call)


def _lists(scrip: "AsyncScrip", listing: Listing[T]) -> AsyncIterator[T]:
    return scrip.items(listing)


class AsyncScrip:
    """Scrip for asyncio. One per process and event loop."""

    generation = Method(openings.generation, AsyncGeneration)
    work_on = Method(openings.work_on, AsyncGeneration)
    check = Method(gen.check, _does)
    quote = Method(gen.quote, _does)
    create = Method(gen.create, _does)
    start = Method(gen.start, _does)
    cancel = Method(gen.cancel, _does)
    extend = Method(gen.extend, _does)
    confirm = Method(gen.confirm, _does)
    fail = Method(gen.fail, _does)
    refund_generation = Method(gen.refund_generation, _does)
    generation_of = Method(gen.generation_of, _does)
    explain = Method(gen.explain, _does)
    generations = Method(gen.generations, _lists)
    contents = Method(gen.contents, _lists)
    balance = Method(acc.balance, _does)
    grant = Method(acc.grant, _does)
    void = Method(acc.void, _does)
    reserve = Method(acc.reserve, _does)
    capture = Method(acc.capture, _does)
    release = Method(acc.release, _does)
    extend_reservation = Method(acc.extend_reservation, _does)
    debit = Method(acc.debit, _does)
    refund = Method(acc.refund, _does)
    transfer = Method(acc.transfer, _does)
    me = Method(acc.me, _does)
    session_token = Method(acc.session_token, _does)
    request = Method(acc.request, _does)
    grants = Method(acc.grants, _lists)
    reservations = Method(acc.reservations, _lists)
    transactions = Method(acc.transactions, _lists)

    def __init__(
        self,
        url: str,
        *,
        token: Token,
        organisation: str | None = None,
        journal: Path | str | None = None,
        settle: Settle = "http",
        kafka: Servers | None = None,
        usage_topic: str = "scrip.usage",
        abandoned: Outcome | None = "other",
        timeout_s: float = 30.0,
        patience_s: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
        publisher: Publisher | None = None,
    ) -> None:
        """Nothing is sent before it is used.

        `token`: a token or API key of role worker or org_admin, or a function that gives one. `organisation`: needed by
        the platform's admins and for Kafka. `journal`: a file of this process's own; without it, settlements of a
        crashed worker are lost and its holds expire. `settle="kafka"` needs `kafka`: host:port or aiokafka's arguments.
        `abandoned`: the outcome of generations whose worker died before they had one; None lets them expire.
        `timeout_s` is of one try, `patience_s` of all tries of a call together. `transport`, `publisher`: for tests.
        Raises ValueError, JournalError, ImportError.
        """
        if publisher is None and kafka is not None:
            publisher = KafkaPublisher(kafka)
        terms = Terms(
            token=token,
            organisation=organisation,
            journal=None,
            patience_s=patience_s,
            settle=settle,
            usage_topic=usage_topic,
            abandoned=abandoned,
            may_publish=publisher is not None,
        )
        self._publisher = publisher
        self.terms = replace(terms, journal=Journal(Path(journal))) if journal is not None else terms
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout_s, transport=transport)
        self._tasks: set[asyncio.Task[None]] = set()
        self.beating: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Send what a crashed worker has left in the journal."""
        try:
            await self.recover()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    async def recover(self) -> Recovered:
        """Send what the journal has left; done on entry, and when Scrip can be reached again after a failure."""
        return await self.run(recover(self.terms))

    async def close(self) -> None:
        """Wait for what is under way, and let connections and the journal go."""
        for beating in self.beating:
            beating.cancel()
        while tasks := [task for task in self._tasks if not task.done()]:
            await asyncio.wait(tasks)
        await self._http.aclose()
        if self._publisher is not None:
            await self._publisher.close()
        if self.terms.journal is not None:
            self.terms.journal.close()

    async def perform(self, call: Call[T]) -> T:
        """Make a call, repeated under its key until there is a definite answer. Raises ScripError."""
        return await self.run(perform(call, self.terms.patience_s))

    async def items(self, listing: Listing[T]) -> AsyncIterator[T]:
        """Go through a list, page by page. Raises ScripError."""
        cursor: str | None = None
        while True:
            found, cursor = await self.perform(listing.page(cursor))
            for item in found:
                yield item
            if cursor is None:
                return

    async def run(self, steps: Steps[T]) -> T:
        """Do what the protocol says. Raises what it raises."""
        try:
            step = next(steps)
            while True:
                try:
                    told = await self._do(step)
                except Exception as error:  # noqa: BLE001 - the protocol decides what it means
                    step = steps.throw(error)
                else:
                    step = steps.send(told)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            steps.close()

    def in_background(self, steps: Steps[None]) -> "asyncio.Task[None]":
        """Do what the protocol says in a task that `close` waits for."""
        task = asyncio.get_running_loop().create_task(self.run(steps))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.info("%s", task.exception())  # whoever waits for it gets it; nobody does once they were cancelled

    async def _do(self, step: Step) -> Answer | Lost | None:
        match step:
            case Send(request):
                try:
                    return answer_of(await self._http.request(**arguments(request, self.terms.headers())))
                except httpx.HTTPError as error:
                    return lost(error)
            case Pause(seconds):
                await asyncio.sleep(seconds)
                return None
            case Write(act):
                await asyncio.to_thread(act)
                return None
            case Publish(record):
                try:
                    await self._topic().publish(record)
                except NotPublished as error:
                    return Lost(str(error), sent=True)
                return None

    def _topic(self) -> Publisher:
        if self._publisher is None:
            raise LookupError("the client has no way to Kafka")
        return self._publisher
