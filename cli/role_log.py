"""The logs of the service's roles: one JSON object per line on standard error."""

from __future__ import annotations

import atexit
import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import structlog

from infra.embedded.log_files import OwnLog

LOUD = ("aiokafka", "faststream", "httpx", "psycopg.pool", "uvicorn.access")  # they log too much at INFO
WINDOW_S = 60.0
MOST_KINDS = 1_000

_UNLIMITED = frozenset({"debug", "info"})  # what we do ourselves, and what administrators do
_STAMPED = structlog.processors.TimeStamper(fmt="iso", utc=True)
_ENCODER = msgspec.json.Encoder(enc_hook=repr)

Kind = tuple[str, str, str]  # logger, text without its figures, who caused it (empty: unknown)
Tell = Callable[[Kind, int], None]
_OTHERS: Kind = ("", "other lines", "")


def log_as_json(level: int = logging.INFO, *, own: OwnLog | None = None, most_a_minute: int = 100) -> None:
    """Have everything that is logged, by structlog or by the standard library, written in one form.

    `own` is the file that standard error goes to, if this process is to keep it small. Of each kind of warning or error
    `most_a_minute` lines are written; how many more there were is told after a minute, and at the end.

    Each line is written before the call returns. What structlog gets does not pass through the standard library: that
    took 37 us of processor time for a line of the log of administration in place of 12, and more on the way to a file.
    """
    common: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _STAMPED,
        structlog.processors.StackInfoRenderer(),
    ]
    handler = _Handler(own)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    limit = LineLimit(most_a_minute, lambda kind, count: handler.write(_left_out(kind, count)))
    atexit.register(limit.tell_left_out)
    handler.addFilter(partial(_record_allowed, limit))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.WARNING)
    named = structlog.stdlib.LoggerFactory(ignore_frame_names=[__name__])
    structlog.configure(
        processors=[partial(_event_allowed, limit), *common, structlog.processors.format_exc_info, _rendered],
        logger_factory=lambda *given: _Lines(handler, named(*given).name),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )


class _Handler(logging.StreamHandler[Any]):
    """Writes lines to standard error, each at once and whole. What cannot be written is left out and stops nothing."""

    def __init__(self, own: OwnLog | None) -> None:
        super().__init__(sys.stderr)
        self._own = own

    def write(self, line: str) -> None:
        self.acquire()
        try:
            self._make_room(line)
            # Where nothing can be written, requests go on, as with the standard library's handlers.
            with suppress(OSError, ValueError):
                self.stream.write(f"{line}\n")
                self.flush()
        finally:
            self.release()

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        self._make_room(line)
        return line

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        """Say nothing more where nothing can be written."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def _make_room(self, line: str) -> None:
        if self._own is not None:
            self._own.make_room(len(line) + 1)


class _Lines:
    """A logger that only writes lines; `name` is that of the module that logs."""

    def __init__(self, handler: _Handler, name: str) -> None:
        self._handler = handler
        self.name = name

    def msg(self, line: str) -> None:
        self._handler.write(line)

    debug = info = warning = error = critical = msg


def _event_allowed(
    limit: LineLimit, logger: Any, method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    if method in _UNLIMITED or limit.allows((logger.name, str(event.get("event")), str(event.get("actor") or ""))):
        return event
    raise structlog.DropEvent


def _record_allowed(limit: LineLimit, record: logging.LogRecord) -> bool:
    return record.levelno < logging.WARNING or limit.allows((record.name, str(record.msg), ""))


def _left_out(kind: Kind, count: int) -> str:
    logger, text, actor = kind
    told: dict[str, Any] = {"count": count, "of": text, "event": "lines were left out", "level": "warning"}
    told |= {"logger": logger} | ({"actor": actor} if actor else {})
    return _rendered(None, "warning", _STAMPED(None, "warning", told))


def _rendered(_logger: Any, _method: str, event: structlog.typing.EventDict) -> str:
    try:
        return _ENCODER.encode(event).decode()
    except (TypeError, ValueError):  # half a character, or a key that is no text
        return json.dumps(event, default=repr)


@dataclass(slots=True)
class _Window:
    began: float
    lines: int = 0
    left_out: int = 0


class LineLimit:
    """At most `most` lines in each minute of each kind; `tell(kind, count)` then says how many were left out.

    Without it a caller without a login could fill the log files, and so delete what they said of others. Safe to use
    from any thread. `tell` is called without the lock.
    """

    def __init__(self, most: int, tell: Tell, window_s: float = WINDOW_S) -> None:
        self._most = most
        self._tell = tell
        self._window_s = window_s
        self._windows: dict[Kind, _Window] = {}
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def allows(self, kind: Kind) -> bool:
        """Whether a line of this kind may be written now; one that may not is counted."""
        with self._lock:
            now = time.monotonic()
            window = self._window(kind, now)
            if window.lines < self._most:
                window.lines += 1
                return True
            window.left_out += 1
            if self._timer is None:
                self._timer = threading.Timer(self._window_s, self.tell_left_out)
                self._timer.daemon = True
                self._timer.start()
            return False

    def tell_left_out(self) -> None:
        """Say of each kind how many lines were left out until now, and begin again with all of them."""
        with self._lock:
            counts = [(kind, window.left_out) for kind, window in self._windows.items() if window.left_out]
            self._windows.clear()
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None
        for kind, count in counts:
            self._tell(kind, count)

    def _window(self, kind: Kind, now: float) -> _Window:
        window = self._windows.get(kind)
        if window is None and len(self._windows) >= MOST_KINDS:
            self._windows = {
                known: other
                for known, other in self._windows.items()
                if other.left_out or now - other.began < self._window_s
            }
            if len(self._windows) >= MOST_KINDS:
                kind = _OTHERS
                window = self._windows.get(kind)
        if window is None or (now - window.began >= self._window_s and not window.left_out):
            window = self._windows[kind] = _Window(now)
        return window
