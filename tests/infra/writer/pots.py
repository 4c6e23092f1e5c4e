"""A domain of a few lines: pots that are linked to others, so that a command needs streams that it cannot name."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from domain.kernel.domain import Answerer, Decider, Module
from domain.kernel.work import Key, StreamKind, Work
from domain.periods import NEVER
from domain.refusal import Refusal, RefusalKind, RefusedWith
from domain.registry import SCRIP
from infra.writer.loading import Loader
from infra.writer.writer import Writer
from tests.infra.writer.asking import now

NewWriter = Callable[[], Writer]

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
OF_THE_PLATFORM = "pot/platform"


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """An amount came in, or went out; the pot is linked to others from now on, and is emptied at `ends`."""

    tag: str | None = None
    amount: int
    linked: tuple[str, ...] | None = None
    ends: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Emptied:
    """The pot's time was over."""

    tag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """Somebody wanted more than there was."""

    tag: str | None = None


class Pot(NamedTuple):
    """What is in it, and how often somebody wanted more."""

    amount: int = 0
    linked: tuple[str, ...] = ()
    ends: datetime = NEVER
    tried: int = 0


class TooLittle(Refusal, code="too_little", kind=RefusalKind.SHORT):
    pot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """Put something in, whatever there is."""

    pot: str
    amount: int = 0
    linked: tuple[str, ...] | None = None
    ends: datetime | None = None
    tag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    """Fill a pot that is new, without looking at it, and link another to it."""

    pot: str
    new: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """Take the amount from a pot and from all that it is linked to, or from none."""

    pot: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Put in again what events with a tag have put in, which only the pot's links name."""

    pot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HowMuch:
    """What is in a pot, in those that it is linked to, and in the platform's own."""

    pot: str


def _evolve(pot: Pot, event: Put | Emptied | Tried) -> Pot:
    match event:
        case Put():
            linked = pot.linked if event.linked is None else event.linked
            return pot._replace(amount=pot.amount + event.amount, linked=linked, ends=event.ends or pot.ends)
        case Emptied():
            return pot._replace(amount=0, ends=NEVER)
        case Tried():
            return pot._replace(tried=pot.tried + 1)


KIND = StreamKind(
    initial=Pot(),
    evolve=_evolve,
    next_due=lambda pot: pot.ends,
    due=lambda pot, now, _most=1, _only=None: (Emptied(),) if pot.ends <= now else (),
    entries=lambda _pot: 1,
    schema=1,
    co_expiring_streams=lambda _event, pot: pot.linked,
)


def _fill(work: Work, command: Fill) -> None:
    work.emit(command.pot, Put(tag=command.tag, amount=command.amount, linked=command.linked, ends=command.ends))


def _make(work: Work, command: Make) -> None:
    work.emit(command.new, Put(amount=command.amount))
    work.emit(command.pot, Put(amount=0, linked=(command.new,)))


def _linked(work: Work, command: Any) -> tuple[str, ...]:
    pot: Pot = work.state(command.pot)
    return pot.linked


def _spend(work: Work, command: Spend) -> None:
    pots = (command.pot, *_linked(work, command))
    for pot in pots:
        if work.state(pot).amount < command.amount:
            work.emit(command.pot, Tried())
            raise RefusedWith(TooLittle(pot))
    for pot in pots:
        work.emit(pot, Put(amount=-command.amount))


def _recall(work: Work, command: Recall) -> None:
    found = [event for tag in _linked(work, command) for _, event in work.events(tag)]
    work.emit(command.pot, Put(amount=sum(event.amount for event in found)))


def _how_much(work: Work, question: HowMuch) -> int:
    if question.pot == "pot/bug":
        raise ZeroDivisionError("a bug")
    pots: list[Pot] = [work.state(pot) for pot in (question.pot, *_linked(work, question))]
    if not all(pot.amount for pot in pots):
        work.emit(question.pot, Tried())
        raise RefusedWith(TooLittle(question.pot))
    platform: Pot = work.platform(OF_THE_PLATFORM)
    return platform.amount + sum(pot.amount for pot in pots)


def _pot(command: Any) -> tuple[str, ...]:
    return (command.pot,)


POTS = SCRIP.joined(
    Module(
        deciders={
            Fill: Decider(_pot, _fill),
            Make: Decider(_pot, _make),
            Spend: Decider(_pot, _spend, streams_from_state=_linked),
            Recall: Decider(_pot, _recall),
        },
        answerers={HowMuch: Answerer(_pot, _how_much, platform=(OF_THE_PLATFORM,), streams_from_state=_linked)},
        kinds={"pot/": KIND},
        events={"put.v1": Put, "emptied.v1": Emptied, "tried.v1": Tried},
    )
)


def pot(writer: Writer, org: str, name: str) -> Pot:
    """A pot as it is now, for a reader and for the writer."""
    found: Pot = now(writer, org, [name]).states[name]
    return found


def loads(patch: pytest.MonkeyPatch) -> list[set[str]]:
    """The streams of each query of writers for cold streams, from now on."""
    asked: list[set[str]] = []
    ask = Loader.ask

    def noted(self: Loader, pipeline: Any, streams: dict[Key, int], tags: dict[Key, int]) -> Any:
        if streams:
            asked.append({stream for _, stream in streams})
        return ask(self, pipeline, streams, tags)

    patch.setattr(Loader, "ask", noted)
    return asked
