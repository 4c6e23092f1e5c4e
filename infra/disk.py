"""How much room is left on the disks of PostgreSQL, Kafka and the data folder, where they are on this machine."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from infra.settings import Settings

MIB = 1024**2
LOOK_EVERY_S = 1.0
WARN_BELOW = 1024 * MIB  # bytes; an issue in /health
# Less than this, and a server on the disk cannot work: Kafka writes a segment's indexes, PostgreSQL a segment of WAL.
FULL_BELOW = 16 * MIB
DATABASE, BROKER, DATA = "postgres", "kafka", "data"
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})

_WHOSE = {DATABASE: "PostgreSQL", BROKER: "Kafka", DATA: "the service's state and logs"}


class Room(NamedTuple):
    """Free bytes, of how many, on the disk that a folder is on; `device` identifies the disk."""

    name: str
    folder: str
    free: int
    size: int
    device: int

    @property
    def sentence(self) -> str:
        """How much is left, for people. It is public in /health, so it names no folder."""
        whose = _WHOSE.get(self.name, self.name)
        return f"{self.free // MIB:,} MB are free on the disk of {whose}"


def room_of(folder: str | Path, name: str = "") -> Room | None:
    """The room that an ordinary user has where the folder is; None where it cannot be found out."""
    try:
        found = os.statvfs(folder)
        device = Path(folder).stat().st_dev
    except OSError:
        return None
    return Room(name, str(folder), found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize, device)


def watched(text: str) -> dict[str, str]:
    """The folders of the setting SCRIP_WATCHED_FOLDERS (`name=path` with commas between), by name."""
    pairs = (each.partition("=") for each in text.split(",") if each.strip())
    return {name.strip(): path.strip() for name, _, path in pairs if path.strip()}


def watched_text(data: Path) -> str:
    """The setting for the data folder of an embedded service. Kafka allows no comma in it."""
    folders = {DATABASE: data / "postgres", BROKER: data / "kafka", DATA: data}
    return ",".join(f"{name}={path.absolute()}" for name, path in folders.items())


class DiskWatch:
    """Looks at the disks at most once a second, and only when a caller asks.

    `full`: there is less than `reserve` bytes on PostgreSQL's disk, so commands are refused. PostgreSQL itself ends
    when it cannot write its log; the reserve is for what it and the projector still have to write by then.
    """

    def __init__(self, folders: Mapping[str, str], reserve: int) -> None:
        """`folders` by name, of which only `postgres` has a reserve. Nothing is looked at yet."""
        self._folders = dict(folders)
        self._reserve = reserve
        self._looked_at = float("-inf")
        self._full = False
        self._rooms: list[Room] = []

    @property
    def full(self) -> bool:
        """Whether commands are refused."""
        if self._folders and monotonic() - self._looked_at > LOOK_EVERY_S:
            self.look()
        return self._full

    @property
    def rooms(self) -> list[Room]:
        """What was found where it could be, at most a second ago."""
        return self._rooms if self.full or self._folders else []

    @property
    def reserve(self) -> int:
        """Bytes below which commands are refused."""
        return self._reserve

    def look(self) -> bool:
        """Look now; whether commands are refused."""
        self._looked_at = monotonic()
        found = (room_of(folder, name) for name, folder in self._folders.items())
        self._rooms = [room for room in found if room is not None]
        self._full = any(room.name == DATABASE and room.free < self._reserve for room in self._rooms)
        return self._full

    def issues(self) -> list[str]:
        """A sentence for each disk with little room, each disk once."""
        sentences: dict[int, str] = {}
        for room in self.rooms:
            refused = room.name == DATABASE and room.free < self._reserve
            if refused:
                what = f"commands are refused below {self._reserve // MIB:,} MB"
            elif room.name == BROKER and room.free < FULL_BELOW:
                what = "nothing is published; commands are accepted"
            elif room.free < WARN_BELOW:
                what = "servers stop when it is full"
            else:
                continue
            sentences.setdefault(room.device, f"{room.sentence}: {what} (runbook: disk-full).")
        return list(sentences.values())


def disk_watch(settings: Settings) -> DiskWatch:
    """The watch that the settings describe."""
    return DiskWatch(watched(settings.watched_folders), settings.disk_reserve_mb * MIB)


NOT_WATCHED = DiskWatch({}, 0)
