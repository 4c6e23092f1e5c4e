"""The lock file `jars.lock`: which jars Kafka needs and what each must hash to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LOCK_FILE = Path(__file__).with_name("jars.lock")


@dataclass(frozen=True, slots=True)
class LockedJar:
    """One line of the lock file; `coordinate` is `group:artifact:version`, `sha256` in hexadecimal."""

    coordinate: str
    sha256: str

    @property
    def file_name(self) -> str:
        """Its name in the cache; with the group, since two groups may use one artifact name."""
        return self.coordinate.replace(":", "_") + ".jar"


def read_lock(file: Path = LOCK_FILE) -> tuple[LockedJar, ...]:
    """The jars of a lock file, in its order (which is the class path's)."""
    lines = (line.split("#")[0].split() for line in file.read_text().splitlines())
    return tuple(LockedJar(*line) for line in lines if line)
