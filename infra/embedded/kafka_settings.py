"""The configuration of the embedded broker, written anew at each start."""

from __future__ import annotations

import string
from pathlib import Path

from infra.embedded.errors import ServerUnavailable
from infra.embedded.ports import LOOPBACK
from infra.log_files import LogBounds

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


def broker_settings(data: Path, port: int, controller_port: int, advertised: str) -> str:
    """The text of `server.properties`; `advertised` is the HOST:PORT that clients are told to use."""
    return _FIXED + (
        f"node.id={NODE_ID}\n"
        f"controller.quorum.voters={NODE_ID}@{LOOPBACK}:{controller_port}\n"
        f"listeners=PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}\n"
        f"advertised.listeners=PLAINTEXT://{advertised}\n"
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
