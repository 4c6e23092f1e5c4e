"""The blocking client: `with Scrip(url, token=…) as scrip: …`, and its generations."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
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
from scrip_client.kafka import KafkaPublisher, NotPublished, Publisher, PublisherThread, Servers
from scrip_client.listing import Listing
from scrip_client.methods import Method
from scrip_client.opening import Opening
from scrip_client.settling import confirmation
from scrip_client.steps import Answer, Call, Lost, Pause, Publish, Send, Step, Steps, Write, perform
from scrip_client.terms import Outcome, Settle, Terms, Token
from scrip_client.work import Work

T = TypeVar("T")

JOIN_S = 5.0


class Generation(Work):
    """One generation of a blocking client: `with scrip.generation(…) as g: …; g.confirm(…)`."""

    def __init__(self, scrip: "Scrip", opening: Opening) -> None:
        """Nothing happens before it is entered."""
        super().__init__(scrip.terms, opening)
        self._scrip = scrip
        self._stop = Event()

    def __enter__(self) -> Self:
        """Hold what it needs, and keep it held. Raises InsufficientResources and the other errors."""
        try:
            self._scrip.run(self._enter())
        except ScripError:
            raise
        except BaseException:
            self._scrip.run(self._abandon())
            raise
        self._scrip.in_background(self._beats(), self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Settle, or give everything back where there was an exception, which goes on."""
        self._stop.set()
        try:
            self._scrip.run(self._leave(error))
        except ScripError as refused:
            if error is None:
                raise
            error.add_note(f"Scrip could not be told: {refused}")

    def part(
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
        return self._scrip.run(self._part(body))


def _does(scrip: "Scrip", call: Call[T]) -> T:
    return scrip.perform(call)


def _lists(scrip: "Scrip", listing: Listing[T]) -> Iterator[T]:
    return scrip.items(listing)


class Scrip:
    """Scrip for programs that block. Safe to use from several threads; one per process, opened after a fork."""

    generation = Method(openings.generation, Generation)
    work_on = Method(openings.work_on, Generation)
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
        transport: httpx.BaseTransport | None = None,
        publisher: Publisher | None = None,
    ) -> None:
        """As AsyncScrip's. Raises ValueError, JournalError, ImportError."""
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
        self.terms = replace(terms, journal=Journal(Path(journal))) if journal is not None else terms
        self._http = httpx.Client(base_url=url, timeout=timeout_s, transport=transport)
        self._publisher = PublisherThread(publisher) if publisher is not None else None
        self._beating: dict[Thread, Event] = {}

    def __enter__(self) -> Self:
        """Send what a crashed worker has left in the journal."""
        try:
            self.recover()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def recover(self) -> Recovered:
        """Send what the journal has left; done on entry, and when Scrip can be reached again after a failure."""
        return self.run(recover(self.terms))

    def close(self) -> None:
        """Wait for what is under way, and let connections and the journal go."""
        for thread, stop in list(self._beating.items()):
            stop.set()
            thread.join(JOIN_S)
        self._http.close()
        if self._publisher is not None:
            self._publisher.close()
        if self.terms.journal is not None:
            self.terms.journal.close()

    def perform(self, call: Call[T]) -> T:
        """Make a call, repeated under its key until there is a definite answer. Raises ScripError."""
        return self.run(perform(call, self.terms.patience_s))

    def items(self, listing: Listing[T]) -> Iterator[T]:
        """Go through a list, page by page. Raises ScripError."""
        cursor: str | None = None
        while True:
            found, cursor = self.perform(listing.page(cursor))
            yield from found
            if cursor is None:
                return

    def run(self, steps: Steps[T], stop: Event | None = None) -> T:
        """Do what the protocol says. Raises what it raises; `_Stopped` once `stop` is set while it waits."""
        try:
            step = next(steps)
            while True:
                try:
                    told = self._do(step, stop)
                except Exception as error:  # noqa: BLE001 - the protocol decides what it means
                    step = steps.throw(error)
                else:
                    step = steps.send(told)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            steps.close()

    def in_background(self, steps: Steps[None], stop: Event) -> None:
        """Do what the protocol says in a thread, until `stop` is set."""

        def beat() -> None:
            try:
                self.run(steps, stop)
            except _Stopped:
                pass
            finally:
                self._beating.pop(thread, None)

        thread = Thread(target=beat, name="scrip-heartbeat", daemon=True)
        self._beating[thread] = stop
        thread.start()

    def _do(self, step: Step, stop: Event | None) -> Answer | Lost | None:
        match step:
            case Send(request):
                try:
                    return answer_of(self._http.request(**arguments(request, self.terms.headers())))
                except httpx.HTTPError as error:
                    return lost(error)
            case Pause(seconds):
                if stop is None:
                    time.sleep(seconds)
                elif stop.wait(seconds):
                    raise _Stopped
                return None
            case Write(act):
                act()
                return None
            case Publish(record):
                try:
                    self._topic().publish(record)
                except NotPublished as error:
                    return Lost(str(error), sent=True)
                return None

    def _topic(self) -> PublisherThread:
        if self._publisher is None:
            raise LookupError("the client has no way to Kafka")
        return self._publisher


class _Stopped(Exception):
    """The generation is being left."""
