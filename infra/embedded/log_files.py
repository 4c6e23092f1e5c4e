"""Log files that stay small: a full one is moved aside under a number, and the oldest is deleted."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from infra.settings import Settings

_LOOK_BYTES = 64 * 1024  # so much is written between two looks at the file's size


@dataclass(frozen=True, slots=True)
class LogBounds:
    """How large a log file may become, in bytes, and how many there may be of one process, the current one included."""

    file_bytes: int
    files: int


def log_bounds() -> LogBounds:
    """As SCRIP_LOG_FILE_BYTES and SCRIP_LOG_FILES say. Raises pydantic.ValidationError."""
    settings = Settings()
    return LogBounds(settings.log_file_bytes, settings.log_files)


def numbered(log: Path, number: int) -> Path:
    """The name of an older file; 1 is the newest of them."""
    return log.with_name(f"{log.name}.{number}")


def move_aside(log: Path, files: int) -> None:
    """Rename `log` to `log.1`, that to `log.2`, and so on; `files` of them may remain, one of which is yet to be made.

    Who has the file open goes on writing to it under its new name, so no line is lost. Raises OSError.
    """
    if not log.exists():  # moved already: a second time would only drop the oldest
        return
    for old in log.parent.glob(f"{log.name}.*"):
        ending = old.name.rpartition(".")[2]
        if ending.isdigit() and int(ending) >= files - 1:
            old.unlink(missing_ok=True)
    for number in range(files - 2, 0, -1):
        if numbered(log, number).exists():
            numbered(log, number).replace(numbered(log, number + 1))
    log.replace(numbered(log, 1))


class OwnLog:
    """The file behind this process's standard output and error, which the process itself moves aside when it is full.

    From outside it could only be copied and emptied, and what is written in between would be lost.
    """

    def __init__(self, log: Path, bounds: LogBounds) -> None:
        """`log` must be what standard error goes to."""
        self._log = log
        self._bounds = bounds
        self._look_bytes = min(_LOOK_BYTES, bounds.file_bytes // 8)
        self._since_look = 0

    @classmethod
    def of_standard_error(cls, log: Path, bounds: LogBounds) -> OwnLog | None:
        """None if standard error goes elsewhere: to a terminal, or to a container's log."""
        try:
            same = os.path.samestat(os.fstat(2), log.stat())
        except OSError:
            return None
        return cls(log, bounds) if same else None

    def make_room(self, size: int) -> None:
        """To be called before `size` bytes are written; the writer sees to it that no other thread writes meanwhile."""
        self._since_look += size
        if self._since_look < self._look_bytes:
            return
        self._since_look = size  # it is written after the look
        try:
            # Room for what the logger writes until the next look, and as much for what does not pass through it.
            if os.fstat(2).st_size + 2 * self._look_bytes > self._bounds.file_bytes:
                self._begin_new()
        except OSError:  # such as a full disk: goes on in the old file and tries again later
            return

    def _begin_new(self) -> None:
        # First the new file, which a full disk may refuse; then names; then both streams at once, tracebacks included.
        new = self._log.with_name(self._log.name + ".new")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            move_aside(self._log, self._bounds.files)
            new.replace(self._log)
            for stream in (1, 2):
                os.dup2(fd, stream)
        finally:
            os.close(fd)
