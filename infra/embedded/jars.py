"""Apache Kafka's jars: fetched once per machine, each checked against the SHA-256 in `jars.lock`.

The lock file lists every jar that is needed, so nothing is resolved at run time and a full cache needs
no network. To make it again, for another version of Kafka, change ROOTS below and run

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
from dataclasses import dataclass
from pathlib import Path

from infra.embedded.errors import CorruptJar, JarsUnavailable
from infra.embedded.folder import write_private

CHECKED_FILE = "checked.json"
PARALLEL_DOWNLOADS = 4
ABANDONED_AFTER_S = 3600.0
LOCK_FILE = Path(__file__).with_name("jars.lock")
# The broker with StorageTool, and the tools (AclCommand).
ROOTS = ("org.apache.kafka:kafka_2.13:4.1.0", "org.apache.kafka:kafka-tools:4.1.0")
# Kafka Connect comes with the tools, brings 40 jars with a web server, and nothing here uses it.
LEFT_OUT = ("org.apache.kafka", "connect-runtime")
# Kafka logs through slf4j 1.7; without a binding to log4j it would log nothing. Taken without its own
# dependencies: given to the resolver as a root, log4j's version table would replace Kafka's.
LOG_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3"
ATTEMPTS = 3
TIMEOUT_S = 20

Progress = Callable[[int, int, str], None]
Fetch = Callable[["LockedJar", Path], Path]


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


def fetch_from_maven(jar: LockedJar, folder: Path) -> Path:
    """Download one jar into `folder` and return its path; JarsUnavailable if that cannot be done now."""
    # Imported here: with a full cache, which is the rule, the library is not needed at all.
    import requests
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=folder, timeout=TIMEOUT_S)
    artifact = context.create_dependency(jar.coordinate).artifact
    failure: Exception | None = None
    for _ in range(ATTEMPTS):
        try:
            return artifact.resolve()
        except (requests.RequestException, RuntimeError) as error:
            failure = error
            if artifact.cached_path is not None:
                artifact.cached_path.unlink(missing_ok=True)  # may be half a file
    raise JarsUnavailable(
        f"Kafka's jar {jar.coordinate} cannot be downloaded ({type(failure).__name__});"
        " the first start needs a network connection (or a proxy in HTTPS_PROXY)."
    ) from failure


def resolve_closure() -> list[tuple[str, Path]]:
    """Every jar that ROOTS need at run time as (coordinate, downloaded file), for a new lock file."""
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=Path(tempfile.mkdtemp(prefix="jars-lock-")), timeout=TIMEOUT_S)
    left_out = [context.project(*LEFT_OUT)]
    inputs, transitive = context.resolver.resolve([context.create_dependency(root, left_out) for root in ROOTS])
    artifacts = [dependency.artifact for dependency in (*inputs, *transitive)]
    artifacts.append(context.create_dependency(LOG_BINDING).artifact)
    return [(f"{a.groupId}:{a.artifactId}:{a.version}", a.resolve()) for a in artifacts]


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
) -> list[Path]:
    """The paths of all locked jars, fetching what is missing; a full cache costs a few milliseconds.

    A jar is hashed when it was fetched and whenever its size or time of change differ from then. A damaged one is
    fetched again, once. `progress(done, total, name)` is called after each jar that had to be fetched or hashed.
    Raises JarsUnavailable without network, CorruptJar when the second download is wrong too.
    """
    cache = cache or cache_folder()
    jars = read_lock() if locked is None else tuple(locked)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        checked = _read_checked(cache)
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
