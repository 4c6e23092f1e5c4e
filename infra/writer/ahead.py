"""A stream's state with what time has brought about already folded in, before the log has it."""

from datetime import datetime
from typing import Any

from domain.kernel.work import Stream, StreamKind

STEP = 50  # events that are folded in one go: some 2 ms


class Ahead:
    """Holds by the thousand that end together are written slice by slice; who asks meanwhile gets this state.

    `stream` has the version that the log is known to have, and a state that is ahead of it by the events `unwritten`.
    As the log gets them, only the version moves. Any other event shows that the log has taken another way.
    """

    __slots__ = ("stream", "unwritten")

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.unwritten: set[Any] = set()

    def fold(self, kind: StreamKind, now: datetime) -> bool:
        """Fold a little of what is due at `now`; returns whether more is."""
        state = self.stream.state
        events = kind.due(state, now, STEP)
        for event in events:
            state = kind.evolve(state, event)
        self.unwritten.update(map(content_of, events))
        self.stream = self.stream._replace(state=state)
        return bool(events) and kind.next_due(state) <= now

    def follow(self, version: int, event: Any) -> bool:
        """Take note of an event that the log has now; returns whether this state still is of use.

        That is while it is ahead: not where the event was not expected, and not where it was the last of those.
        """
        try:
            self.unwritten.remove(content_of(event))
        except (KeyError, TypeError):  # an event with values that cannot be a key is none that time brings about
            return False
        self.stream = self.stream._replace(version=version)
        return bool(self.unwritten)


def content_of(event: Any) -> tuple[Any, ...]:
    """What two equal events have in common, as a key: some have dictionaries, whose order says nothing."""
    values = [getattr(event, name) for name in event.__dataclass_fields__]
    return (type(event), *(frozenset(each.items()) if isinstance(each, dict) else each for each in values))
