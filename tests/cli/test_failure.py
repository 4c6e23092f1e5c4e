"""Expected errors are one sentence; a bug keeps its traceback."""

import errno
import importlib
import os

import psycopg
import pytest
from aiokafka.errors import KafkaConnectionError

from cli.failure import SENTENCES, Failure, sentence
from infra.embedded.errors import PortInUse, ServerUnavailable
from infra.postgres.selfcheck import UnsafeSetting

FULL = os.strerror(errno.ENOSPC)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Failure("it is so"), "it is so"),
        (PortInUse(80), "Port 80 on 127.0.0.1 is already in use"),
        (OSError(errno.ENOSPC, FULL, "/data/x"), "The disk is full (/data/x); make room and start again."),
        (ServerUnavailable(f"initdb failed: could not write: {FULL}"), "The disk is full; make room and start again."),
        (psycopg.errors.DiskFull("no"), "The disk is full; make room and start again."),
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "x.csv"), "No such file or directory (x.csv)."),
        (psycopg.OperationalError("connection\nrefused"), "PostgreSQL does not answer: connection refused"),
        (KafkaConnectionError("no broker"), "Kafka does not answer: "),
        (UnsafeSetting("PostgreSQL", "fsync", "off", "on"), "PostgreSQL: fsync is off, but must be on"),
    ],
)
def test_what_can_be_expected_is_one_sentence(error: Exception, said: str) -> None:
    text = sentence(error)
    assert text is not None
    assert text.startswith(said)
    assert "\n" not in text


@pytest.mark.parametrize("name", sorted(SENTENCES))
def test_each_name_is_that_of_an_exception(name: str) -> None:
    module, _, cls = name.rpartition(".")
    assert issubclass(getattr(importlib.import_module(module), cls), Exception)


def test_a_bug_is_not_explained_away() -> None:
    assert sentence(KeyError("x")) is None
    assert sentence(RuntimeError("x")) is None
