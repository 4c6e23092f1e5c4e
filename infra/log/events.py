"""An event on its way to the log, and as the log has it, in the terms of the library eventsourcing.

Its dataclasses cost 1.8 us to make, five times a NamedTuple. So these are NamedTuples that are instances of its classes
too: whoever knows the library can read the log, and no event is copied for it.

| the library's name | what it is here |
|---|---|
| originator_id | `{org}/{stream}`; for a stream that was written through the library, the id that it was given |
| originator_version | `version` |
| topic | `type`, such as `credits-debited.v1`: never the path of a class |
| state | `data`: the bytes that are hashed, stored and published |
| id of a notification | `position`: without gaps in a partition, with gaps in an organisation that shares it |
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from eventsourcing.persistence import Notification, StoredEvent

# Streams of events that were written through the library. A UUID and a text of the same letters are two ids.
RECORDED = "recorded/"
_AS_UUID, _AS_TEXT = f"{RECORDED}uuid:", f"{RECORDED}text:"


class Recorded(NamedTuple):
    """A domain event with what the log keeps of it: what a Mapper encodes.

    `actor`: who caused it; `cause`: the key of the command.
    """

    event: Any
    org: str
    stream: str
    version: int
    actor: str
    cause: str

    @property
    def originator_id(self) -> str:
        """The organisation and the stream."""
        return f"{self.org}/{self.stream}"

    @property
    def originator_version(self) -> int:
        """The event's number in its stream, from 1."""
        return self.version


class _DraftedFields(NamedTuple):
    org: str
    stream: str
    version: int
    type: str
    tag: str | None
    actor: str
    data: bytes


class _RowFields(NamedTuple):
    partition: int
    position: int
    org: str
    stream: str
    version: int
    type: str
    tag: str | None
    actor: str
    time: datetime
    data: bytes
    hash: bytes


class Drafted(_DraftedFields, StoredEvent):
    """An encoded event that has no place in the log yet."""

    __slots__ = ()
    if not TYPE_CHECKING:
        __init__ = object.__init__  # the tuple is whole; the dataclass's would ask for its own fields
    __hash__ = tuple.__hash__

    @property
    def originator_id(self) -> UUID | str:
        return originator_of(self.org, self.stream)

    @property
    def originator_version(self) -> int:
        return self.version

    @property
    def topic(self) -> str:
        return self.type

    @property
    def state(self) -> bytes:
        return self.data

    def __eq__(self, other: object) -> bool:
        return tuple.__eq__(self, other) if isinstance(other, Drafted) else _same(self, other)


class LedgerEvent(_RowFields, Notification):
    """One row of the log. `data` are the bytes that are hashed, stored and published, never encoded again.

    `time` is UTC.
    """

    __slots__ = ()
    if not TYPE_CHECKING:
        __init__ = object.__init__  # as above
    __hash__ = tuple.__hash__

    @property
    def id(self) -> int:
        return self.position

    @property
    def originator_id(self) -> UUID | str:
        return originator_of(self.org, self.stream)

    @property
    def originator_version(self) -> int:
        return self.version

    @property
    def topic(self) -> str:
        return self.type

    @property
    def state(self) -> bytes:
        return self.data

    def __eq__(self, other: object) -> bool:
        return tuple.__eq__(self, other) if isinstance(other, LedgerEvent) else _same(self, other)


def originator_of(org: str, stream: str) -> UUID | str:
    """The library's id of a stream."""
    if stream.startswith(_AS_UUID):
        return UUID(stream.removeprefix(_AS_UUID))
    return stream.removeprefix(_AS_TEXT) if stream.startswith(_AS_TEXT) else f"{org}/{stream}"


def stream_of(originator_id: UUID | str, org: str) -> str | None:
    """The stream of an organisation that has this id, None where it belongs to another organisation.

    A text with a slash names its organisation: no organisation's id has one. Any other id is one of the library's own.
    """
    if isinstance(originator_id, UUID):
        return f"{_AS_UUID}{originator_id}"
    whose, slash, stream = originator_id.partition("/")
    if not slash:
        return f"{_AS_TEXT}{originator_id}"
    return stream if whose == org else None


def _same(event: StoredEvent, other: object) -> Any:
    """Whether it says what one of the library's own events says, which compares only with its own class."""
    if isinstance(other, StoredEvent):
        mine, its = ((each.originator_id, each.originator_version, each.topic, each.state) for each in (event, other))
        return mine == its
    return NotImplemented
