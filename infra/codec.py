"""Events to bytes and back. Stored type names are explicit and versioned, so classes may move and be renamed."""

from collections.abc import Mapping
from typing import Any, Self

import msgspec

from domain.kernel.domain import Domain, Upcaster


class UnknownEventType(LookupError):
    """A stored type name that this version of the code does not know: it must not be skipped."""


class _Envelope(msgspec.Struct):
    actor: str
    cause: str
    data: msgspec.Raw


class Codec:
    """Encodes what happened with who did it and why, and decodes every version that was ever stored."""

    def __init__(self, types: Mapping[str, type], upcasters: Mapping[str, Upcaster] | None = None) -> None:
        self._names = {cls: name for name, cls in types.items()}
        self._decoders: dict[str, msgspec.json.Decoder[Any]] = {
            name: msgspec.json.Decoder(cls) for name, cls in types.items()
        }
        self._upcasters = upcasters or {}
        self._encoder = msgspec.json.Encoder()
        self._envelope = msgspec.json.Decoder(_Envelope)

    @classmethod
    def of(cls, domain: Domain) -> Self:
        """That of all events of a domain."""
        return cls(domain.events, domain.upcasters)

    def encode(self, event: Any, actor: str, cause: str) -> tuple[str, bytes]:
        """The stored type name and bytes: JSON with `actor` (who), `cause` (the command's key) and `data`."""
        return self._names[type(event)], self._encoder.encode({"actor": actor, "cause": cause, "data": event})

    def decode(self, type_: str, stored: bytes) -> Any:
        """The event in its newest form.

        Raises UnknownEventType; msgspec.DecodeError where the bytes are not what the type says.
        """
        raw = self._envelope.decode(stored).data
        decoder = self._decoders.get(type_)
        if decoder is not None:
            return decoder.decode(raw)
        return self._upcast(type_, msgspec.json.decode(raw))

    def cause(self, stored: bytes) -> str:
        """The key of the command that caused the event."""
        return self._envelope.decode(stored).cause

    def _upcast(self, type_: str, data: dict[str, Any]) -> Any:
        while type_ in self._upcasters:
            type_, data = self._upcasters[type_](data)
            if type_ in self._decoders:
                return self._decoders[type_].decode(msgspec.json.encode(data))
        raise UnknownEventType(f"the event type {type_} is unknown to this version of Scrip")
