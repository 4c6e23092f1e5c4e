"""How a command becomes events: time first, then the decision, on all streams that it needs."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, NamedTuple

import pytest

from domain.execution import Answerer, Handler, StreamKind, View, ask, execute, let_time_pass
from domain.periods import NEVER
from domain.refusal import Refusal, RefusalKind, RefusedWith

NOW = datetime(2026, 3, 1, tzinfo=UTC)
Command = tuple[str, ...]


class Ends(NamedTuple):
    """It ends then, and with it what it is shared with."""

    at: datetime
    shared: tuple[str, ...] = ()
    tag: str | None = None


class Ended(NamedTuple):
    """Its time was over."""

    tag: str | None = None


class Noted(NamedTuple):
    """Something was decided."""

    what: str
    tag: str | None = None


class No(Refusal):
    """A refusal."""

    code: ClassVar[str] = "no"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT


Lines = tuple[Any, ...]  # the state: what has not ended yet, and what was noted


def _evolve(state: Lines, event: Any) -> Lines:
    if isinstance(event, Ended):
        first = min((line for line in state if isinstance(line, Ends)), key=lambda line: line.at)
        return tuple(line for line in state if line is not first)
    return (*state, event)


def _ends(state: Lines) -> list[datetime]:
    return sorted(line.at for line in state if isinstance(line, Ends))


def _together(event: Any, state: Lines) -> tuple[str, ...]:
    first = min((line for line in state if isinstance(line, Ends)), key=lambda line: line.at)
    return first.shared


KIND = StreamKind(
    initial=(),
    evolve=_evolve,
    next_due=lambda state: min(_ends(state), default=NEVER),
    due=lambda state, now: tuple(Ended() for at in _ends(state) if at <= now),
    refresh=lambda state: state,
    entries=len,
    schema=1,
    together=_together,
)


class Memory:
    """A `View` of a few streams; `looked` are those whose states were asked for."""

    org = "acme"

    def __init__(self, **streams: Lines) -> None:
        self.streams: dict[str, Lines] = streams
        self.looked: list[str] = []

    def state(self, stream: str) -> Any:
        self.looked.append(stream)
        return self.streams.get(stream, ())

    def tagged(self, tag: str) -> tuple[tuple[str, Any], ...]:
        raise NotImplementedError

    def platform(self, stream: str) -> Any:
        raise NotImplementedError

    def apply(self, stream: str, event: Any) -> None:
        self.streams[stream] = _evolve(self.streams.get(stream, ()), event)

    def refresh(self, stream: str) -> None:
        self.streams[stream] = KIND.refresh(self.streams[stream])


def due(minutes: int = 0, *shared: str) -> Ends:
    return Ends(NOW - timedelta(minutes=minutes), shared)


def _first(command: Command) -> tuple[str, ...]:
    return command[:1]


def _links(view: View, command: Command) -> tuple[str, ...]:
    return tuple(line.what for line in view.state(command[0]) if isinstance(line, Noted))


def handler(decide: Callable[[View, Command, datetime], Iterable[tuple[str, Any]]], **more: Any) -> Handler:
    return Handler(_first, decide, **more)


def lines(view: View, command: Command, _now: datetime) -> Iterable[tuple[str, Any]]:
    """Note on the first stream how many lines each stream has that the command names."""
    return [(command[0], Noted(f"{stream} {len(view.state(stream))}")) for stream in command]


def test_time_passes_before_the_decision_and_only_on_the_streams_of_the_command() -> None:
    view = Memory(a=(due(),), b=(due(),))
    decided = execute(view, handler(lines), lambda _: KIND, ("a", "b"), NOW)
    assert decided.events == (("a", Ended()), ("a", Noted("a 0")), ("a", Noted("b 1")))
    assert (decided.due, decided.refusal) == (1, None)
    assert view.streams["a"] == (Noted("a 0"), Noted("b 1"))


def test_further_streams_are_told_from_the_states_of_the_first_after_time_has_passed() -> None:
    view = Memory(a=(due(), Noted("b")), b=(due(),), c=(due(),))
    decided = execute(view, handler(lines, further=_links), lambda _: KIND, ("a", "b", "c"), NOW)
    assert decided.events[: decided.due] == (("a", Ended()), ("b", Ended()))
    assert decided.events[decided.due :] == (("a", Noted("a 1")), ("a", Noted("b 0")), ("a", Noted("c 1")))


def test_what_is_due_is_part_of_a_refused_command_and_nothing_else() -> None:
    def decide(view: View, _command: Command, _now: datetime) -> Iterable[tuple[str, Any]]:
        yield "a", Noted("never")
        raise No

    view = Memory(a=(due(),))
    decided = execute(view, handler(decide), lambda _: KIND, ("a",), NOW)
    assert (decided.events, decided.due, decided.refusal) == ((("a", Ended()),), 1, No())
    assert view.streams["a"] == ()


@pytest.mark.parametrize("with_fact", [False, True])
def test_a_refusal_holds_on_to_nothing(with_fact: bool) -> None:
    """Its frames lead to the result, which has the refusal: a ring that the collector sees only after minutes."""

    def decide(_view: View, _command: Command, _now: datetime) -> Iterable[tuple[str, Any]]:
        try:
            raise No
        except No as refusal:
            raise (RefusedWith(refusal, ()) if with_fact else refusal) from None

    decided = execute(Memory(), handler(decide), lambda _: KIND, ("a",), NOW)
    assert decided.refusal is not None
    assert decided.refusal.__traceback__ is None


def test_a_refusal_may_leave_a_fact_of_its_own() -> None:
    def decide(view: View, _command: Command, _now: datetime) -> Iterable[tuple[str, Any]]:
        raise RefusedWith(No(), (("a", Noted("tried")),))

    view = Memory(a=(due(),))
    decided = execute(view, handler(decide), lambda _: KIND, ("a",), NOW)
    assert decided.events == (("a", Ended()), ("a", Noted("tried")))
    assert (decided.due, decided.refusal) == (1, No())
    assert view.streams["a"] == (Noted("tried"),)


def test_what_ends_takes_along_what_it_is_shared_with_however_far_that_goes() -> None:
    view = Memory(a=(due(1, "b", "c"), due(0, "d")), b=(due(0, "a", "e"),), c=(), d=(due(),), e=(due(),))
    happened = let_time_pass(view, lambda _: KIND, ("a",), NOW)
    assert happened == [(stream, Ended()) for stream in "aabde"]
    assert let_time_pass(view, lambda _: KIND, ("a", "b", "d", "e"), NOW) == []


def test_each_stream_is_visited_once_however_often_it_is_named() -> None:
    view = Memory(a=tuple(due(n, "b", "c") for n in range(50)), b=(), c=())
    assert len(let_time_pass(view, lambda _: KIND, ("a", "b"), NOW)) == 50
    assert view.looked.count("b") == view.looked.count("c") == 1


def test_nothing_that_is_not_yet_due_is_looked_at_together() -> None:
    view = Memory(a=(due(-1, "b"),), b=(due(),))
    assert let_time_pass(view, lambda _: KIND, ("a",), NOW) == []
    assert view.looked == ["a"]


def test_a_question_sees_what_is_due_on_all_that_it_needs() -> None:
    def answer(view: View, question: Command, now: datetime) -> Any:
        assert now == NOW
        return [view.state(stream) for stream in question]

    view = Memory(a=(due(), Noted("b")), b=(due(0, "c"),), c=(due(),), d=(due(),))
    found = ask(view, Answerer(_first, answer, further=_links), lambda _: KIND, ("a", "b", "c", "d"), NOW)
    assert found == [(Noted("b"),), (), (), (due(),)]


def test_a_question_whose_answer_is_no_raises_the_plain_refusal() -> None:
    def answer(_view: View, _question: Command, _now: datetime) -> Any:
        raise RefusedWith(No(), (("a", Noted("tried")),))

    view = Memory()
    with pytest.raises(No):
        ask(view, Answerer(_first, answer), lambda _: KIND, ("a",), NOW)
    assert not view.streams
