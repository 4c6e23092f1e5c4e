"""What there is: how each command and question is handled, each kind of stream folded, each event stored."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from domain.kernel.work import Cold, Known, StreamKind, Work
from domain.periods import NEVER

KINDS_REMEMBERED = 65_536  # streams whose kind is known without a look at the name: asked some twenty times each

Upcaster = Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]  # an old form's data -> its successor's name and data
Name = TypeVar("Name")
Value = TypeVar("Value")


class Decider(NamedTuple):
    """How one command type is handled: its decision, and what that needs to see.

    `decide` emits, and raises a Refusal; then nothing of what it has emitted is left, unless it raises RefusedWith.

    `streams` are known from the command alone, `streams_from_state` only from the states of the first (the groups of a
    user, the holds of a generation). `tags` are loaded with the streams; `rare_tags` only when the decision asks for
    them, which most never do. `platform` names the platform's streams (such as the price book) that it reads.
    `result_state` is what the states came to that the answer has to tell and no event says; a replay must find it
    elsewhere.
    """

    streams: Callable[[Any], tuple[str, ...]]
    decide: Callable[[Work, Any], None]
    tags: Callable[[Any], tuple[str, ...]] = lambda _command: ()
    rare_tags: Callable[[Any], tuple[str, ...]] = lambda _command: ()
    platform: tuple[str, ...] = ()
    streams_from_state: Callable[[Work, Any], tuple[str, ...]] = lambda _work, _command: ()
    result_state: Callable[[Work, Any], Any] = lambda _work, _command: None


class Answerer(NamedTuple):
    """How a question is answered from current states: like a decision, but nothing is written."""

    streams: Callable[[Any], tuple[str, ...]]
    answer: Callable[[Work, Any], Any]
    tags: Callable[[Any], tuple[str, ...]] = lambda _question: ()
    platform: tuple[str, ...] = ()
    streams_from_state: Callable[[Work, Any], tuple[str, ...]] = lambda _work, _question: ()


def timeless(
    initial: Any, evolve: Callable[[Any, Any], Any], entries: Callable[[Any], int], schema: int = 1
) -> StreamKind:
    """The kind of a stream to which time does nothing."""
    return StreamKind(
        initial=initial,
        evolve=evolve,
        next_due=lambda _state: NEVER,
        due=lambda _state, _now, _most=0, _only=None: (),
        entries=entries,
        schema=schema,
    )


class Module(NamedTuple):
    """What one package brings to a `Domain`.

    `kinds` by the start of a stream's name, or the whole of it. `events` by stored name, which never changes.
    `upcasters` by the name of an old form; they are applied until a name of `events` comes.
    `resources`: the table of limited resources (domain/resources/table.py), of one module.
    """

    deciders: Mapping[type, Decider] = {}
    answerers: Mapping[type, Answerer] = {}
    kinds: Mapping[str, StreamKind] = {}
    events: Mapping[str, type] = {}
    upcasters: Mapping[str, Upcaster] = {}
    resources: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LetTimePass:
    """Write what is due on a stream, and on those that share something with it, and nothing else: the sweeper's.

    `whole`: all of it; otherwise, where that is too much for one decision, a slice.
    """

    stream: str
    whole: bool = True


_ALWAYS = Module(deciders={LetTimePass: Decider(lambda command: (command.stream,), lambda _work, _command: None)})


class Domain:
    """All modules as one, never changed. Whoever decides, answers, stores or reads events is handed one.
    Raises ValueError where two modules bring the same command, question, kind of stream or stored name.
    """

    __slots__ = ("answerers", "deciders", "events", "kind_of", "kinds", "modules", "resources", "upcasters")

    def __init__(self, *modules: Module) -> None:
        self.modules = modules
        every = (_ALWAYS, *modules)
        self.deciders: Mapping[type, Decider] = _one(module.deciders for module in every)
        self.answerers: Mapping[type, Answerer] = _one(module.answerers for module in every)
        self.kinds: Mapping[str, StreamKind] = _one(module.kinds for module in every)
        self.events: Mapping[str, type] = _one(module.events for module in every)
        self.upcasters: Mapping[str, Upcaster] = _one(module.upcasters for module in every)
        self.resources: Any = _one({"resources": module.resources} for module in modules if module.resources).get(
            "resources"
        )
        self.kind_of = _kind_of(self.kinds)

    def work(self, known: Known, cold: Cold, platform: Callable[[str], Any]) -> Work:
        """What decisions of this domain see and emit."""
        return Work(self.kind_of, self.resources, known, cold, platform)

    def joined(self, *modules: Module) -> "Domain":
        """This domain with further modules."""
        return Domain(*self.modules, *modules)

    def with_decider(self, command: type, decider: Decider) -> "Domain":
        """This domain with another decider for one of its commands. Raises KeyError for a command that it has not."""
        if command not in self.deciders:
            raise KeyError(command)
        return Domain(*(_replaced(module, command, decider) for module in self.modules))


def _one(parts: Iterable[Mapping[Name, Value]]) -> dict[Name, Value]:
    joined: dict[Name, Value] = {}
    for part in parts:
        for name, value in part.items():
            if name in joined:
                raise ValueError(f"two modules bring {name}")
            joined[name] = value
    return joined


def _kind_of(kinds: Mapping[str, StreamKind]) -> Callable[[str], StreamKind]:
    """Raises KeyError for a stream that the domain does not know."""

    @lru_cache(maxsize=KINDS_REMEMBERED)
    def kind_of(stream: str) -> StreamKind:
        start, slash, _ = stream.partition("/")
        return kinds[start + slash]

    return kind_of


def _replaced(module: Module, command: type, decider: Decider) -> Module:
    if command not in module.deciders:
        return module
    return module._replace(deciders={**module.deciders, command: decider})
