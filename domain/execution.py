"""How a command becomes events: load its streams, let time happen, decide. Pure; `infra/writer` supplies the states."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from domain.refusal import Refusal


class Event(Protocol):
    """Any stored fact. `tag` names the one entity (reservation, debit, …) that the event is about, or is none."""

    @property
    def tag(self) -> str | None: ...


class StreamKind(NamedTuple):
    """How one kind of stream is folded and what time alone does to it."""

    initial: Any
    evolve: Callable[[Any, Any], Any]
    next_due: Callable[[Any], datetime]
    due: Callable[[Any, datetime], tuple[Any, ...]]
    refresh: Callable[[Any], Any]
    entries: Callable[[Any], int]  # how large a state is, in live entries: decides when a snapshot pays
    schema: int  # raised whenever the state's shape or fold changes; older snapshots are then ignored


class View(Protocol):
    """What a decision may see: states of the command's streams and events by tag, its own batch included.

    A tag is unique in its organisation, not in a stream: `tagged` says of each event on which stream it is.
    """

    def state(self, stream: str) -> Any: ...
    def tagged(self, tag: str) -> tuple[tuple[str, Any], ...]: ...
    def platform(self, stream: str) -> Any: ...
    def apply(self, stream: str, event: Any) -> None: ...
    def refresh(self, stream: str) -> None: ...


class Handler(NamedTuple):
    """How one command type is handled: its decision, and what that needs to see.

    `tags` are loaded with the streams; `rare_tags` only when the decision asks for them, which most never do.
    `platform` names the platform's streams (such as the price book) that the decision reads.
    """

    streams: Callable[[Any], tuple[str, ...]]
    decide: Callable[[View, Any, datetime], Iterable[tuple[str, Any]]]
    tags: Callable[[Any], tuple[str, ...]] = lambda _command: ()
    rare_tags: Callable[[Any], tuple[str, ...]] = lambda _command: ()
    platform: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decided:
    """What a command came to: the events to store, in order, and the refusal where there is one.

    The first `due` events are what time alone had brought about; they are stored with a refusal too.
    """

    events: tuple[tuple[str, Any], ...]
    due: int
    refusal: Refusal | None = None


def execute(view: View, handler: Handler, kind_of: Callable[[str], StreamKind], command: Any, now: datetime) -> Decided:
    """Run one command against the view, which afterwards includes the events of the result."""
    happened: list[tuple[str, Any]] = []
    for stream in handler.streams(command):
        kind = kind_of(stream)
        if kind.next_due(view.state(stream)) <= now:
            for event in kind.due(view.state(stream), now):
                view.apply(stream, event)
                happened.append((stream, event))
            view.refresh(stream)
    due = len(happened)
    try:
        decided = tuple(handler.decide(view, command, now))
    except Refusal as refusal:
        return Decided(tuple(happened), due, refusal)
    for stream, event in decided:
        view.apply(stream, event)
    return Decided((*happened, *decided), due)
