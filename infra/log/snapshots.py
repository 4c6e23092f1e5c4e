"""States to bytes and back, for the snapshots of long streams."""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from heapq import merge
from itertools import islice
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from domain.kernel.holds import End, Holds, Many, with_entry
from domain.kernel.order import Order
from domain.kernel.work import StreamKind
from domain.quotas.counted import Counts

CHECKSUM_BYTES = 16
STEP = 500  # holds that are encoded or decoded in one step


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


def decode_in_steps(kind: StreamKind, stored: bytes) -> Iterator[Any]:
    """The same in steps of some milliseconds; the last one gives the state.

    Raises msgspec.DecodeError where the bytes are damaged or of another.
    """
    body, of = stored[CHECKSUM_BYTES:], type(kind.initial)
    if _checksum(body) != stored[:CHECKSUM_BYTES]:
        raise msgspec.DecodeError("the checksum does not match")
    types = list(get_type_hints(of).values())
    fields: list[Any] = []
    for type_, raw in zip(types, msgspec.msgpack.decode(body, type=list[msgspec.Raw]), strict=False):
        if get_origin(type_) is not Holds:
            fields.append(_decoder(type_).decode(raw))
            continue
        yield None
        holds, ends = Many(), []
        decode, moment = _decoder(get_args(type_)[0]).decode, Holds.moment
        entries = msgspec.msgpack.decode(raw, type=dict[str, msgspec.Raw])
        yield None
        for part in _parts(entries.items()):
            own = {id_: decode(hold) for id_, hold in part}
            for id_, hold in own.items():
                holds = with_entry(holds, id_, hold)
            ends.append(sorted((moment(hold), id_) for id_, hold in own.items()))
            yield None
        ordered: list[End] = []
        for run in _parts(merge(*ends)):
            ordered += run
            yield None
        fields.append(Holds.of(holds, ordered))
    yield of(*fields)


def encode_in_steps(state: Any) -> Iterator[Any]:
    """What `encode_state` gives, in steps of some milliseconds; the last one gives the bytes."""
    encode, fields = _encoder.encode, list(state)
    parts = [bytearray(encode([None] * len(fields))[: -len(fields)])]
    for value in fields:
        if type(value) is not Holds:
            parts.append(bytearray(encode(value)))
            continue
        parts.append(bytearray(_head_of_map(len(value))))
        yield None
        for run in _parts(value.items()):
            part = bytearray()
            for id_, hold in run:
                part += encode(id_)
                part += encode(hold)
            parts.append(part)
            yield None
    body = b"".join(parts)
    yield _checksum(body) + body


def _head_of_map(size: int) -> bytes:
    if size < 16:
        return bytes([0x80 | size])
    return b"\xde" + size.to_bytes(2) if size < 65_536 else b"\xdf" + size.to_bytes(4)


def _parts(of: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(of)
    while part := list(islice(rest, STEP)):
        yield part


def _checksum(body: bytes) -> bytes:
    return sha256(body).digest()[:CHECKSUM_BYTES]
