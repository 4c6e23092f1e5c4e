"""What the tests of the embedded servers share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from infra.embedded import DataFolder, EmbeddedKafka, EmbeddedPostgres
from tests.waiting import patient

LOG_BYTES = 65_536  # of each log file of the servers below
WaitUntil = Callable[[Callable[[], bool], float], None]


def is_running(pid: int) -> bool:
    """Whether a process exists and is more than a zombie that nobody waited for."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="session")
def wait_until() -> WaitUntil:
    """Wait until a condition holds, or fail at a deadline in seconds."""

    def wait(condition: Callable[[], bool], deadline_s: float) -> None:
        deadline = time.monotonic() + patient(deadline_s)
        while not condition():
            assert time.monotonic() < deadline, f"not so within {deadline_s} s"
            time.sleep(0.01)

    return wait


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    """A data folder of its own."""
    with DataFolder(tmp_path / "data") as data:
        yield data


@contextmanager
def small_logs() -> Iterator[None]:
    """Servers within write small log files, so that their bound is soon reached."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCRIP_LOG_FILE_BYTES", str(LOG_BYTES))
        yield


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A running PostgreSQL, one for the module; a test that stops it starts it again."""
    with small_logs(), DataFolder(tmp_path_factory.mktemp("postgres") / "data") as data:
        server = EmbeddedPostgres(data)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A running broker, one for the module; a test that stops it starts it again."""
    with small_logs(), DataFolder(tmp_path_factory.mktemp("kafka") / "data") as data:
        server = EmbeddedKafka(data)
        try:
            server.start()
            yield server
        finally:
            server.stop()
