"""What a batch sees and changes: committed states below, the batch's own events above, thrown away if it fails."""

from collections.abc import Callable
from typing import Any, NamedTuple

from domain.registry import kind_of
from infra.writer.cache import Cache, Stream, StreamKey, Tagged, TagKey


class Savepoint(NamedTuple):
    """The overlay as it was before an atomic group."""

    streams: dict[StreamKey, Stream]
    tags: dict[TagKey, Tagged]
    happened: int


class Overlay:
    """The domain's `View` of one partition, for the organisation in `org`."""

    def __init__(self, cache: Cache, platform: Callable[[str], Any], fetch_tags: Callable[[], None]) -> None:
        self.org = ""
        self.cache = cache
        self.platform = platform
        self._fetch_tags = fetch_tags
        self.streams: dict[StreamKey, Stream] = {}
        self.tags: dict[TagKey, Tagged] = {}
        self.happened: list[
            tuple[TagKey, tuple[str, Any]]
        ] = []  # all of the batch's events, for tags that are fetched later

    def state(self, stream: str) -> Any:
        """The stream's state, events of this batch included."""
        found = self.stream((self.org, stream))
        return found.state if found else kind_of(stream).initial

    def stream(self, key: StreamKey) -> Stream | None:
        """A stream's state with its version, or none where it has no events."""
        return self.streams.get(key) or self.cache.streams.get(key)

    def tagged(self, tag: str) -> tuple[tuple[str, Any], ...]:
        """The events with this tag, those of this batch included."""
        known = self._known((self.org, tag))
        if known is None:  # one of the batch's rare tags: fetch all of them at once
            self._fetch_tags()
            known = self.tags.get((self.org, tag)) or self.cache.tags[self.org, tag]
        return known.events

    def complete_tags(self) -> None:
        """Add the batch's own events to the tags that were fetched only after these had happened."""
        late: dict[TagKey, list[Any]] = {}
        for tag, event in self.happened:
            if tag not in self.tags and tag in self.cache.tags:
                late.setdefault(tag, []).append(event)
        for tag, own in late.items():
            known = self.cache.tags[tag]
            self.tags[tag] = Tagged(known.position, (*known.events, *own))

    def _known(self, key: TagKey) -> Tagged | None:
        return self.tags.get(key) or self.cache.tags.get(key)

    def apply(self, stream: str, event: Any) -> None:
        """Advance a stream by an event of this batch."""
        key = (self.org, stream)
        before = self.streams.get(key) or self.cache.streams.get(key)
        kind = kind_of(stream)
        if before is None:
            after = Stream(1, kind.evolve(kind.initial, event), 0)
        else:
            after = Stream(before.version + 1, kind.evolve(before.state, event), before.snapshot)
        self.streams[key] = after
        # Only what is known in full may grow: an entry that began here would lack what the log has from before.
        if event.tag is not None:
            tag = (self.org, event.tag)
            known = self._known(tag)
            if known is not None:
                self.tags[tag] = Tagged(known.position, (*known.events, (stream, event)))
            self.happened.append((tag, (stream, event)))

    def refresh(self, stream: str) -> None:
        """Make the state's hint of what is next due exact."""
        key = (self.org, stream)
        found = self.stream(key)
        if found is not None:
            self.streams[key] = found._replace(state=kind_of(stream).refresh(found.state))

    def savepoint(self) -> "Savepoint":
        """What `restore` needs to take an atomic group back."""
        return Savepoint(dict(self.streams), dict(self.tags), len(self.happened))

    def restore(self, saved: "Savepoint") -> None:
        """Go back to a savepoint."""
        self.streams, self.tags = saved.streams, saved.tags
        del self.happened[saved.happened :]
        self.complete_tags()  # those that the group has fetched are in the cache, without the events before it

    def merge(self, position: int) -> None:
        """After the commit: the batch's states become the committed ones, at the partition's new last position."""
        for key, stream in self.streams.items():
            self.cache.put(key, stream)
        for tag, tagged in self.tags.items():
            self.cache.tags[tag] = Tagged(position, tagged.events)
            self.cache.tags.move_to_end(tag)
        self.cache.trim()
