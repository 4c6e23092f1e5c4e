"""A prepared statement, with its arguments in PostgreSQL's binary form and its rows back as Python's values."""

import re
import struct
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result

from infra.log.chain import microseconds

BINARY = pq.Format.BINARY

Encoder = Callable[[Any], bytes]

_PLACEHOLDER = re.compile(r"%b::(\w+(?:\[\])?)")
# PostgreSQL's own numbers of its types, fixed for all time.
_BYTEA, _INT8, _INT2, _INT4, _TEXT, _TIMESTAMPTZ = 17, 20, 21, 23, 25, 1184
_EPOCH_US = 946_684_800_000_000  # PostgreSQL counts from 2000
_ARRAY = struct.Struct("!iiiii")  # dimensions, whether there are nulls, the elements' type, their number, from which
_FIRST = 1
_SIZE = struct.Struct("!i")
_NULL = _SIZE.pack(-1)


def _array(type_: int, size: int, elements: bytes) -> bytes:
    return _ARRAY.pack(1, 0, type_, size, _FIRST) + elements


def _numbers(type_: int, format_: str) -> Encoder:
    size = struct.calcsize(f"!{format_}")

    def encode(items: Sequence[int]) -> bytes:
        sized = [size] * (2 * len(items))
        sized[1::2] = items
        return _array(type_, len(items), struct.pack("!" + f"i{format_}" * len(items), *sized))

    return encode


def _texts(items: Sequence[str]) -> bytes:
    encoded = [item.encode() for item in items]
    return _array(_TEXT, len(items), b"".join([_SIZE.pack(len(item)) + item for item in encoded]))


def _blobs(items: Sequence[bytes | None]) -> bytes:
    elements = [_NULL if item is None else _SIZE.pack(len(item)) + item for item in items]
    return _array(_BYTEA, len(items), b"".join(elements))


_moments = _numbers(_TIMESTAMPTZ, "q")


def _times(items: Sequence[datetime]) -> bytes:
    known = {item: microseconds(item) - _EPOCH_US for item in set(items)}  # of a batch's events few differ
    return _moments([known[item] for item in items])


ENCODERS: dict[str, Encoder] = {
    "text": str.encode,
    "text[]": _texts,
    "smallint[]": _numbers(_INT2, "h"),
    "int[]": _numbers(_INT4, "i"),
    "bigint[]": _numbers(_INT8, "q"),
    "timestamptz[]": _times,
    "bytea[]": _blobs,
}


class Statement:
    """A query under the `name` by which a connection knows it. Each argument's place is `%b::` and its type.

    Raises KeyError for a type that `ENCODERS` has not.
    """

    def __init__(self, query: str, name: bytes, connection: psycopg.abc.AdaptContext) -> None:
        self.name = name
        self._encoders = [ENCODERS[type_] for type_ in _PLACEHOLDER.findall(query)]
        self.formats = [BINARY] * len(self._encoders)
        numbers = iter(range(1, len(self._encoders) + 1))
        self.text = _PLACEHOLDER.sub(lambda place: f"${next(numbers)}::{place[1]}", query).encode()
        self._context = connection
        self._reader: psycopg.abc.Transformer | None = None

    def arguments(self, values: Sequence[Any]) -> list[bytes]:
        """The values in binary. Raises ValueError for too few or many, struct.error for a number out of range."""
        return [encode(value) for encode, value in zip(self._encoders, values, strict=True)]

    def rows(self, result: pq.abc.PGresult) -> list[tuple[Any, ...]]:
        """The rows of a result of this statement; none of one that gives none."""
        if self._reader is None:  # what each column holds is the same every time
            self._reader = Transformer(self._context)
            self._reader.set_pgresult(result)
        else:
            self._reader.set_pgresult(result, set_loaders=False)
        found: list[tuple[Any, ...]] = self._reader.load_rows(0, result.ntuples, tuple)
        self._reader.set_pgresult(None, set_loaders=False)  # the result is not kept until the next time
        return found


def check(result: pq.abc.PGresult | None) -> pq.abc.PGresult:
    """The result, if its statement went well. Raises psycopg.Error."""
    if result is None:
        raise psycopg.OperationalError("no result")
    if result.status == pq.ExecStatus.PIPELINE_ABORTED:
        raise psycopg.errors.PipelineAborted("an earlier statement of the pipeline failed")
    if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
        raise error_from_result(result)
    return result
