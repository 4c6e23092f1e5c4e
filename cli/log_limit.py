"""A bound on what others can make a role log: so many lines a minute of each kind, and how many were left out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_S = 60.0
MOST_KINDS = 1_000

Kind = tuple[str, str, str]  # logger, text without its figures, who caused it (empty: unknown)
Tell = Callable[[Kind, int], None]
_OTHERS: Kind = ("", "other lines", "")


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
