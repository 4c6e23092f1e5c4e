"""What a fold is given, and how it says that it cannot go on."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

Decode = Callable[[str, bytes], Any]  # stored type name and bytes to an event; raises for what it does not know


class Stored(Protocol):
    """One row of the log, wherever it was read."""

    @property
    def partition(self) -> int: ...
    @property
    def position(self) -> int: ...
    @property
    def org(self) -> str: ...
    @property
    def stream(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def type(self) -> str: ...
    @property
    def actor(self) -> str: ...
    @property
    def time(self) -> datetime: ...
    @property
    def data(self) -> bytes: ...


class Partition(Protocol):
    """One partition of the log; infra's is a recorder of the library eventsourcing."""

    def select_notifications(self, start: int | None, limit: int, stop: int | None = None) -> Sequence[Stored]:
        """Events from `start` to `stop`, both included, `limit` at most. Raises psycopg.Error."""


class Log(Protocol):
    """The event log, as read models are made from it."""

    def heads(self) -> dict[int, int]:
        """The last committed position of every partition, 0 where there is none. Raises psycopg.Error."""

    def partition(self, number: int) -> Partition: ...


class Fact(NamedTuple):
    """A decoded event with what every read model needs of its row.

    `kind` and `id` are the stream's name before and after its slash: an account's id is its address.
    """

    partition: int
    position: int
    org: str
    kind: str
    id: str
    version: int
    actor: str
    time: datetime
    event: Any


class CannotApply(Exception):
    """An event that must not be skipped and cannot be folded: its partition stops until code or log is put right."""

    def __init__(self, partition: int, position: int, reason: str) -> None:
        super().__init__(f"event {position} of partition {partition} cannot be applied: {reason}")
        self.partition = partition
        self.position = position
        self.reason = reason


def follows(fact: Fact, version: int) -> None:
    """A second proof, beside the position, that nothing was lost or repeated.

    Raises CannotApply where `fact` does not come right after `version` of its stream.
    """
    if fact.version != version + 1:
        name = f"{fact.kind}/{fact.id}" if fact.id else fact.kind
        reason = f"{name} of {fact.org} is at version {version}, the event is version {fact.version}"
        raise CannotApply(fact.partition, fact.position, reason)


def fact_of(stored: Stored, decode: Decode) -> Fact:
    """Decode one row of the log. Raises CannotApply for a type or bytes that this code does not know."""
    try:
        event = decode(stored.type, stored.data)
    except Exception as error:  # whatever a decoder raises, the event is unreadable and must not be skipped
        raise CannotApply(stored.partition, stored.position, f"{stored.type}: {error}") from error
    kind, _, id_ = stored.stream.partition("/")
    return Fact(
        stored.partition,
        stored.position,
        stored.org,
        kind,
        id_,
        stored.version,
        stored.actor,
        stored.time,
        event,
    )
