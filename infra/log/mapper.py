"""Events to bytes and back. Stored type names are explicit and versioned, so classes may move and be renamed."""

from collections.abc import Mapping
from typing import Any, Self

import msgspec
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import Mapper, StoredEvent, Transcoder

from domain.kernel.domain import Domain, Upcaster
from infra.log.events import Drafted, LedgerEvent, Recorded


class UnknownEventType(LookupError):
    """A stored type name that this version of the code does not know: it must not be skipped."""


class _Envelope(msgspec.Struct):
    actor: str
    cause: str
    data: msgspec.Raw


class MsgspecTranscoder(Transcoder):
    """JSON by msgspec, which takes dataclasses and times as they are."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()

    def encode(self, obj: Any) -> bytes:
        return self._encoder.encode(obj)

    def decode(self, data: bytes) -> Any:
        return msgspec.json.decode(data)


class LedgerMapper(Mapper[str]):
    """Encodes what happened with who did it and why, and decodes every version that was ever stored.

    `types`: stored type name -> class; `upcasters`: an old type name -> its `Upcaster`. It neither compresses nor
    encrypts: consumers and analysts read the stored bytes. Personal texts are sealed one by one, before the command is
    made (`infra/security/sealing.py`), so that reading the log never needs a key.
    """

    def __init__(self, types: Mapping[str, type], upcasters: Mapping[str, Upcaster] | None = None) -> None:
        super().__init__(MsgspecTranscoder())
        self._encode = msgspec.json.Encoder().encode
        self._names = {cls: name for name, cls in types.items()}
        self._decoders: dict[str, msgspec.json.Decoder[Any]] = {
            name: msgspec.json.Decoder(cls) for name, cls in types.items()
        }
        self._upcasters = upcasters or {}
        self._envelope = msgspec.json.Decoder(_Envelope)

    @classmethod
    def of(cls, domain: Domain) -> Self:
        """That of all events of a domain."""
        return cls(domain.events, domain.upcasters)

    def to_stored_event(self, domain_event: DomainEventProtocol[str]) -> Drafted:
        """The event as it will be stored, but for its place in the log. Raises TypeError for what is no `Recorded`."""
        if not isinstance(domain_event, Recorded):
            raise TypeError(f"an event of the log is a Recorded, not a {type(domain_event).__name__}")
        event, org, stream, version, actor, cause = domain_event
        type_, data = self.encode(event, actor, cause)
        return Drafted(org, stream, version, type_, event.tag, actor, data)

    def to_domain_event(self, stored_event: StoredEvent) -> Recorded:
        """The event in its newest form.

        Raises UnknownEventType; msgspec.DecodeError where the bytes are not what the type says.
        """
        envelope = self._envelope.decode(stored_event.state)
        event = self._decode(stored_event.topic, envelope.data)
        if isinstance(stored_event, LedgerEvent | Drafted):
            org, stream = stored_event.org, stored_event.stream
        else:
            org, _, stream = str(stored_event.originator_id).partition("/")
        return Recorded(event, org, stream, stored_event.originator_version, envelope.actor, envelope.cause)

    def encode(self, event: Any, actor: str, cause: str) -> tuple[str, bytes]:
        """The stored type name and bytes: JSON with `actor` (who), `cause` (the command's key) and `data`."""
        return self._names[type(event)], self._encode({"actor": actor, "cause": cause, "data": event})

    def decode(self, type_: str, stored: bytes) -> Any:
        """The event alone, where a read has only type and data. Raises as `to_domain_event` does."""
        return self._decode(type_, self._envelope.decode(stored).data)

    def cause(self, stored: bytes) -> str:
        """The key of the command that caused the event."""
        return self._envelope.decode(stored).cause

    def knows(self, type_: str) -> bool:
        """Whether events of this stored type name can be read."""
        return type_ in self._decoders or type_ in self._upcasters

    def _decode(self, type_: str, raw: msgspec.Raw) -> Any:
        decoder = self._decoders.get(type_)
        return decoder.decode(raw) if decoder is not None else self._upcast(type_, msgspec.json.decode(raw))

    def _upcast(self, type_: str, data: dict[str, Any]) -> Any:
        while type_ in self._upcasters:
            type_, data = self._upcasters[type_](data)
            if type_ in self._decoders:
                return self._decoders[type_].decode(self.transcoder.encode(data))
        raise UnknownEventType(f"the event type {type_} is unknown to this version of Scrip")


READING = LedgerMapper({})  # of a log that is only read, by somebody who decodes nothing or otherwise
