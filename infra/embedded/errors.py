"""What can go wrong with the embedded servers, each as one sentence a person can act on."""

from __future__ import annotations

from pathlib import Path


class ServerUnavailable(Exception):
    """An embedded server cannot be started or stopped; the text says why in one sentence."""


class DataFolderInUse(ServerUnavailable):
    """Another process owns the data folder."""

    def __init__(self, folder: Path, owner_pid: int | None) -> None:
        """Name the folder and, where it is known, the process that holds it."""
        who = f"process {owner_pid}" if owner_pid else "another process"
        super().__init__(f"The data folder {folder} is in use by {who}; stop it first.")
        self.folder = folder
        self.owner_pid = owner_pid


class SharedFiles(ServerUnavailable):
    """The folder was copied with hard links: its files are another folder's too."""

    def __init__(self, folder: Path, file: Path) -> None:
        """Name the folder and a file that both have."""
        super().__init__(
            f"The data folder {folder} shares its files with another folder (hard links, for example {file}), so its"
            " servers would change both; make a full copy (`cp -a`) and remove this one."
        )
        self.folder = folder


class PortInUse(ServerUnavailable):
    """Another process uses the port that was asked for."""

    def __init__(self, port: int) -> None:
        """Name the port."""
        super().__init__(f"Port {port} on 127.0.0.1 is already in use; stop what uses it or choose another port.")
        self.port = port


class JarsUnavailable(ServerUnavailable):
    """Kafka's jars are not in the cache and cannot be downloaded now."""


class CorruptJar(ServerUnavailable):
    """A downloaded jar differs, twice in a row, from the digest in the lock file."""

    def __init__(self, jar: str) -> None:
        """Name the jar by its coordinate, `group:artifact:version`."""
        super().__init__(
            f"The downloaded jar {jar} does not match the SHA-256 in jars.lock,"
            " also after a second download; nothing was started with it."
        )
        self.jar = jar
