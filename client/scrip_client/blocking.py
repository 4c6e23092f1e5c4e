"""The client's blocking form, made from `asynchronous.py` by `client/make_blocking.py`. Change that file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from scrip_client import answers, calls
from scrip_client.calls import TTL_S, account_path, ask, generation_path, get, post, query
from scrip_client.delivery import Recovered, recover
from scrip_client.errors import ScripError
from scrip_client.http import answer_of, arguments, lost
from scrip_client.journal import Journal
from scrip_client.kafka import KafkaPublisher, Publisher, Servers
from scrip_client.runtime import Runtime
from scrip_client.settling import OptionValue, confirmation, failure
from scrip_client.steps import Answer, Call, Lost, Pause, Publish, Request, Send, Step, Steps, Write, new_key, perform
from scrip_client.terms import Outcome, Settle, Terms, Token
from scrip_client.work import Opening, Work

T = TypeVar("T")


class Driver:
    """Does the protocol's steps with httpx and the runtime."""

    def __init__(self, terms: Terms, http: httpx.Client, publisher: Publisher | None) -> None:
        self.terms = terms
        self.runtime: Runtime = Runtime(publisher)
        self._http = http

    def run(self, steps: Steps[T]) -> T:
        """Do all steps. Raises what they raise."""
        try:
            step = next(steps)
            while True:
                try:
                    answer = self._do(step)
                except Exception as error:  # noqa: BLE001 - the protocol decides what it means
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            steps.close()

    def close(self) -> None:
        """Wait for running work, then close connections and the journal."""
        self.runtime.close()
        self._http.close()
        if self.terms.journal is not None:
            self.terms.journal.close()

    def _do(self, step: Step) -> Answer | Lost | None:
        match step:
            case Send(request):
                try:
                    return answer_of(self._http.request(**arguments(request, self.terms.headers())))
                except httpx.HTTPError as error:
                    return lost(error)
            case Pause(seconds):
                self.runtime.pause(seconds)
            case Write(act):
                self.runtime.write(act)
            case Publish(record):
                return self.runtime.publish(record)
        return None


class Generation(Work):
    """One generation as a context manager: enter it, run the model, call `confirm` or `fail`, leave it."""

    def __init__(self, driver: Driver, opening: Opening) -> None:
        """Nothing is sent before it is entered."""
        super().__init__(driver.terms, opening)
        self._driver = driver
        self._end_heartbeat: Callable[[], object] = lambda: None

    def __enter__(self) -> Self:
        """Hold what it needs, and keep it held. Raises InsufficientResources and the other errors."""
        try:
            self._driver.run(self._enter())
        except ScripError:
            raise
        except BaseException:
            self._driver.runtime.begin(lambda: self._driver.run(self._abandon()))
            raise
        self._end_heartbeat = self._driver.runtime.beat(lambda: self._driver.run(self._beats()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Settle. After an exception give everything back; the exception continues."""
        self._end_heartbeat()
        try:
            self._driver.runtime.finish(lambda: self._driver.run(self._leave(error)))
        except ScripError as refused:
            if error is None:
                raise
            error.add_note(f"Scrip did not take the settlement: {refused}")

    def part(
        self,
        *,
        content_bytes: int | None = None,
        contents: Sequence[Mapping[str, Any]] | None = None,
        usage: Mapping[str, int] | None = None,
        actual: Mapping[str, Any] | None = None,
        succeeded: int | None = None,
        provider_cost: Any = None,
    ) -> answers.Settlement | None:
        """Charge a part now; returns the settlement, or None over Kafka. Raises ScripError."""
        body = confirmation(
            content_bytes=content_bytes, contents=contents, usage=usage, actual=actual, succeeded=succeeded,
            provider_cost=provider_cost, final=False,
        )  # fmt: skip
        return self._driver.run(self._part(body))


class Scrip:
    """A client of Scrip. `AsyncScrip` is for asyncio: one per process and event loop.

    `Scrip` is for programs that block: one per process, opened after a fork, safe to use from several threads.
    An account's address is `owner_type:owner_id:unit`. `idempotency_key`: a repeated call with the same key is applied
    once; without one, each call gets its own. Every method raises ScripError.
    """

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
        """Sends nothing.

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
            token=token, organisation=organisation, journal=None, patience_s=patience_s, settle=settle,
            usage_topic=usage_topic, abandoned=abandoned, may_publish=publisher is not None,
        )  # fmt: skip
        self.terms: Terms = replace(terms, journal=Journal(Path(journal))) if journal is not None else terms
        http = httpx.Client(base_url=url, timeout=timeout_s, transport=transport)
        self._driver = Driver(self.terms, http, publisher)

    def __enter__(self) -> Self:
        """Send what a crashed worker left in the journal."""
        try:
            self.recover()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client."""
        self.close()

    def recover(self) -> Recovered:
        """Send what is left in the journal. This also happens on entry, and once Scrip is reachable again."""
        return self._driver.run(recover(self.terms))

    def close(self) -> None:
        """Wait for running work, then close connections and the journal."""
        self._driver.close()

    def generation(
        self,
        *,
        user: str | None,
        operation: str,
        provider: str | None = None,
        model: str | None = None,
        options: Mapping[str, OptionValue] | None = None,
        tokens: int | None = None,
        bytes: int | None = None,  # noqa: A002 - the contract's name
        estimate: Mapping[str, int] | None = None,
        token_type: str | None = None,
        feature: str | None = None,
        id: str | None = None,  # noqa: A002 - the contract's name
        parent_id: str | None = None,
        prompt: str | None = None,
        reason: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        ttl_seconds: int = TTL_S,
        idempotency_key: str | None = None,
        start: bool = True,
    ) -> Generation:
        """A generation as a context manager: reserved on entry, settled on exit, released on an exception.

        `options`: the provider's or model's, as the price book names them: `{"resolution": "1080P", "duration": 6}`.
        `id`: the caller's own, for example a job's. `estimate`: units that it may use; they size the hold of what is
        priced by use. `ttl_seconds`: how long the holds outlive a dead worker; a living one extends them. `start`
        False: the user may still cancel. Entering raises InsufficientResources, which says what is short.
        """
        body = calls.work_asked(user, operation, provider, model, estimate, options)
        body |= {"tokens": tokens, "bytes": bytes, "token_type": token_type, "feature": feature}
        body |= {"id": id or new_key(), "parent_id": parent_id, "prompt": prompt, "reason": reason}
        body |= {"metadata": metadata, "ttl_seconds": ttl_seconds}
        create = calls.create(body, idempotency_key)
        return Generation(self._driver, Opening(body["id"], user, ttl_seconds, start, create))

    def work_on(self, generation_id: str, *, ttl_seconds: int = TTL_S, user: str | None = None) -> Generation:
        """The same for a generation that exists already, for example a job that a worker takes from a queue.

        Entering raises Conflict where another worker has started it or it has ended.
        """
        return Generation(self._driver, Opening(generation_id, user, ttl_seconds, start=True, create=None))

    def check(
        self,
        *,
        user: str | None,
        operation: str,
        provider: str | None = None,
        model: str | None = None,
        options: Mapping[str, OptionValue] | None = None,
        tokens: int | None = None,
        bytes: int | None = None,  # noqa: A002 - as above
        estimate: Mapping[str, int] | None = None,
        token_type: str | None = None,
        feature: str | None = None,
    ) -> answers.Assessment:
        """Whether it may run now, and what it needs. Reserves nothing. `user` None: the user of the token.

        `estimate`: units that it may use, by name; they size the hold of what is priced by use.
        """
        body = calls.work_asked(user, operation, provider, model, estimate, options)
        body |= {"tokens": tokens, "bytes": bytes, "token_type": token_type, "feature": feature}
        return self._do(ask(generation_path("check"), answers.Assessment, body))

    def quote(
        self,
        *,
        operation: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        options: Mapping[str, OptionValue] | None = None,
        estimate: Mapping[str, int] | None = None,
    ) -> answers.Price:
        """A price from the price book, without charging. Raises InvalidValue (`unpriced`).

        `estimate`: units that it may use, by name; they size the hold of what is priced by use.
        """
        body = calls.work_asked(None, operation, provider, model, estimate, options)
        return self._do(ask("/api/v1/quotes", answers.Price, body))

    def create(
        self,
        *,
        user: str | None,
        operation: str,
        provider: str | None = None,
        model: str | None = None,
        options: Mapping[str, OptionValue] | None = None,
        tokens: int | None = None,
        bytes: int | None = None,  # noqa: A002 - as above
        estimate: Mapping[str, int] | None = None,
        token_type: str | None = None,
        feature: str | None = None,
        id: str | None = None,  # noqa: A002 - as above
        parent_id: str | None = None,
        prompt: str | None = None,
        reason: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        ttl_seconds: int = TTL_S,
        idempotency_key: str | None = None,
    ) -> answers.Created:
        """Reserve everything that a generation needs; a worker settles it. Raises InsufficientResources.

        The arguments are those of `generation`.
        """
        body = calls.work_asked(user, operation, provider, model, estimate, options)
        body |= {"tokens": tokens, "bytes": bytes, "token_type": token_type, "feature": feature}
        body |= {"id": id, "parent_id": parent_id, "prompt": prompt, "reason": reason}
        body |= {"metadata": metadata, "ttl_seconds": ttl_seconds}
        return self._do(calls.create(body, idempotency_key))

    def start(self, generation_id: str, *, idempotency_key: str | None = None) -> answers.Changed:
        """A worker starts it; then only an outcome ends it. Raises Conflict if another worker has started it."""
        return self._do(post(generation_path(generation_id, "start"), answers.Changed, {}, idempotency_key))

    def cancel(self, generation_id: str, *, idempotency_key: str | None = None) -> answers.Changed:
        """Cancel it before a worker starts; everything is released. Raises Conflict."""
        return self._do(post(generation_path(generation_id, "cancel"), answers.Changed, {}, idempotency_key))

    def extend(
        self, generation_id: str, *, ttl_seconds: int, grow: int = 0, idempotency_key: str | None = None
    ) -> answers.Extended:
        """Keep the holds for `ttl_seconds` from now, and reserve `grow` more. Raises Conflict if it has ended."""
        body = {"ttl_seconds": ttl_seconds, "grow": grow}
        return self._do(post(generation_path(generation_id, "extend"), answers.Extended, body, idempotency_key))

    def confirm(
        self,
        generation_id: str,
        *,
        content_bytes: int | None = None,
        contents: Sequence[Mapping[str, Any]] | None = None,
        usage: Mapping[str, int] | None = None,
        actual: Mapping[str, Any] | None = None,
        succeeded: int | None = None,
        provider_cost: Any = None,
        generation_time_ms: int | None = None,
        final: bool = True,
        idempotency_key: str | None = None,
    ) -> answers.Settlement:
        """Settle a success without the context manager; the arguments are those of a generation's `confirm`."""
        body = confirmation(
            content_bytes=content_bytes, contents=contents, usage=usage, actual=actual, succeeded=succeeded,
            provider_cost=provider_cost, generation_time_ms=generation_time_ms, final=final,
        )  # fmt: skip
        path = generation_path(generation_id, "confirm")
        return self._do(post(path, answers.Settlement, body, idempotency_key))

    def fail(
        self,
        generation_id: str,
        outcome: str,
        *,
        error_message: str | None = None,
        usage: Mapping[str, int] | None = None,
        provider_cost: Any = None,
        generation_time_ms: int | None = None,
        idempotency_key: str | None = None,
    ) -> answers.Settlement:
        """Settle a failure without the context manager; its holds are released.

        `usage`: what was used until then; the organisation's settlement policy says whether it is charged.
        """
        body = failure(outcome, error_message, provider_cost, generation_time_ms, usage)
        return self._do(post(generation_path(generation_id, "fail"), answers.Settlement, body, idempotency_key))

    def refund_generation(
        self,
        generation_id: str,
        *,
        reason: str,
        amount: int | None = None,
        contents: Sequence[str] = (),
        idempotency_key: str | None = None,
    ) -> answers.GenerationRefunded:
        """Give back what a generation was charged: `amount`, the share of `contents`, or all that is left."""
        body = {"reason": reason, "amount": amount, "contents": list(contents) or None}
        path = generation_path(generation_id, "refund")
        return self._do(post(path, answers.GenerationRefunded, body, idempotency_key))

    def generation_of(self, generation_id: str, *, min_position: str | None = None) -> answers.GenerationState:
        """A generation and its state. `min_position`: the `position` of a command that the answer must include."""
        return self._do(get(generation_path(generation_id), answers.GenerationState, min_position=min_position))

    def explain(self, generation_id: str) -> answers.Explanation:
        """Why it was allowed or refused, which grants paid, and what happened since."""
        return self._do(get(generation_path(generation_id, "explain"), answers.Explanation))

    def generations(
        self,
        *,
        user: str | None = None,
        status: str | None = None,
        model: str | None = None,
        outcome: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        min_position: str | None = None,
    ) -> Iterator[answers.GenerationState]:
        """Generations, newest first. `since`, `until`: times with a zone."""
        wanted = query(user=user, status=status, model=model, outcome=outcome, since=since, until=until)
        return self._list(calls.GENERATIONS, answers.GenerationState, wanted | query(min_position=min_position))

    def contents(
        self, *, user: str | None = None, sort: str | None = None, min_position: str | None = None
    ) -> Iterator[answers.Content]:
        """Stored objects; `sort` by `size` or `age`."""
        return self._list("/api/v1/contents", answers.Content, query(user=user, sort=sort, min_position=min_position))

    def balance(self, address: str) -> answers.Balance:
        """An account's balance now."""
        return self._do(get(account_path(address, "balance"), answers.Balance))

    def grant(
        self,
        address: str,
        amount: int,
        *,
        source: str,
        priority: int | None = None,
        effective_at: datetime | None = None,
        expires_at: datetime | None = None,
        reason: str | None = None,
        external_ref: str | None = None,
        paid: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> answers.Granted:
        """Give credits (org_admin). `source`: purchase, plan, promotion, trial, gift, adjustment."""
        body: dict[str, Any] = {"amount": amount, "source": source, "priority": priority, "reason": reason}
        body |= query(effective_at=effective_at, expires_at=expires_at)
        body |= {"external_ref": external_ref, "paid": paid, "metadata": metadata}
        return self._do(post(account_path(address, "grants"), answers.Granted, body, idempotency_key))

    def void(
        self, address: str, grant_id: str, *, reason: str | None = None, idempotency_key: str | None = None
    ) -> answers.Voided:
        """Take back what is left of a grant (org_admin)."""
        path = account_path(address, "grants", grant_id, "void")
        return self._do(post(path, answers.Voided, {"reason": reason}, idempotency_key))

    def reserve(
        self,
        address: str,
        amount: int,
        *,
        id: str | None = None,  # noqa: A002 - as above
        ttl_seconds: int = TTL_S,
        reason: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> answers.Reserved:
        """Reserve credits. Raises InsufficientResources."""
        body = {"amount": amount, "id": id, "ttl_seconds": ttl_seconds, "reason": reason, "metadata": metadata}
        return self._do(post(account_path(address, "reservations"), answers.Reserved, body, idempotency_key))

    def capture(
        self,
        address: str,
        reservation_id: str,
        *,
        amount: int | None = None,
        final: bool = True,
        reason: str | None = None,
        idempotency_key: str | None = None,
    ) -> answers.Captured:
        """Charge a hold: `amount`, or all of it; with `final` the rest is released."""
        path = account_path(address, "reservations", reservation_id, "capture")
        body = {"amount": amount, "final": final, "reason": reason}
        return self._do(post(path, answers.Captured, body, idempotency_key))

    def release(
        self, address: str, reservation_id: str, *, reason: str | None = None, idempotency_key: str | None = None
    ) -> answers.Released:
        """Release a hold."""
        path = account_path(address, "reservations", reservation_id, "release")
        return self._do(post(path, answers.Released, {"reason": reason}, idempotency_key))

    def extend_reservation(
        self, address: str, reservation_id: str, *, ttl_seconds: int, grow: int = 0, idempotency_key: str | None = None
    ) -> answers.ReservationExtended:
        """Keep a hold for `ttl_seconds` from now, and reserve `grow` more."""
        path = account_path(address, "reservations", reservation_id, "extend")
        body = {"ttl_seconds": ttl_seconds, "grow": grow}
        return self._do(post(path, answers.ReservationExtended, body, idempotency_key))

    def debit(
        self,
        address: str,
        amount: int,
        *,
        reason: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> answers.Debited:
        """Charge at once, without a hold. Raises InsufficientResources."""
        body = {"amount": amount, "reason": reason, "metadata": metadata}
        return self._do(post(account_path(address, "debits"), answers.Debited, body, idempotency_key))

    def refund(
        self,
        address: str,
        debit_id: str,
        *,
        amount: int | None = None,
        reason: str | None = None,
        idempotency_key: str | None = None,
    ) -> answers.DebitRefunded:
        """Refund a debit (org_admin): `amount`, or all of the rest."""
        path = account_path(address, "debits", debit_id, "refunds")
        return self._do(post(path, answers.DebitRefunded, {"amount": amount, "reason": reason}, idempotency_key))

    def transfer(
        self, address: str, to: str, amount: int, *, reason: str | None = None, idempotency_key: str | None = None
    ) -> answers.Transferred:
        """Move credits to another account of the organisation (org_admin)."""
        body = {"to": to, "amount": amount, "reason": reason}
        return self._do(post(account_path(address, "transfers"), answers.Transferred, body, idempotency_key))

    def grants(self, address: str, *, min_position: str | None = None) -> Iterator[answers.Grant]:
        """An account's grants."""
        return self._list(account_path(address, "grants"), answers.Grant, query(min_position=min_position))

    def reservations(
        self, address: str, *, status: str | None = None, min_position: str | None = None
    ) -> Iterator[answers.Reservation]:
        """An account's holds."""
        wanted = query(status=status, min_position=min_position)
        return self._list(account_path(address, "reservations"), answers.Reservation, wanted)

    def transactions(self, address: str, *, min_position: str | None = None) -> Iterator[answers.Transaction]:
        """An account's movements, newest first."""
        return self._list(account_path(address, "transactions"), answers.Transaction, query(min_position=min_position))

    def me(self) -> answers.Me:
        """The caller, their balances and limits."""
        return self._do(get("/api/auth/me", answers.Me))

    def session_token(self, user: str, *, ttl_seconds: int = TTL_S) -> answers.SessionToken:
        """A token of role `user` for a browser, at most an hour long."""
        body = {"user_id": user, "ttl_seconds": ttl_seconds}
        return self._do(ask("/api/v1/session-tokens", answers.SessionToken, body))

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Any:
        """Any call of the API, its answer as JSON; with the same retries and errors. A POST gets a key."""
        key = idempotency_key or (new_key() if method in ("POST", "DELETE") else None)
        return self._do(Call(Request(method, path, body, params or {}, key), lambda answered: answered))

    def _do(self, call: Call[T]) -> T:
        return self._driver.run(perform(call, self.terms.patience_s))

    def _list(self, path: str, item: type[T], wanted: Mapping[str, str]) -> Iterator[T]:
        cursor: str | None = None
        while True:
            found, cursor = self._do(calls.page(path, item, wanted, cursor))
            yield from found
            if cursor is None:
                return
