"""The journal: an append-only file of what a worker owes Scrip, so that its next start can make good for a crash.

One JSON object per line: `open` (a hold may exist), `send` (a settlement that must arrive), `sent` (it has), `closed`.
Every line is on the disk before what it announces is done.
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from scrip_client.errors import JournalError
from scrip_client.settling import Report

_log = logging.getLogger(__name__)

MAX_DEAD_LINES = 10_000  # the file is written anew when it has grown by so many


@dataclass(slots=True)
class Owed:
    """What a generation still owes: settlements by their key, oldest first. None at all: its outcome is unknown."""

    generation_id: str
    reports: dict[str, Report] = field(default_factory=dict)


class Journal:
    """`left` is what earlier work owes: of a crashed process, or of this one where Scrip could not be reached.

    Safe to use from several threads; one process at a time, and not across a fork.
    """

    def __init__(self, path: Path) -> None:
        """Open or create. Raises JournalError where another client has it open, OSError."""
        self._path = path
        self._guard = Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._take_lock()
            self._owed = self._read()
            self._file = self._rewritten()
        except BaseException:
            os.close(self._lock)
            raise
        self.left: dict[str, Owed] = dict(self._owed)

    def opened(self, generation_id: str) -> None:
        """A hold is about to be made."""
        with self._guard:
            self._append({"open": generation_id})
            self._owed[generation_id] = Owed(generation_id)

    def sending(self, report: Report) -> None:
        """A settlement is decided. A second final one takes the place of the first, which was never sent."""
        with self._guard:
            self._append({"send": report.as_json()})
            _add(self._owed, report)

    def sent(self, report: Report) -> None:
        """It has arrived."""
        with self._guard:
            self._append({"sent": report.key, "id": report.generation_id})
            _take(self._owed, report.generation_id, report.key)

    def closed(self, generation_id: str) -> None:
        """Nothing is owed any more."""
        with self._guard:
            self._append({"closed": generation_id})
            self._owed.pop(generation_id, None)
            self.left.pop(generation_id, None)

    def leave(self, generation_id: str) -> None:
        """What it owes could not be sent now and is to be sent later."""
        with self._guard:
            if generation_id in self._owed:
                self.left[generation_id] = self._owed[generation_id]

    def close(self) -> None:
        """Let the file go."""
        with self._guard:
            if not self._file.closed:
                self._file.close()
                os.close(self._lock)

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(
                f"The journal {self._path} is in use. Every process needs its own.", code="journal_in_use"
            ) from None

    def _read(self) -> dict[str, Owed]:
        owed: dict[str, Owed] = {}
        for line in self._lines():
            match line:
                case {"open": str(id_)}:
                    owed[id_] = Owed(id_)
                case {"send": dict(told)}:
                    _add(owed, Report.of_json(told))
                case {"sent": str(key), "id": str(id_)}:
                    _take(owed, id_, key)
                case {"closed": str(id_)}:
                    owed.pop(id_, None)
        return owed

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self._path.exists():
            return
        for number, line in enumerate(self._path.read_bytes().split(b"\n"), 1):
            try:
                told = json.loads(line) if line else None
                if isinstance(told, dict) and isinstance(told.get("send"), dict):
                    Report.of_json(told["send"])
            except (ValueError, KeyError, TypeError):
                # Half of the last line is what a crash leaves; its announcement was not acted on.
                _log.warning("line %d of the journal %s cannot be read and is passed over", number, self._path)
            else:
                if isinstance(told, dict):
                    yield told

    def _rewritten(self) -> Any:
        """A file with only what is owed, in place of the old one, open at its end."""
        fresh = self._path.with_name(self._path.name + ".new")
        with open(fresh, "wb", opener=_private) as file:
            for owed in self._owed.values():
                file.write(_line({"open": owed.generation_id}))
                file.writelines(_line({"send": report.as_json()}) for report in owed.reports.values())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._dead = 0
        return self._path.open("ab", buffering=0)

    def _append(self, told: dict[str, Any]) -> None:
        self._dead += 1
        if self._dead > MAX_DEAD_LINES:
            self._file.close()
            self._file = self._rewritten()
        self._file.write(_line(told))
        if "open" in told or "send" in told:  # the others only spare the next start a repetition
            os.fsync(self._file.fileno())


def _add(owed: dict[str, Owed], report: Report) -> None:
    found = owed.setdefault(report.generation_id, Owed(report.generation_id))
    if report.final:
        found.reports = {key: each for key, each in found.reports.items() if not each.final}
    found.reports[report.key] = report


def _take(owed: dict[str, Owed], generation_id: str, key: str) -> None:
    if found := owed.get(generation_id):
        report = found.reports.pop(key, None)
        if report is not None and report.final:
            del owed[generation_id]


def _line(told: dict[str, Any]) -> bytes:
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)  # prompts and URLs are personal
