"""What one decision sees and emits: committed states below, what was decided since above. Memory, and nothing else."""

from collections.abc import Callable, Collection, MutableMapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

SLICE = 200  # events by which time passes in one decision, at most: some 10 ms

Key = tuple[str, str]  # an organisation, and the name of a stream or a tag of it
Emitted = tuple[str, Any]  # a stream, and an event on it
Tags = dict[Key, tuple[Emitted, ...]]

make: Any = tuple.__new__  # `make(Stream, (…))` takes half the time of `Stream(…)`: for what every event passes


class Event(Protocol):
    """Any stored fact. `tag` names the one entity (reservation, debit, …) that the event is about, or is none."""

    @property
    def tag(self) -> str | None: ...


def _alone(_event: Any, _state: Any) -> tuple[str, ...]:
    return ()


class Due(Protocol):
    """What time alone brings about on a stream at `now`, in order; nothing before the stream's `next_due`.

    Where more than `most` are due, some `most` of them, those that waited longest; they leave a state from which a
    later call goes on. `only`: of all that is due, what ends with these ids, and nothing else.
    """

    def __call__(
        self, state: Any, now: datetime, most: int = SLICE, only: Collection[str] | None = None, /
    ) -> tuple[Any, ...]: ...


class StreamKind(NamedTuple):
    """How one kind of stream is folded and what time alone does to it.

    `co_expiring_streams(event, state)` names the streams on which time must pass in the same decision, because
    `event`, which is due, ends something that they share (a generation's holds); `state` is the stream's state before
    the event.
    """

    initial: Any
    evolve: Callable[[Any, Any], Any]
    next_due: Callable[[Any], datetime]
    due: Due
    entries: Callable[[Any], int]  # how large a state is, in live entries: decides when a snapshot pays
    schema: int  # raised whenever the state's shape or fold changes; older snapshots are then ignored
    co_expiring_streams: Callable[[Any, Any], tuple[str, ...]] = _alone
    ended_id: Callable[[Any], str] = lambda _event: ""  # of what an event with such streams ends: `only` names it there


class Stream(NamedTuple):
    """A stream's state at a version; `snapshot` is the version of its last snapshot, 0 for none."""

    version: int
    state: Any
    snapshot: int


class Tagged(NamedTuple):
    """All events with one tag, each with its stream, up to a position of the partition."""

    position: int
    events: tuple[Emitted, ...]


class Known(Protocol):
    """Committed states and events in memory; not all that there are."""

    @property
    def streams(self) -> MutableMapping[Key, Stream]: ...
    @property
    def tags(self) -> MutableMapping[Key, Tagged]: ...


class Cold(Protocol):
    """Loads what is not known. What it gives is committed: nothing that a `Work` has emitted."""

    def stream(self, key: Key) -> Stream: ...
    def tagged(self, key: Key) -> Tagged: ...


class Mark(NamedTuple):
    """A place in a decision: how many events it had emitted, and how many changes it had made to states and tags."""

    emitted: int
    changes: int


START = Mark(0, 0)  # of a decision


class Savepoint(NamedTuple):
    """All streams and tags as they were before an atomic group."""

    streams: dict[Key, Stream]
    tags: Tags
    behind: set[Key]


class Work:
    """States of streams and events by tag as a decision sees them. What it emits it sees at once.

    `begin` starts a decision. `org` is whose decision it is, `now` its time by the database's clock. `emitted` are its
    events with their streams, in the order in which they will be stored. `streams` are the streams with events that
    are not committed yet, `tags` those events by tag; a stream that was sent to the log is always among them, so that
    it is never loaded again.

    `behind` are streams on which time has not passed yet, because more is due there than one decision works off. It
    lasts until the work ends, so that a batch takes one slice of a stream, whoever waits for it.

    `platform(stream)` is the state of one of the platform's streams, such as the price book. `resources` is the
    domain's table (domain/resources/table.py).
    """

    __slots__ = (
        "_cold",
        "_undo",
        "behind",
        "emitted",
        "kind_of",
        "known",
        "now",
        "org",
        "platform",
        "resources",
        "streams",
        "tags",
    )

    def __init__(
        self,
        kind_of: Callable[[str], StreamKind],
        resources: Any,
        known: Known,
        cold: Cold,
        platform: Callable[[str], Any],
    ) -> None:
        self.org = ""
        self.now = datetime.min.replace(tzinfo=UTC)
        self.behind: set[Key] = set()
        self.emitted: list[Emitted] = []
        self.kind_of = kind_of
        self.known = known
        self.platform = platform
        self.resources = resources
        self.streams: dict[Key, Stream] = {}
        self._cold = cold
        self.tags: Tags = {}
        # What the decision has replaced, in order: a stream's state, and what was known of a tag.
        self._undo: list[tuple[Key, Stream | None, Key | None, tuple[Emitted, ...] | None]] = []

    def begin(self, org: str, now: datetime) -> None:
        """Start a decision of an organisation at this moment: nothing is emitted yet."""
        self.org, self.now = org, now
        self.emitted.clear()
        self._undo.clear()

    def state(self, stream: str) -> Any:
        """The stream's state, its kind's initial one where it has no events."""
        key = (self.org, stream)
        return (self.streams.get(key) or self.known.streams.get(key) or self._cold.stream(key)).state

    def events(self, tag: str) -> tuple[Emitted, ...]:
        """The events with this tag, oldest first, each with its stream.

        A tag is unique in its organisation, not in a stream.
        """
        key = (self.org, tag)
        known = self.known.tags.get(key) or self._cold.tagged(key)
        return (*known.events, *self.tags[key]) if key in self.tags else known.events

    def history(self, stream: str, tag: str) -> tuple[Any, ...]:
        """The events with this tag on one stream; the same id on another stream is another's business."""
        return tuple(event for home, event in self.events(tag) if home == stream)

    def emit(self, stream: str, event: Any, *, at: Mark | None = None) -> None:
        """Let it have happened. It is stored last, or with `at` before what was emitted since that mark.

        A stream that nobody has looked at is new, as its id has just been made; the log refuses its version 1 if not.
        """
        streams, key = self.streams, (self.org, stream)
        own = streams.get(key)
        before = own or self.known.streams.get(key)
        kind = self.kind_of(stream)
        if before is None:
            streams[key] = Stream(1, kind.evolve(kind.initial, event), 0)
        else:
            streams[key] = make(Stream, (before.version + 1, kind.evolve(before.state, event), before.snapshot))
        emitted, name = (stream, event), event.tag
        if name is None:
            self._undo.append((key, own, None, None))
        else:
            tag = (self.org, name)
            known = self.tags.get(tag)
            self._undo.append((key, own, tag, known))
            self.tags[tag] = (emitted,) if known is None else (*known, emitted)
        if at is None:
            self.emitted.append(emitted)
        else:
            self.emitted.insert(at.emitted, emitted)

    def mark(self) -> Mark:
        """The place where the decision is now."""
        mark: Mark = make(Mark, (len(self.emitted), len(self._undo)))
        return mark

    def back_to(self, mark: Mark) -> None:
        """Undo everything since the mark, of this decision: states, tags, what was emitted."""
        while len(self._undo) > mark.changes:
            key, own, tag, known = self._undo.pop()
            if own is None:
                del self.streams[key]
            else:
                self.streams[key] = own
            if tag is None:
                continue
            if known is None:
                del self.tags[tag]
            else:
                self.tags[tag] = known
        del self.emitted[mark.emitted :]

    def savepoint(self) -> Savepoint:
        """What `restore` needs to take an atomic group of decisions back."""
        return Savepoint(dict(self.streams), dict(self.tags), set(self.behind))

    def restore(self, saved: Savepoint) -> None:
        """Go back to a savepoint. What a decision is about to undo is forgotten: none is under way."""
        self.streams, self.tags, self.behind = saved
        self.emitted.clear()
        self._undo.clear()
