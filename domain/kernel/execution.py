"""How a command becomes events: let time happen on what it needs, then decide."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from domain.kernel.domain import Domain
from domain.kernel.work import SLICE, Emitted, Work, make
from domain.refusal import Refusal, RefusedWith


class Decided(NamedTuple):
    """What a command came to: the events to store, in order, and the refusal where there is one.

    The first `due` events are what time alone had brought about; they are stored with a refusal too. `result_state`:
    as the decider tells it, none with a refusal.

    `unfinished`: a stream on which more is due than was worked off. Nothing is decided yet; the command must be run
    again after these events are stored.
    """

    events: tuple[Emitted, ...]
    due: int
    refusal: Refusal | None = None
    result_state: Any = None
    unfinished: str | None = None


class MoreDue(Exception):
    """More is due on a stream than a question works off. Ask again when it is written."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.stream = stream


def execute(work: Work, domain: Domain, command: Any) -> Decided:
    """Run one command on work that has just begun, and that afterwards includes the events of the result.

    Raises KeyError for a command that the domain does not know. With any exception the work must be thrown away.
    """
    decider = domain.deciders[type(command)]
    behind = let_time_pass(work, decider.streams(command))
    if behind is None and (further := decider.streams_from_state(work, command)):
        behind = let_time_pass(work, further)
    before = work.mark()
    if behind is not None:
        return Decided(tuple(work.emitted), before.emitted, unfinished=behind)
    try:
        decider.decide(work, command)
    except RefusedWith as refused:
        # Without the frames that it came through: they lead to this result, a ring that would stay in memory for long.
        return Decided(tuple(work.emitted), before.emitted, refused.refusal.with_traceback(None))
    except Refusal as refused:
        work.back_to(before)
        return Decided(tuple(work.emitted), before.emitted, refused.with_traceback(None))
    events = tuple(work.emitted)
    decided: Decided = make(Decided, (events, before.emitted, None, decider.result_state(work, command), None))
    return decided


def ask(work: Work, domain: Domain, question: Any) -> Any:
    """Answer a question on work that has just begun and is then thrown away: it includes what is due.

    Raises Refusal, MoreDue, KeyError for a question that the domain does not know. Where the answer is a refusal that
    a command would keep as a fact, only the refusal is left.
    """
    answerer = domain.answerers[type(question)]
    behind = _let_all_pass(work, answerer.streams(question), SLICE)
    behind = behind or _let_all_pass(work, answerer.streams_from_state(work, question), SLICE)
    if behind is not None:
        raise MoreDue(behind)
    try:
        return answerer.answer(work, question)
    except RefusedWith as refused:
        refusal = refused.refusal
    raise refusal


def let_time_pass(work: Work, streams: Iterable[str], most: int = SLICE) -> str | None:
    """Emit what is due on the streams, and on those that share something with what ended there.

    Where that is more than some `most` events, only a slice of it: of one stream, with exactly what ends together with
    it. Returns a stream on which more may be due; None when all is done.
    """
    streams = tuple(streams)
    behind = _let_all_pass(work, streams, most)
    if behind is not None and (work.org, behind) not in work.behind:
        work.behind.add((work.org, behind))
        _let_some_pass(work, streams, most)
    return behind


def _let_all_pass(work: Work, streams: tuple[str, ...], most: int) -> str | None:
    """Emit all that is due, breadth first. Nothing where it is more than `most`; then a stream with some of it."""
    now = work.now
    for stream in streams:
        if work.kind_of(stream).next_due(work.state(stream)) <= now:
            break
    else:  # nearly always
        return None
    start, room = None, most
    waiting = list(streams)
    met = set(waiting)
    for stream in waiting:  # grows while it is walked
        kind = work.kind_of(stream)
        state = work.state(stream)
        if kind.next_due(state) > work.now:
            continue
        start = start or work.mark()
        # One more than may be, which tells that it is too many before any of them is emitted.
        events = () if (work.org, stream) in work.behind else kind.due(state, work.now, most + 1)
        room -= len(events)
        if room >= 0:
            for event in events:
                for other in kind.co_expiring_streams(event, work.state(stream)):
                    if other not in met:
                        met.add(other)
                        waiting.append(other)
                work.emit(stream, event)
        if room < 0 or (work.org, stream) in work.behind or (events and kind.next_due(work.state(stream)) <= work.now):
            work.back_to(start)
            return stream
    return None


def _let_some_pass(work: Work, streams: Iterable[str], most: int) -> None:
    """Emit a slice of what is due on the first of the streams, and what ends together with it on others.

    Nothing else is emitted on those others, whatever is due there: a stream of many would take all of its own along.
    """
    root, events = _slice(work, streams, most)
    waiting = [root]
    named: dict[str, dict[str, None]] = {root: {}}  # by stream: the ids of what ends there, in order
    for stream in waiting:  # grows while it is walked; all that name a stream of holds come before it
        kind = work.kind_of(stream)
        if stream != root:
            events = kind.due(work.state(stream), work.now, most, tuple(named[stream]))
        for event in events:
            for other in kind.co_expiring_streams(event, work.state(stream)):
                if other not in named:
                    named[other] = {}
                    waiting.append(other)
                named[other][kind.ended_id(event)] = None
            work.emit(stream, event)


def _slice(work: Work, streams: Iterable[str], most: int) -> tuple[str, tuple[Any, ...]]:
    """The first stream with something due, and so much of it that with what ends together it is some `most` events."""
    for stream in streams:
        kind = work.kind_of(stream)
        state = work.state(stream)
        events = kind.due(state, work.now, most)
        if len(events) > 1:
            total = len(events)
            for event in events:
                for other in kind.co_expiring_streams(event, state):
                    far, there = work.kind_of(other), work.state(other)
                    ends = far.due(there, work.now, most, (kind.ended_id(event),))
                    total += 1 + sum(len(far.co_expiring_streams(end, there)) for end in ends)
            if total > most:
                events = kind.due(state, work.now, max(1, most * len(events) // total))
        if events:
            return stream, events
    raise AssertionError("more is due, and nothing is")
