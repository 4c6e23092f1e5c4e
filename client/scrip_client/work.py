"""One generation's life as its worker sees it: held, started, kept alive, settled exactly once or given back."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from time import monotonic
from typing import Any, TypeVar

import httpx

from scrip_client.answers import Changed, Created, Extended, Held, Quote, Settlement
from scrip_client.calls import generation_path, post
from scrip_client.delivery import UNDELIVERED, deliver, recover, write
from scrip_client.errors import Conflict, InputBlocked, NotFound, OutputBlocked, ScripError, Unavailable
from scrip_client.journal import Journal
from scrip_client.settling import Report, confirmation, failure
from scrip_client.steps import Call, Pause, Steps, Write, new_key, perform
from scrip_client.terms import Outcome, Terms

_log = logging.getLogger(__name__)

T = TypeVar("T")

IMPATIENT_S = 5.0  # for calls that are made again soon anyway


@dataclass(frozen=True, slots=True)
class Opening:
    """A generation that is to be held (`create`), or one that is already held and is taken over (None)."""

    generation_id: str
    user: str | None
    ttl_seconds: int
    start: bool
    create: Call[Created] | None


class Work:
    """What both forms of a generation share; they drive the generators that begin with an underscore."""

    def __init__(self, terms: Terms, opening: Opening) -> None:
        """Nothing happens before it is entered."""
        self._terms = terms
        self._opening = opening
        self._until = 0.0  # monotonic: when the holds end
        self._reported: Report | None = None
        self._written = False
        self._parts: list[Report] = []  # that have not arrived yet
        self.id: str = opening.generation_id
        self.created: Created | None = None
        self.expires_at: datetime | None = None
        self.receipt: Settlement | None = None
        self.settled: bool = False
        self.lost: ScripError | None = None

    @property
    def quote(self) -> Quote:
        """What it was priced at; all zeros for one that was taken over."""
        return self.created.quote if self.created else Quote()

    @property
    def holds(self) -> tuple[Held, ...]:
        """What was held for it."""
        return self.created.holds if self.created else ()

    def confirm(
        self,
        *,
        content_bytes: int | None = None,
        contents: Sequence[Mapping[str, Any]] | None = None,
        usage: Mapping[str, int] | None = None,
        actual: Mapping[str, Any] | None = None,
        succeeded: int | None = None,
        provider_cost: Any = None,
        generation_time_ms: int | None = None,
    ) -> None:
        """Say what the success came to; it is in the journal when this returns, and sent when the block is left.

        `content_bytes`: the size of the one object that is kept; `contents`: several, {id?, url?, bytes}. `usage`:
        measured units, priced by the price at which it was held. `actual`: {credits, tokens, usd} where it was not the
        hold. `succeeded`: how many of `count`. Nothing given: the whole hold is charged.
        """
        body = confirmation(
            content_bytes=content_bytes,
            contents=contents,
            usage=usage,
            actual=actual,
            succeeded=succeeded,
            provider_cost=provider_cost,
            generation_time_ms=generation_time_ms,
        )
        self._report("confirm", body)

    def fail(
        self,
        outcome: Outcome,
        error_message: str | None = None,
        *,
        usage: Mapping[str, int] | None = None,
        provider_cost: Any = None,
        generation_time_ms: int | None = None,
    ) -> None:
        """Say that it failed, without an exception; what is held goes back when the block is left.

        `usage`: what was used until then; the organisation's settlement policy says whether it is charged.
        """
        self._report("fail", failure(outcome, error_message, provider_cost, generation_time_ms, usage))

    def _report(self, action: str, body: dict[str, Any]) -> None:
        self._reported = self._new(action, body)
        self._written = False
        if self._terms.journal is not None:
            try:
                self._terms.journal.sending(self._reported)
            except OSError:
                _log.exception("the journal cannot be written")
            else:
                self._written = True

    def _new(self, action: str, body: dict[str, Any]) -> Report:
        return Report(self.id, new_key(), action, body, self._terms.settle, self._opening.user or "")

    def _enter(self) -> Steps[None]:
        """Hold, and start. Whatever goes wrong after the hold gives it back."""
        terms, opening = self._terms, self._opening
        if terms.journal is not None:
            yield Write(partial(terms.journal.opened, self.id))  # a disk that fails stops it here, before the hold
        try:
            if opening.create is not None:
                self._until = monotonic() + opening.ttl_seconds
                self.created = yield from perform(opening.create, terms.patience_s)
                self.expires_at = self.created.expires_at
        except Unavailable:
            yield from self._note(lambda journal: journal.leave(self.id))  # it may be held: the next recovery asks
            raise
        except ScripError:
            yield from self._note(lambda journal: journal.closed(self.id))
            raise
        try:
            if opening.start:
                yield from perform(self._told("start", Changed, {}), terms.patience_s, insist=True)
            if opening.create is None:
                yield from self._extend(terms.patience_s)
        except (Conflict, NotFound):
            # Somebody else works on it or has ended it: nothing is ours.
            yield from self._note(lambda journal: journal.closed(self.id))
            raise
        except ScripError:
            yield from self._abandon()
            raise

    def _abandon(self) -> Steps[None]:
        """Give back what may be held, of work that never began."""
        try:
            yield from perform(self._told("fail", Settlement, failure("cancelled", None)), IMPATIENT_S, insist=True)
        except (Conflict, NotFound):
            yield from self._note(lambda journal: journal.closed(self.id))
        except ScripError as error:
            _log.warning("what is held for %s goes back at its expiry: %s", self.id, error)
            yield from self._note(lambda journal: journal.leave(self.id))
        else:
            yield from self._note(lambda journal: journal.closed(self.id))

    def _beats(self) -> Steps[None]:
        """Extend the holds when half of their time is over, until the driver stops it or the generation has ended."""
        ttl = self._opening.ttl_seconds
        while True:
            yield Pause(max(self._until - ttl / 2 - monotonic(), ttl / 20))
            try:
                yield from self._extend(min(IMPATIENT_S, ttl / 10))
            except (Conflict, NotFound) as ended:
                _log.warning("the holds of %s are gone: %s", self.id, ended)
                self.lost = ended
                return
            except ScripError as error:
                _log.warning("the holds of %s could not be extended, trying again: %s", self.id, error)

    def _extend(self, patience: float) -> Steps[None]:
        ttl, asked = self._opening.ttl_seconds, monotonic()
        call = self._told("extend", Extended, {"ttl_seconds": ttl, "grow": 0})
        extended = yield from perform(call, patience, insist=True)
        self._until = max(self._until, asked + ttl)
        self.expires_at = extended.expires_at

    def _part(self, body: dict[str, Any]) -> Steps[Settlement | None]:
        report = self._new("confirm", body)
        yield from self._note(lambda journal: journal.sending(report))
        self._parts.append(report)
        return (yield from self._send_parts())

    def _send_parts(self) -> Steps[Settlement | None]:
        """Send the parts that have not arrived, oldest first: what the last one came to. Raises ScripError."""
        answer: Settlement | None = None
        while self._parts:
            part = self._parts[0]
            try:
                answer = yield from deliver(self._terms, part)
            except UNDELIVERED:
                raise  # it stays, and goes out before the end does
            except ScripError:
                self._parts.remove(part)
                yield from self._note(partial(Journal.sent, report=part))
                raise
            self._parts.remove(part)
            yield from self._note(partial(Journal.sent, report=part))
        return answer

    def _send_last_parts(self) -> Steps[None]:
        """Those that could not be sent before. One that is refused must not keep the end from being sent."""
        while self._parts:
            try:
                yield from self._send_parts()
            except UNDELIVERED:
                raise
            except ScripError as refused:
                _log.warning("a part of %s was refused: %s", self.id, refused)

    def _leave(self, error: BaseException | None) -> Steps[None]:
        """Settle. Raises ScripError where the settlement is refused, or cannot be sent and there is no journal."""
        report = self._decided(error)
        if not self._written:
            yield from self._note(lambda journal: journal.sending(report))
        try:
            yield from self._send_last_parts()
            self.receipt = yield from deliver(self._terms, report)
        except UNDELIVERED as undelivered:
            if self._terms.journal is None and error is None:
                raise
            _log.warning("the settlement of %s could not be sent: %s", self.id, undelivered)
            yield from self._note(lambda journal: journal.leave(self.id))
            return
        except ScripError as refused:
            yield from self._note(lambda journal: journal.closed(self.id))
            if report.action == "confirm":
                raise
            _log.info("%s had ended already: %s", self.id, refused)
        else:
            yield from self._note(lambda journal: journal.sent(report))
            self.settled = True
        if self._terms.journal is not None and self._terms.journal.left:
            yield from recover(self._terms)  # Scrip can be reached again

    def _decided(self, error: BaseException | None) -> Report:
        """What is settled: as reported; else everything is charged after a clean exit, nothing after an exception."""
        said = self._reported
        if error is None:
            return said or self._new("confirm", {})
        if said is not None and said.action == "fail":
            return said
        self._written = False
        return self._new("fail", failure(outcome_of(error), f"{type(error).__name__}: {error}"))

    def _told(self, verb: str, answer: type[T], body: dict[str, Any]) -> Call[T]:
        return post(generation_path(self.id, verb), answer, body, None)

    def _note(self, act: Callable[[Journal], None]) -> Steps[None]:
        """A line of the journal about this generation."""
        yield from write(self._terms.journal, act)


def outcome_of(error: BaseException) -> Outcome:
    """Which outcome an exception is."""
    match error:
        case InputBlocked():
            return "input_blocked"
        case OutputBlocked():
            return "output_blocked"
        case TimeoutError() | httpx.TimeoutException():
            return "timed_out"
        case ScripError():
            return "other"  # of ours, not of the provider's
        case Exception():
            return "provider_error"
        case _:  # CancelledError, KeyboardInterrupt, SystemExit
            return "cancelled"
