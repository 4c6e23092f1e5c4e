"""The protocol without a network: generators say what to send and when to wait; a client does it and tells the answer.

So there is one implementation of retries, heartbeats, settlement and recovery for the blocking and the async client.
"""

import random
import secrets
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Generic, NamedTuple, TypeVar

from scrip_client.decoding import Undecodable
from scrip_client.errors import ScripError, Unavailable, UnexpectedAnswer, error_of

T = TypeVar("T")

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
# Codes of a 503 that was not applied.
NOTHING_DONE = frozenset({"overloaded", "disk_full", "unavailable", "not_yet_visible"})


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; `key` is its idempotency key, the same for every retry."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None


class Answer(NamedTuple):
    """What came back; `retry_after` in seconds."""

    status: int
    body: Any
    retry_after: float | None = None
    replayed: bool = False


class Lost(NamedTuple):
    """No answer. `sent`: the request may have arrived."""

    why: str
    sent: bool


class Send(NamedTuple):
    """Send a request; the driver answers Answer or Lost."""

    request: Request


class Pause(NamedTuple):
    """Wait."""

    seconds: float


class Write(NamedTuple):
    """Something that blocks for a moment and is not the network: a line of the journal."""

    act: Callable[[], None]


class Record(NamedTuple):
    """A message for the usage topic."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class Publish(NamedTuple):
    """Put a message on the usage topic; the driver answers None once the broker has it, or Lost."""

    record: Record


Step = Send | Pause | Write | Publish
Steps = Generator[Step, Any, T]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request and how its answer is read."""

    request: Request
    read: Callable[[Any], T]


def new_key() -> str:
    """A key that nobody has used: one for each thing that is to happen, not for each try."""
    return secrets.token_hex(16)


def perform(call: Call[T], patience_s: float, *, insist: bool = False) -> Steps[T]:
    """Make a call. Raises ScripError. `insist`: also wait where there are too many requests."""
    answer = yield from _answer(call.request, patience_s, insist=insist)
    try:
        return call.read(answer.body)
    except Undecodable as error:
        raise UnexpectedAnswer(str(error), code="unexpected", status=answer.status) from error


def _answer(request: Request, patience_s: float, *, insist: bool) -> Steps[Answer]:
    """Send until there is a definite answer. Raises ScripError; Unavailable when `patience_s` are over."""
    deadline, pause = monotonic() + patience_s, FIRST_PAUSE_S
    unknown = False
    while True:
        result: Answer | Lost = yield Send(request)
        if isinstance(result, Answer) and not _passing(result, insist=insist):
            if result.status < 300:
                return result
            raise error_of(result.status, result.body, result.retry_after)
        unknown = unknown or _may_be_applied(result)
        asked = result.retry_after if isinstance(result, Answer) else None
        wait = max(pause * random.uniform(0.5, 1.0), asked or 0.0)  # noqa: S311 - spreads retries, guards nothing
        if monotonic() + wait > deadline:
            raise _given_up(result, request, unknown=unknown)
        yield Pause(wait)
        pause = min(pause * 2, LONGEST_PAUSE_S)


def publish(record: Record, patience_s: float) -> Steps[None]:
    """Put a message on the topic; a copy is harmless, for its id is its identity. Raises Unavailable."""
    deadline, pause = monotonic() + patience_s, FIRST_PAUSE_S
    while True:
        lost: Lost | None = yield Publish(record)
        if lost is None:
            return
        if monotonic() + pause > deadline:
            raise _given_up(lost, None, unknown=True)
        yield Pause(pause)
        pause = min(pause * 2, LONGEST_PAUSE_S)


def _passing(answer: Answer, *, insist: bool) -> bool:
    """Whether the same request may get another answer."""
    if answer.status == 429:
        return insist
    code = answer.body.get("code") if isinstance(answer.body, dict) else None
    return answer.status >= 500 or answer.status == 408 or (answer.status == 409 and code == "in_progress")


def _may_be_applied(result: Answer | Lost) -> bool:
    if isinstance(result, Lost):
        return result.sent
    code = result.body.get("code") if isinstance(result.body, dict) else None
    return result.status != 429 and code not in NOTHING_DONE


def _given_up(result: Answer | Lost, request: Request | None, *, unknown: bool) -> ScripError:
    if isinstance(result, Lost):
        error: ScripError = Unavailable(f"Scrip cannot be reached: {result.why}", code="unreachable")
    elif result.status == 429:
        return error_of(result.status, result.body, result.retry_after)
    else:
        detail = result.body.get("detail", "") if isinstance(result.body, dict) else ""
        code = str(result.body.get("code", "unavailable")) if isinstance(result.body, dict) else "unavailable"
        error = Unavailable(detail or f"The answer was {result.status}.", code=code, status=result.status)
        error.retry_after = result.retry_after
    if isinstance(error, Unavailable) and request is not None:
        error.outcome_unknown = unknown and request.method != "GET"
        error.key = request.key
    elif isinstance(error, Unavailable):
        error.outcome_unknown = unknown
    return error
