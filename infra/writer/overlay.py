"""What a batch sees and changes: committed states below, the batch's own events above, thrown away if it fails."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from domain.registry import kind_of
from infra.writer.cache import Cache, Stream, StreamKey, Tagged, TagKey, make


class Cold(Protocol):
    """Where an overlay gets what is not cached; whatever it gives is committed, nothing of the batch's own."""

    def stream(self, key: StreamKey) -> Stream: ...
    def tagged(self, key: TagKey) -> Tagged: ...


class Savepoint(NamedTuple):
    """The overlay as it was before an atomic group."""

    streams: dict[StreamKey, Stream]
    own: dict[TagKey, tuple[tuple[str, Any], ...]]


class Overlay:
    """The domain's `View` of one partition, for the organisation in `org`.

    A stream whose events this transaction has sent is always in `streams`, so that it is never loaded again.
    """

    def __init__(self, cache: Cache, platform: Callable[[str], Any], cold: Cold) -> None:
        self.org = ""
        self.cache = cache
        self.platform = platform
        self._cold = cold
        self.streams: dict[StreamKey, Stream] = {}
        self._own: dict[TagKey, tuple[tuple[str, Any], ...]] = {}  # the batch's own events by tag
        # What the current command has replaced, in order: a stream's state, and what was known of a tag.
        self._before: list[tuple[StreamKey, Stream | None, TagKey | None, tuple[tuple[str, Any], ...] | None]] = []

    def state(self, stream: str) -> Any:
        """The stream's state, events of this batch included; loaded where it is not yet known."""
        key = (self.org, stream)
        return (self.streams.get(key) or self.cache.streams.get(key) or self._cold.stream(key)).state

    def tagged(self, tag: str) -> tuple[tuple[str, Any], ...]:
        """The events with this tag, those of this batch included; loaded where they are not yet known."""
        key = (self.org, tag)
        known = self.cache.tags.get(key) or self._cold.tagged(key)
        return (*known.events, *self._own[key]) if key in self._own else known.events

    def apply(self, stream: str, event: Any) -> None:
        """Advance a stream by an event of this batch.

        One that nobody has looked at is new, as its id has just been made; the log refuses its version 1 if it is not.
        """
        key = (self.org, stream)
        own = self.streams.get(key)
        before = own or self.cache.streams.get(key)
        kind = kind_of(stream)
        if before is None:
            after = Stream(1, kind.evolve(kind.initial, event), 0)
        else:
            after = make(Stream, (before.version + 1, kind.evolve(before.state, event), before.snapshot))
        self.streams[key] = after
        if event.tag is None:
            self._before.append((key, own, None, None))
            return
        tag = (self.org, event.tag)
        known = self._own.get(tag)
        self._before.append((key, own, tag, known))
        self._own[tag] = ((stream, event),) if known is None else (*known, (stream, event))

    def refresh(self, stream: str) -> None:
        """Make the state's hint of what is next due exact."""
        key = (self.org, stream)
        own = self.streams.get(key)
        found = own or self.cache.streams.get(key)
        if found is not None:
            self._before.append((key, own, None, None))
            self.streams[key] = found._replace(state=kind_of(stream).refresh(found.state))

    def begin(self, org: str) -> None:
        """A command of an organisation begins: `take_back` undoes what comes from now on."""
        self.org = org
        self._before.clear()

    def take_back(self) -> None:
        """Undo everything since `begin`, so that nothing of the command is left."""
        for key, own, tag, known in reversed(self._before):
            _put_back(self.streams, key, own)
            if tag is not None:
                _put_back(self._own, tag, known)
        self._before.clear()

    def savepoint(self) -> "Savepoint":
        """What `restore` needs to take an atomic group back."""
        return Savepoint(dict(self.streams), dict(self._own))

    def restore(self, saved: "Savepoint") -> None:
        """Go back to a savepoint."""
        self.streams, self._own = saved

    def merge(self, position: int) -> None:
        """After the commit: the batch's states become the committed ones, at the partition's new last position."""
        for key, stream in self.streams.items():
            self.cache.put(key, stream)
        # Only what is known in full may grow: an entry that began here would lack what the log has from before.
        tags = self.cache.tags
        for tag, events in self._own.items():
            if tag in tags:
                tags[tag] = Tagged(position, (*tags[tag].events, *events))
                tags.move_to_end(tag)
        self.cache.trim()


def _put_back(where: dict[Any, Any], key: tuple[str, str], before: Any) -> None:
    if before is None:
        del where[key]
    else:
        where[key] = before
