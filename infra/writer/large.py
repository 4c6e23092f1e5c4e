"""Streams that are too large to be loaded or kept while others wait: a thread does it, a little at a time.

A user may have 100,000 open holds. To fold those takes two seconds, for which the event loop, or all commands in the
writer's queue, would stand still.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from threading import Condition, Thread
from time import monotonic
from typing import NamedTuple

import msgspec
import psycopg

from domain.kernel.domain import Domain
from domain.kernel.work import Key, Stream
from infra.log import statements
from infra.log.mapper import LedgerMapper
from infra.log.snapshots import decode_in_steps, encode_in_steps
from infra.log.statements import Connection

log = logging.getLogger(__name__)

LARGE = 2_000  # events to fold, or entries of a state: some 40 ms
PAGE = 100  # events between two rests
REST = 2.0  # times as long as the last step took
KEPT_S = 30.0  # after a stream was loaded, for whoever asked for it to take it over
RETRY_S = 0.5

Told = Callable[[], object]


class StillLoading(Exception):
    """A decision or an answer needs a stream that is being loaded."""

    def __init__(self, key: Key) -> None:
        super().__init__(key)
        self.key = key


class _Loaded(NamedTuple):
    stream: Stream
    until: float


class LargeStreams:
    """Loads them, and stores their snapshots. `uri`: the login scrip_writer. For any thread."""

    def __init__(self, uri: str, domain: Domain) -> None:
        self._uri = uri
        self._domain = domain
        self._codec = LedgerMapper.of(domain)
        self._changed = Condition()
        self._asked: dict[Key, list[Told]] = {}  # in order; the first one is being loaded
        self._loaded: dict[Key, _Loaded] = {}
        self._snapshots: deque[tuple[Key, Stream]] = deque()
        self._thread: Thread | None = None
        self._stopping = False
        self._connection: Connection | None = None

    def loading(self, key: Key) -> bool:
        """Whether a stream is being loaded."""
        return key in self._asked

    def find(self, key: Key) -> Stream | None:
        """A stream that was loaded lately, as of some version."""
        found = self._loaded.get(key)
        return found.stream if found is not None and found.until > monotonic() else None

    def load(self, key: Key) -> None:
        """Begin to load a stream, from where it was loaded last."""
        with self._changed:
            self._asked.setdefault(key, [])
            self._begin()

    def when_loaded(self, key: Key, told: Told) -> None:
        """Call `told` once, from some thread, when a stream is no longer being loaded; at once if it is not now."""
        with self._changed:
            waiting = self._asked.get(key)
            if waiting is not None and not self._stopping:
                waiting.append(told)
                return
        told()

    def keep(self, streams: Iterable[tuple[Key, Stream]]) -> None:
        """Store snapshots of committed states, some time later."""
        with self._changed:
            self._snapshots += streams
            if self._snapshots:
                self._begin()

    def stop(self) -> None:
        """End after the step under way."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _begin(self) -> None:
        if self._thread is None and not self._stopping:
            self._thread = Thread(target=self._run, name="large streams", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _run(self) -> None:
        while not self._stopping:
            with self._changed:
                idle = not self._asked and not self._snapshots and not self._changed.wait(KEPT_S)
                now = monotonic()
                self._loaded = {key: each for key, each in self._loaded.items() if each.until > now}
                key = next(iter(self._asked), None)
                snapshot = self._snapshots.popleft() if key is None and self._snapshots else None
            if idle:
                self._disconnect()
            try:
                if key is not None:
                    self._load(key)
                elif snapshot is not None:
                    self._keep(*snapshot)
            except Exception as error:  # whoever waits asks again, and a snapshot can be missing
                log.warning("a large stream could not be loaded or kept: %s", error, exc_info=True)
                self._disconnect()
                self._rest(RETRY_S)
                if key is not None:
                    self._tell(key)
        for key in list(self._asked):
            self._tell(key)
        self._disconnect()

    def _load(self, key: Key) -> None:
        last = self.find(key)
        kind = self._domain.kind_of(key[1])
        stream = last or self._snapshot(key) or Stream(0, kind.initial, 0)
        version, state = stream.version, stream.state
        rest = 1
        while rest and not self._stopping:
            began = monotonic()
            rows = self._connected().execute(statements.PAGE, (*key, version, PAGE), binary=True).fetchall()
            for version, type_, data in rows:  # noqa: B007 - it is used afterwards
                state = kind.evolve(state, self._codec.decode(type_, data))
            rest = len(rows) == PAGE
            self._rest(REST * (monotonic() - began))
        if not self._stopping:
            self._loaded[key] = _Loaded(Stream(version, state, stream.snapshot), monotonic() + KEPT_S)
            self._tell(key)

    def _snapshot(self, key: Key) -> Stream | None:
        kind = self._domain.kind_of(key[1])
        found = self._connected().execute(
            statements.SNAPSHOT, {"org": key[0], "stream": key[1], "gt": None, "lte": None}, binary=True
        ).fetchone()  # fmt: skip
        if found is None or found[1] != kind.schema:
            return None
        try:
            state = self._stepped(decode_in_steps(kind, found[2]))
        except msgspec.DecodeError as error:  # it is a cache: what it held is still in the log
            log.warning("the snapshot of %s %s cannot be used: %s", *key, error)
            return None
        return Stream(found[0], state, found[0])

    def _keep(self, key: Key, stream: Stream) -> None:
        kind = self._domain.kind_of(key[1])
        state = self._stepped(encode_in_steps(stream.state))
        row = ([key[0]], [key[1]], [stream.version], [kind.schema], [state])
        self._connected().execute(statements.UPSERT_SNAPSHOTS, row)

    def _stepped(self, steps: "Iterator[object]") -> "object":
        """What steps come to, with rests between them."""
        found: object = None
        began = monotonic()
        for found in steps:  # noqa: B007 - the last one counts
            if self._stopping:
                raise InterruptedError
            now = monotonic()
            self._rest(REST * (now - began))
            began = monotonic()
        return found

    def _rest(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, seconds)

    def _tell(self, key: Key) -> None:
        with self._changed:
            waiting = self._asked.pop(key, [])
        for told in waiting:
            told()

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = statements.connect(self._uri, "scrip-large-streams")
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            try:
                self._connection.close()
            except psycopg.Error:
                log.debug("the connection did not close", exc_info=True)
            self._connection = None
