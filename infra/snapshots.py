"""States to bytes and back, for the snapshots of long streams."""

from hashlib import sha256
from typing import Any, get_args, get_origin

import msgspec

from domain.kernel.holds import Holds
from domain.kernel.order import Order
from domain.kernel.work import StreamKind
from domain.quotas.counted import Counts

CHECKSUM_BYTES = 16


def _plain(value: Any) -> Any:
    if isinstance(value, Holds | Order | Counts):
        return value.plain()
    raise NotImplementedError(type(value))


def _rich(type_: Any, value: Any) -> Any:
    """The types that msgspec does not know: maps of holds, such as `Holds[Hold]`, orders and counts.

    The bytes have no orders of ends: those are built again.
    """
    if isinstance(type_, type) and issubclass(type_, Holds | Order | Counts):
        return type_.of_plain(msgspec.convert(value, type_.PLAIN))
    if get_origin(type_) is Holds:
        return Holds.of(msgspec.convert(value, dict[str, get_args(type_)[0]], dec_hook=_rich))  # type: ignore[misc]
    raise NotImplementedError(type_)


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)


_decoders: dict[type, msgspec.msgpack.Decoder[Any]] = {}


def _decoder(type_: type) -> msgspec.msgpack.Decoder[Any]:
    if type_ not in _decoders:
        _decoders[type_] = msgspec.msgpack.Decoder(type_, dec_hook=_rich)
    return _decoders[type_]


def encode_state(state: Any) -> bytes:
    """The bytes of a state, after a checksum of them: flipped bits must not become a wrong balance."""
    body = _encoder.encode(state)
    return _checksum(body) + body


def decode_state(kind: StreamKind, stored: bytes) -> Any:
    """The state of a stream of this kind. Raises msgspec.DecodeError where the bytes are damaged or of another."""
    body = stored[CHECKSUM_BYTES:]
    if _checksum(body) != stored[:CHECKSUM_BYTES]:
        raise msgspec.DecodeError("the checksum does not match")
    return _decoder(type(kind.initial)).decode(body)


def _checksum(body: bytes) -> bytes:
    return sha256(body).digest()[:CHECKSUM_BYTES]
