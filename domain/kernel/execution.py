"""How a command becomes events: let time happen on what it needs, then decide."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from domain.kernel.domain import Domain
from domain.kernel.work import Emitted, Work
from domain.refusal import Refusal, RefusedWith


@dataclass(frozen=True, slots=True)
class Decided:
    """What a command came to: the events to store, in order, and the refusal where there is one.

    The first `due` events are what time alone had brought about; they are stored with a refusal too. `result_state`:
    as the decider tells it, none with a refusal.
    """

    events: tuple[Emitted, ...]
    due: int
    refusal: Refusal | None = None
    result_state: Any = None


def execute(work: Work, domain: Domain, command: Any) -> Decided:
    """Run one command on work that has just begun, and that afterwards includes the events of the result.

    Raises KeyError for a command that the domain does not know. With any exception the work must be thrown away.
    """
    decider = domain.deciders[type(command)]
    let_time_pass(work, decider.streams(command))
    further = decider.streams_from_state(work, command)
    if further:
        let_time_pass(work, further)
    before = work.mark()
    try:
        decider.decide(work, command)
    except RefusedWith as refused:
        # Without the frames that it came through: they lead to this result, a ring that would stay in memory for long.
        return Decided(tuple(work.emitted), before.emitted, refused.refusal.with_traceback(None))
    except Refusal as refused:
        work.back_to(before)
        return Decided(tuple(work.emitted), before.emitted, refused.with_traceback(None))
    return Decided(tuple(work.emitted), before.emitted, None, decider.result_state(work, command))


def ask(work: Work, domain: Domain, question: Any) -> Any:
    """Answer a question on work that has just begun and is then thrown away: it includes what is due.

    Raises Refusal, KeyError for a question that the domain does not know. Where the answer is a refusal that a
    command would keep as a fact, only the refusal is left.
    """
    answerer = domain.answerers[type(question)]
    let_time_pass(work, answerer.streams(question))
    let_time_pass(work, answerer.streams_from_state(work, question))
    try:
        return answerer.answer(work, question)
    except RefusedWith as refused:
        refusal = refused.refusal
    raise refusal


def let_time_pass(work: Work, streams: Iterable[str]) -> None:
    """Emit what is due on the streams, and on those that share something with what ended there."""
    waiting = list(streams)
    met = set(waiting)
    for stream in waiting:  # grows while it is walked
        kind = work.kind_of(stream)
        state = work.state(stream)
        if kind.next_due(state) > work.now:
            continue
        for event in kind.due(state, work.now):
            for other in kind.co_expiring_streams(event, work.state(stream)):
                if other not in met:
                    met.add(other)
                    waiting.append(other)
            work.emit(stream, event)
