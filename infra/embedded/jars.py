"""Apache Kafka's jars: fetched once per machine, each checked against the SHA-256 in `jars.lock`.

The lock file lists every jar that is needed, so nothing is resolved at run time and a full cache needs
no network. To make it anew, for another version of Kafka: change ROOTS in `maven.py` and run

    python -m infra.embedded.jars --lock
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from infra.embedded.errors import CorruptJar, JarsUnavailable
from infra.embedded.folder import write_private
from infra.embedded.lock_file import LOCK_FILE, LockedJar, read_lock
from infra.embedded.maven import fetch_from_maven, resolve_closure

CHECKED_FILE = "checked.json"
PARALLEL_DOWNLOADS = 4
ABANDONED_AFTER_S = 3600.0

Progress = Callable[[int, int, str], None]
Fetch = Callable[[LockedJar, Path], Path]


def cache_folder() -> Path:
    """Where jars are kept: SCRIP_CACHE, else `scrip` in the user's XDG cache folder."""
    own = os.environ.get("SCRIP_CACHE")
    if own:
        return Path(own).absolute() / "jars"
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base).absolute() / "scrip" / "jars"


def ensure_jars(
    progress: Progress | None = None,
    *,
    cache: Path | None = None,
    locked: Sequence[LockedJar] | None = None,
    fetch: Fetch | None = None,
    every_byte: bool = False,
) -> list[Path]:
    """The paths of all locked jars, fetching what is missing; a full cache costs a few milliseconds.

    A jar is hashed when it was fetched and whenever its size or time of change differ from then
    (`every_byte`: always). A damaged one is fetched again, once. `progress(done, total, name)` is called
    after each jar that had to be fetched or hashed. Raises JarsUnavailable without network, CorruptJar
    when the second download is wrong too.
    """
    cache = cache or cache_folder()
    jars = read_lock() if locked is None else tuple(locked)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        checked = {} if every_byte else _read_checked(cache)
        pending = [
            jar
            for jar in jars
            if not (cache / jar.file_name).exists() or checked.get(jar.file_name) != _fingerprint(cache, jar)
        ]
        if pending:
            _obtain(pending, cache, fetch or fetch_from_maven, progress)
            checked = _read_checked(cache) | {jar.file_name: _fingerprint(cache, jar) for jar in jars}
            write_private(cache / CHECKED_FILE, json.dumps(checked, indent=1))
    except OSError as error:
        raise JarsUnavailable(f"Kafka's jars cannot be kept in {cache}: {error}.") from error
    return [cache / jar.file_name for jar in jars]


def _obtain(pending: Sequence[LockedJar], cache: Path, fetch: Fetch, progress: Progress | None) -> None:
    for old in cache.glob("fetch-*"):  # of a process that was killed
        if time.time() - old.stat().st_mtime > ABANDONED_AFTER_S:
            shutil.rmtree(old, ignore_errors=True)
    # Downloads happen in a folder of this process: a half-written file never has a jar's final name.
    staging = Path(tempfile.mkdtemp(prefix="fetch-", dir=cache))
    counted = threading.Lock()
    done = 0

    def obtain(jar: LockedJar) -> None:
        nonlocal done
        target = cache / jar.file_name
        if _digest(target) != jar.sha256:
            target.unlink(missing_ok=True)
            for attempt in ("first", "second"):
                new = fetch(jar, staging / attempt)
                if _digest(new) == jar.sha256:
                    new.replace(target)
                    break
            else:
                raise CorruptJar(jar.coordinate)
        with counted:
            done += 1
            if progress:
                progress(done, len(pending), jar.coordinate)

    pool = ThreadPoolExecutor(PARALLEL_DOWNLOADS)
    try:
        for result in [pool.submit(obtain, jar) for jar in pending]:
            result.result()
    finally:
        pool.shutdown(cancel_futures=True)
        shutil.rmtree(staging, ignore_errors=True)


def _digest(file: Path) -> str | None:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def _fingerprint(cache: Path, jar: LockedJar) -> list[str | int]:
    """What is remembered of a checked jar; it differs as soon as the file or the lock does."""
    status = (cache / jar.file_name).stat()
    return [jar.sha256, status.st_size, status.st_mtime_ns]


def _read_checked(cache: Path) -> dict[str, list[str | int]]:
    try:
        found = json.loads((cache / CHECKED_FILE).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


if __name__ == "__main__":
    if sys.argv[1:] != ["--lock"]:
        sys.exit("usage: python -m infra.embedded.jars --lock")
    text = "# group:artifact:version  SHA-256; made by: python -m infra.embedded.jars --lock\n"
    for coordinate, path in resolve_closure():
        text += f"{coordinate}  {_digest(path)}\n"
    LOCK_FILE.write_text(text)
