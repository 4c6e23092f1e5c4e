"""PostgreSQL and Kafka run by Scrip itself, on a machine that has nothing but Python."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Self, TypeVar

from infra.embedded.errors import (
    CorruptJar,
    DataFolderInUse,
    JarsUnavailable,
    PortInUse,
    ServerUnavailable,
)
from infra.embedded.folder import DataFolder, Running, read_running
from infra.embedded.kafka import EmbeddedKafka
from infra.embedded.ports import require_free
from infra.embedded.postgres import EmbeddedPostgres

__all__ = [
    "CorruptJar",
    "DataFolder",
    "DataFolderInUse",
    "EmbeddedKafka",
    "EmbeddedPostgres",
    "EmbeddedServers",
    "JarsUnavailable",
    "PortInUse",
    "Running",
    "ServerUnavailable",
    "read_running",
]

Report = Callable[[str, int, int], None]
Part = TypeVar("Part")


class EmbeddedServers:
    """Both servers on one data folder: `with EmbeddedServers(DIR) as servers: ...`.

    On leaving the block, or when starting fails, everything that was started is stopped.
    """

    def __init__(
        self,
        data_dir: Path,
        kafka_port: int | None = None,
        progress: Report | None = None,
        *,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        """Nothing happens before `start`. `notice(sentence)` gets what a person should know of the folder.

        `kafka_port` defaults to a free one. `progress(what, done, total)` is called, from several threads but one
        at a time, with short texts for a person, e.g. ("fetching Kafka", 12, 53) or ("PostgreSQL is up", 1, 1).
        """
        self._data_dir = data_dir
        self._kafka_port = kafka_port
        self._progress = progress
        self._notice = notice
        self._one_at_a_time = threading.Lock()
        self._folder: DataFolder | None = None
        self._postgres: EmbeddedPostgres | None = None
        self._kafka: EmbeddedKafka | None = None

    def start(self) -> Self:
        """Take the folder and start both servers at once; raises ServerUnavailable or a kind of it."""
        self._folder = DataFolder(self._data_dir, self._notice)
        pool = ThreadPoolExecutor(2, thread_name_prefix="start")
        try:
            self._postgres = EmbeddedPostgres(self._folder)
            self._kafka = EmbeddedKafka(
                self._folder,
                progress=lambda done, total, _name: self._report("fetching Kafka", done, total),
            )
            if self._kafka_port:
                require_free(self._kafka_port)  # known before the slower steps
            both = [pool.submit(self._start_postgres), pool.submit(self._start_kafka)]
            wait(both, return_when=FIRST_EXCEPTION)
            for one in both:
                if one.done():
                    one.result()
        except BaseException:
            self._give_up()
            pool.shutdown(wait=True, cancel_futures=True)
            self._give_up()  # what came up in between
            self.stop()
            raise
        pool.shutdown(wait=True)
        return self

    def stop(self) -> None:
        """Stop Kafka, then PostgreSQL, and give the folder free; stopping twice is allowed."""
        if self._folder is None:
            return
        try:
            self._stop_servers()
        finally:
            self._folder.close()
            self._folder = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *raised: object) -> None:
        self.stop()

    @property
    def folder(self) -> DataFolder:
        """The data folder, to note further addresses in; ServerUnavailable while nothing is started."""
        return _started(self._folder)

    @property
    def postgres(self) -> EmbeddedPostgres:
        """The database server; ServerUnavailable before `start`."""
        return _started(self._postgres)

    @property
    def kafka(self) -> EmbeddedKafka:
        """The broker; ServerUnavailable before `start`."""
        return _started(self._kafka)

    @property
    def postgres_uri(self) -> str:
        """The superuser's URI."""
        return self.postgres.address

    @property
    def kafka_bootstrap(self) -> str:
        """HOST:PORT of the broker."""
        return self.kafka.address

    def _give_up(self) -> None:
        # No client was served yet, and a broker that is still starting takes half a minute for an orderly stop.
        if self._kafka is not None:
            self._kafka.kill()
        if self._postgres is not None:
            self._postgres.stop()

    def _stop_servers(self) -> None:
        try:
            if self._kafka is not None:
                self._kafka.stop()
        finally:
            if self._postgres is not None:
                self._postgres.stop()

    def _start_postgres(self) -> None:
        self.postgres.start()
        self._report("PostgreSQL is up", 1, 1)

    def _start_kafka(self) -> None:
        self.kafka.start(self._kafka_port)
        self._report("Kafka is up", 1, 1)

    def _report(self, what: str, done: int, total: int) -> None:
        if self._progress is not None:
            with self._one_at_a_time:
                self._progress(what, done, total)


def _started(part: Part | None) -> Part:
    if part is None:
        raise ServerUnavailable("The embedded servers are not started.")
    return part
