"""An embedded Apache Kafka: one node, broker and controller in one process, without ZooKeeper."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from infra.embedded.errors import ServerUnavailable
from infra.embedded.folder import DataFolder, write_private
from infra.embedded.identity import stop_leftover
from infra.embedded.jars import Progress, ensure_jars
from infra.embedded.kafka_settings import broker_settings
from infra.embedded.kafka_tools import broker_answers, class_cache, format_storage, java_command, run_kafka_tool
from infra.embedded.ports import LOOPBACK, PortLost, choose_port, free_port, require_free
from infra.embedded.process import ChildProcess

START_DEADLINE_S = 120.0
POLL_S = 0.02
NAME = "kafka"


class EmbeddedKafka:
    """A broker with its data in `folder`/kafka, plain text on 127.0.0.1."""

    def __init__(
        self,
        folder: DataFolder,
        *,
        advertised: str | None = None,
        progress: Progress | None = None,
        java_options: Sequence[str] = (),
    ) -> None:
        """Nothing happens before `start`.

        `advertised` is a HOST:PORT that clients are told to use in place of the broker's own, for a
        proxy in between. `progress(done, total, jar)` reports downloads. `java_options` are for the broker.
        """
        self._folder = folder
        self._advertised = advertised
        self._progress = progress
        self._java_options = java_options
        self._data = folder.path / "kafka"
        self._child: ChildProcess | None = None
        self._port: int | None = None

    @property
    def bootstrap(self) -> str:
        """The broker's own HOST:PORT (not the advertised one); ServerUnavailable before the first `start`."""
        if self._port is None:
            raise ServerUnavailable("Kafka was not started yet.")
        return f"{LOOPBACK}:{self._port}"

    @property
    def pid(self) -> int | None:
        """The broker's process, or None if it does not run."""
        child = self._child
        return child.identity.pid if child and child.alive else None

    def start(self, port: int | None = None) -> str:
        """Start on `port` (None: the last one, else a free one) and return `bootstrap` once it answers.

        Raises PortInUse, JarsUnavailable, CorruptJar, or ServerUnavailable with the broker's last words.
        """
        if self.pid is not None:
            return self.bootstrap
        jars = ensure_jars(self._progress)
        stop_leftover(self._folder.process(NAME), signal.SIGTERM)
        if port:
            require_free(port)  # known before the slower steps
        format_storage(self._folder, jars, self._data)
        for attempts_left in (2, 1, 0):
            self._port = choose_port(port, self._port)
            try:
                self._run(self._port, jars)
                break
            except PortLost:
                # Perhaps the controller's port, which is always a free one: worth another try.
                if not attempts_left:
                    raise
        self._folder.record_address(NAME, self.bootstrap)
        return self.bootstrap

    def stop(self, within_s: float = 20.0) -> None:
        """Stop cleanly, so that the next start has no log to recover. Nothing happens if it does not run."""
        self._end((signal.SIGTERM, within_s))

    def kill(self) -> None:
        """Kill -9 and return when the process is gone, as after a crash."""
        self._end()

    def run_tool(self, main_class: str, arguments: Sequence[str], timeout_s: float = 60.0) -> str:
        """Run one of Kafka's own tools (e.g. `org.apache.kafka.tools.AclCommand`) and return what it printed.

        Raises ServerUnavailable with its last lines if it fails.
        """
        return run_kafka_tool(self._folder, ensure_jars(self._progress), main_class, arguments, timeout_s)

    def _end(self, *steps: tuple[signal.Signals, float]) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.stop(*steps)
        self._folder.record_process(NAME, None)
        self._folder.record_address(NAME, None)

    def _run(self, port: int, jars: Sequence[Path]) -> None:
        settings = self._folder.path / "kafka.properties"
        advertised = self._advertised or f"{LOOPBACK}:{port}"
        write_private(settings, broker_settings(self._data, port, free_port(), advertised))
        log = self._folder.subfolder("logs") / "kafka.log"
        child = ChildProcess(
            [*java_command(self._folder, jars, self._java_options, log), "kafka.Kafka", str(settings)],
            marker=str(settings),
            log=log,
            # An orderly stop can outlast the five seconds allowed; the log is recovered at the next start.
            death_signal=signal.SIGKILL,
        )
        self._child = child
        self._folder.record_process(NAME, child.identity)
        deadline = time.monotonic() + START_DEADLINE_S
        while not broker_answers(port):
            alive = child.alive
            if alive and time.monotonic() < deadline:
                time.sleep(POLL_S)
                continue
            self._end((signal.SIGTERM, 5.0))
            last = child.last_words(30)
            if "BindException" in last or "Address already in use" in last:
                raise PortLost(f"Kafka cannot listen on port {port} or its controller's: {last[-500:]}")
            late = f" within {START_DEADLINE_S:.0f} s" if alive else ""
            raise ServerUnavailable(f"Kafka does not start{late}: {last[-1000:]}")


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
            new.replace(final)  # complete or not there, whoever else makes it
    finally:
        new.unlink(missing_ok=True)
