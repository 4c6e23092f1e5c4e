"""What goes into the writer and what comes out of it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from domain.refusal import Refusal, RefusalKind
from infra.ids import record_id

RANDOM = "~"  # how a key begins that is made here


def _random_key() -> str:
    """A key that nobody else has."""
    return record_id(RANDOM)


Told = TypeVar("Told")


class Refused(NamedTuple):
    """A refusal as it is kept and replayed: code, kind, the sentence for people, the numbers involved."""

    code: str
    kind: RefusalKind
    detail: str
    facts: dict[str, Any]

    @classmethod
    def of(cls, refusal: Refusal) -> "Refused":
        return cls(refusal.code, refusal.kind, str(refusal), refusal.facts())


@dataclass(slots=True, kw_only=True)
class Submission:
    """One command on its way.

    `caller` and `key` identify it for ever within the organisation; without a key a random one is made, which
    serves to find out whether an interrupted commit went through. `fingerprint` tells the same request from another
    under the same key. A refusal is kept where the caller can ask for it again. `keep_refusals` false lets a refused
    command be tried again under its key (usage events); the events of such a refusal stay.
    """

    org: str
    command: Any
    actor: str
    caller: str
    key: str = field(default_factory=_random_key)
    fingerprint: bytes | None = None
    keep_refusals: bool = True
    attempted: bool = False  # set by the writer: a row found at a second attempt is this submission's own

    @property
    def may_come_again(self) -> bool:
        """Whether its caller has a key to repeat it with; a request that came without one never does."""
        return self.fingerprint is not None or not self.key.startswith(RANDOM)


class Outcome(NamedTuple):
    """What a command came to.

    `events` are those that the command itself decided (what time alone brought about is left out), `position` is
    that of the last event, or the partition's last position where there is none. `replayed` marks an answer that
    an earlier submission under the same key got. A refusal may have events too: facts about the attempt itself.
    `result_state` is what the command's decider tells of the states afterwards; an answer from the log has none.
    """

    partition: int
    position: int
    time: datetime | None  # none in the replay of an answer without events
    events: tuple[tuple[str, Any], ...]
    refusal: Refused | None = None
    replayed: bool = False
    result_state: Any = None

    def one(self, kind: type[Told]) -> Told:
        """The first event of a type, which a command of its kind always decides. Raises LookupError."""
        for _, event in self.events:
            if isinstance(event, kind):
                return event
        raise LookupError(f"no {kind.__name__} among {len(self.events)} events")

    def all(self, *kinds: type[Told]) -> list[tuple[str, Told]]:
        """All events of these types, each with its stream."""
        return [(stream, event) for stream, event in self.events if isinstance(event, kinds)]


class Current(NamedTuple):
    """States as they are now, with everything that is due folded in (and not written)."""

    partition: int
    position: int
    time: datetime
    states: dict[str, Any]
    tagged: dict[str, tuple[tuple[str, Any], ...]]  # each event with its stream


class Answered(NamedTuple):
    """The answer to a question, as of a position of its organisation's partition."""

    value: Any
    partition: int
    position: int
    time: datetime


class KeyReused(Exception):
    """The idempotency key was used before for another request."""


class NotApplied(Exception):
    """A part of an atomic batch that would have been accepted, but another part was refused."""


class OutcomeUnknown(Exception):
    """The deadline passed before the ledger answered: it may or may not be applied; retry with the same key."""


class Overloaded(Exception):
    """The queue is full; nothing was done."""


class StorageFull(Overloaded):
    """PostgreSQL's disk is full or nearly so; nothing was done."""
