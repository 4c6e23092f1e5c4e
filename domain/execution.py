"""How a command becomes events: load its streams, let time happen, decide. Pure; `infra/writer` supplies the states."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from domain.refusal import Refusal, RefusedWith


class Event(Protocol):
    """Any stored fact. `tag` names the one entity (reservation, debit, …) that the event is about, or is none."""

    @property
    def tag(self) -> str | None: ...


def _alone(_event: Any, _state: Any) -> tuple[str, ...]:
    return ()


class StreamKind(NamedTuple):
    """How one kind of stream is folded and what time alone does to it.

    `together(event, state)` names the streams on which time must pass in the same decision, because `event`, which is
    due, ends something that they share (a generation's holds); `state` is the stream's state before the event.
    """

    initial: Any
    evolve: Callable[[Any, Any], Any]
    next_due: Callable[[Any], datetime]
    due: Callable[[Any, datetime], tuple[Any, ...]]
    refresh: Callable[[Any], Any]
    entries: Callable[[Any], int]  # how large a state is, in live entries: decides when a snapshot pays
    schema: int  # raised whenever the state's shape or fold changes; older snapshots are then ignored
    together: Callable[[Any, Any], tuple[str, ...]] = _alone


class View(Protocol):
    """What a decision may see: states of streams and events by tag, its own batch included.

    A tag is unique in its organisation, not in a stream: `tagged` says of each event on which stream it is.
    """

    @property
    def org(self) -> str: ...
    def state(self, stream: str) -> Any: ...
    def tagged(self, tag: str) -> tuple[tuple[str, Any], ...]: ...
    def platform(self, stream: str) -> Any: ...
    def apply(self, stream: str, event: Any) -> None: ...
    def refresh(self, stream: str) -> None: ...


class Handler(NamedTuple):
    """How one command type is handled: its decision, and what that needs to see.

    `streams` are known from the command alone, `further` ones only from the states of the first (the groups of a
    user, the holds of a generation). `tags` are loaded with the streams; `rare_tags` only when the decision asks for
    them, which most never do. `platform` names the platform's streams (such as the price book) that it reads.
    `left` is what the states came to that the answer has to tell and no event says; a replay must find it elsewhere.
    """

    streams: Callable[[Any], tuple[str, ...]]
    decide: Callable[[View, Any, datetime], Iterable[tuple[str, Any]]]
    tags: Callable[[Any], tuple[str, ...]] = lambda _command: ()
    rare_tags: Callable[[Any], tuple[str, ...]] = lambda _command: ()
    platform: tuple[str, ...] = ()
    further: Callable[[View, Any], tuple[str, ...]] = lambda _view, _command: ()
    left: Callable[[View, Any, datetime], Any] = lambda _view, _command, _now: None


class Answerer(NamedTuple):
    """How a question is answered from current states: like a decision, but nothing is written."""

    streams: Callable[[Any], tuple[str, ...]]
    answer: Callable[[View, Any, datetime], Any]
    tags: Callable[[Any], tuple[str, ...]] = lambda _question: ()
    platform: tuple[str, ...] = ()
    further: Callable[[View, Any], tuple[str, ...]] = lambda _view, _question: ()


@dataclass(frozen=True, slots=True)
class Decided:
    """What a command came to: the events to store, in order, and the refusal where there is one.

    The first `due` events are what time alone had brought about; they are stored with a refusal too. `left`: as the
    handler tells it, none with a refusal.
    """

    events: tuple[tuple[str, Any], ...]
    due: int
    refusal: Refusal | None = None
    left: Any = None


def execute(view: View, handler: Handler, kind_of: Callable[[str], StreamKind], command: Any, now: datetime) -> Decided:
    """Run one command against the view, which afterwards includes the events of the result."""
    happened = let_time_pass(view, kind_of, handler.streams(command), now)
    further = handler.further(view, command)
    if further:
        happened += let_time_pass(view, kind_of, further, now)
    refusal: Refusal | None = None
    try:
        decided = tuple(handler.decide(view, command, now))
    except RefusedWith as refused:
        decided, refusal = refused.events, refused.refusal.with_traceback(None)
    except Refusal as refused:
        # Without the frames that it came through: they lead to this result, a ring that would stay in memory for long.
        return Decided(tuple(happened), len(happened), refused.with_traceback(None))
    for stream, event in decided:
        view.apply(stream, event)
    left = handler.left(view, command, now) if refusal is None else None
    return Decided((*happened, *decided), len(happened), refusal, left)


def ask(view: View, answerer: Answerer, kind_of: Callable[[str], StreamKind], question: Any, now: datetime) -> Any:
    """Answer a question against the view, which afterwards includes what is due and must then be thrown away.

    Raises Refusal. Where the answer is a refusal that a command would keep as a fact, only the refusal is left.
    """
    let_time_pass(view, kind_of, answerer.streams(question), now)
    let_time_pass(view, kind_of, answerer.further(view, question), now)
    try:
        return answerer.answer(view, question, now)
    except RefusedWith as refused:
        refusal = refused.refusal
    raise refusal


def let_time_pass(
    view: View, kind_of: Callable[[str], StreamKind], streams: Iterable[str], now: datetime
) -> list[tuple[str, Any]]:
    """Apply what is due on the streams, and on those that share something with what ended there."""
    happened: list[tuple[str, Any]] = []
    waiting = list(streams)
    met = set(waiting)
    for stream in waiting:  # grows while it is walked
        kind = kind_of(stream)
        state = view.state(stream)
        if kind.next_due(state) > now:
            continue
        for event in kind.due(state, now):
            for other in kind.together(event, view.state(stream)):
                if other not in met:
                    met.add(other)
                    waiting.append(other)
            view.apply(stream, event)
            happened.append((stream, event))
        view.refresh(stream)
    return happened
