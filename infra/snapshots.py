"""States to bytes and back, for the snapshots of long streams."""

from hashlib import sha256
from typing import Any

import msgspec
from immutables import Map

from domain.credits.account import Account, Hold
from domain.prices.book import STREAM as PRICES
from domain.prices.book import PriceBook

CHECKSUM_BYTES = 16


def _plain(value: Any) -> Any:
    if isinstance(value, Map):
        return dict(value)
    raise NotImplementedError(type(value))


def _rich(_type: Any, value: Any) -> Any:
    """The only type that msgspec does not know is the persistent map of open holds."""
    return Map(msgspec.convert(value, dict[str, Hold]))


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
_accounts = msgspec.msgpack.Decoder(Account, dec_hook=_rich)
_books = msgspec.msgpack.Decoder(PriceBook)


def encode_state(state: Any) -> bytes:
    """The bytes of a state, after a checksum of them: flipped bits must not become a wrong balance."""
    body = _encoder.encode(state)
    return _checksum(body) + body


def decode_state(stream: str, stored: bytes) -> Any:
    """The state of the stream's kind. Raises msgspec.DecodeError where the bytes are damaged or not of the schema."""
    body = stored[CHECKSUM_BYTES:]
    if _checksum(body) != stored[:CHECKSUM_BYTES]:
        raise msgspec.DecodeError("the checksum does not match")
    return _books.decode(body) if stream == PRICES else _accounts.decode(body)


def _checksum(body: bytes) -> bytes:
    return sha256(body).digest()[:CHECKSUM_BYTES]
