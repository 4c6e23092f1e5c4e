"""How a command becomes events: time first, then the decision, on all streams that it needs."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, NamedTuple

import pytest

from domain.kernel.domain import Answerer, Decider, Domain, Module
from domain.kernel.execution import Decided, let_time_pass
from domain.kernel.memory import Memory
from domain.kernel.work import SLICE, Stream, StreamKind, Work
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
    due=lambda state, now, most=SLICE, _only=None: tuple(Ended() for at in _ends(state)[:most] if at <= now),
    entries=len,
    schema=1,
    co_expiring_streams=_together,
)


class _Noted(dict[Any, Any]):
    """Notes which keys it is asked for."""

    def __init__(self, looked: list[str]) -> None:
        super().__init__()
        self.looked = looked

    def get(self, key: Any, default: Any = None) -> Any:
        self.looked.append(key[1])
        return super().get(key, default)


class Ledger:
    """A few streams in memory; `looked` are those whose committed states were asked for."""

    def __init__(self, decider: Decider | None = None, answerer: Answerer | None = None, **streams: Lines) -> None:
        self.looked: list[str] = []
        module = Module(
            deciders={tuple: decider} if decider else {},
            answerers={tuple: answerer} if answerer else {},
            kinds=dict.fromkeys("abcde", KIND),
        )
        self.memory = Memory(Domain(module), "acme")
        for name, lines in streams.items():
            self.memory.streams["acme", name] = Stream(1, lines, 0)

    def execute(self, *command: str) -> Decided:
        return self.memory.run(command, "acme", NOW)

    def ask(self, *question: str) -> Any:
        return self.memory.ask(question, "acme", NOW)

    def let_time_pass(self, *streams: str) -> list[tuple[str, Any]]:
        known = self.memory.streams
        self.memory.streams = _Noted(self.looked)
        self.memory.streams.update(known)
        work = self.memory.work("acme", NOW)
        let_time_pass(work, streams)
        self.memory.keep(work)
        return work.emitted

    def state(self, stream: str) -> Lines:
        lines: Lines = self.memory.state("acme", stream)
        return lines


def due(minutes: int = 0, *shared: str) -> Ends:
    return Ends(NOW - timedelta(minutes=minutes), shared)


def _first(command: Command) -> tuple[str, ...]:
    return command[:1]


def _links(work: Work, command: Command) -> tuple[str, ...]:
    return tuple(line.what for line in work.state(command[0]) if isinstance(line, Noted))


def decider(decide: Callable[[Work, Command], None], **more: Any) -> Decider:
    return Decider(_first, decide, **more)


def lines(work: Work, command: Command) -> None:
    """Note on the first stream how many lines each stream has that the command names."""
    found = [f"{stream} {len(work.state(stream))}" for stream in command]
    for line in found:
        work.emit(command[0], Noted(line))


def test_time_passes_before_the_decision_and_only_on_the_streams_of_the_command() -> None:
    ledger = Ledger(decider(lines), a=(due(),), b=(due(),))
    decided = ledger.execute("a", "b")
    assert decided.events == (("a", Ended()), ("a", Noted("a 0")), ("a", Noted("b 1")))
    assert (decided.due, decided.refusal) == (1, None)
    assert ledger.state("a") == (Noted("a 0"), Noted("b 1"))


def test_further_streams_are_told_from_the_states_of_the_first_after_time_has_passed() -> None:
    ledger = Ledger(decider(lines, streams_from_state=_links), a=(due(), Noted("b")), b=(due(),), c=(due(),))
    decided = ledger.execute("a", "b", "c")
    assert decided.events[: decided.due] == (("a", Ended()), ("b", Ended()))
    assert decided.events[decided.due :] == (("a", Noted("a 1")), ("a", Noted("b 0")), ("a", Noted("c 1")))


def test_what_is_due_is_part_of_a_refused_command_and_nothing_else() -> None:
    def decide(work: Work, _command: Command) -> None:
        work.emit("a", Noted("never"))
        raise No

    ledger = Ledger(decider(decide), a=(due(),))
    decided = ledger.execute("a")
    assert (decided.events, decided.due, decided.refusal) == ((("a", Ended()),), 1, No())
    assert ledger.state("a") == ()


@pytest.mark.parametrize("with_fact", [False, True])
def test_a_refusal_holds_on_to_nothing(with_fact: bool) -> None:
    """Its frames lead to the result, which has the refusal: a ring that the collector sees only after minutes."""

    def decide(_work: Work, _command: Command) -> None:
        try:
            raise No
        except No as refusal:
            raise (RefusedWith(refusal) if with_fact else refusal) from None

    decided = Ledger(decider(decide)).execute("a")
    assert decided.refusal is not None
    assert decided.refusal.__traceback__ is None


def test_a_refusal_may_leave_a_fact_of_its_own() -> None:
    def decide(work: Work, _command: Command) -> None:
        work.emit("a", Noted("tried"))
        raise RefusedWith(No())

    ledger = Ledger(decider(decide), a=(due(),))
    decided = ledger.execute("a")
    assert decided.events == (("a", Ended()), ("a", Noted("tried")))
    assert (decided.due, decided.refusal) == (1, No())
    assert ledger.state("a") == (Noted("tried"),)


def test_what_ends_takes_along_what_it_is_shared_with_however_far_that_goes() -> None:
    ledger = Ledger(a=(due(1, "b", "c"), due(0, "d")), b=(due(0, "a", "e"),), c=(), d=(due(),), e=(due(),))
    happened = ledger.let_time_pass("a")
    assert happened == [(stream, Ended()) for stream in "aabde"]
    assert ledger.let_time_pass("a", "b", "d", "e") == []


def test_each_stream_is_visited_once_however_often_it_is_named() -> None:
    ledger = Ledger(a=tuple(due(n, "b", "c") for n in range(50)), b=(), c=())
    assert len(ledger.let_time_pass("a", "b")) == 50
    assert ledger.looked.count("b") == ledger.looked.count("c") == 1


def test_nothing_that_is_not_yet_due_is_looked_at_together() -> None:
    ledger = Ledger(a=(due(-1, "b"),), b=(due(),))
    assert ledger.let_time_pass("a") == []
    assert ledger.looked == ["a"]


def test_a_question_sees_what_is_due_on_all_that_it_needs() -> None:
    def answer(work: Work, question: Command) -> Any:
        assert work.now == NOW
        return [work.state(stream) for stream in question]

    found = Ledger(
        None,
        Answerer(_first, answer, streams_from_state=_links),
        a=(due(), Noted("b")),
        b=(due(0, "c"),),
        c=(due(),),
        d=(due(),),
    ).ask("a", "b", "c", "d")
    assert found == [(Noted("b"),), (), (), (due(),)]


def test_a_question_whose_answer_is_no_raises_the_plain_refusal() -> None:
    def answer(work: Work, _question: Command) -> Any:
        work.emit("a", Noted("tried"))
        raise RefusedWith(No())

    ledger = Ledger(None, Answerer(_first, answer))
    with pytest.raises(No):
        ledger.ask("a")
    assert not ledger.memory.streams
