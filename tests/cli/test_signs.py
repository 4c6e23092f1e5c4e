"""Signs of life: who gives none is ended, who is only not heard is not."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cli.service import role_process, signs
from cli.service.role_process import RoleProcess
from cli.service.signs import (
    LONGEST_STEP_S,
    Asked,
    Silence,
    api_answers,
    forget_hangs,
    hung,
    kafka_answers,
    postgres_answers,
)
from domain.registry import SCRIP
from infra import pulse
from infra.embedded import DataFolder, EmbeddedServers
from infra.writer.batch import Batch
from infra.writer.writer import Writer
from tests.cli.program import ROOT
from tests.conftest import Database
from tests.infra.writer.ledger_kit import accepted, grant
from tests.waiting import wait_until

# Gives signs of life until `blocks` is there; then its event loop stands still.
ROLE = f"""
import asyncio, os, sys, threading
sys.path.insert(0, {str(ROOT)!r})
from infra import pulse
pulse.EVERY_S = 0.05
HERE = os.path.dirname(os.path.abspath(__file__))
async def main():
    beating = asyncio.create_task(pulse.beat(int(sys.argv[-1])))
    while not os.path.exists(HERE + "/blocks"):
        await asyncio.sleep(0.02)
    os.unlink(HERE + "/blocks")
    threading.Event().wait()
asyncio.run(main())
"""


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("cli.service.signs.time", made)
    return made


def test_silence_is_what_passed_while_somebody_listened(clock: Clock) -> None:
    silence = Silence()
    assert silence.look(heard=False) == 0
    for passed in (0.5, 1.0):
        clock.now += 0.5
        assert silence.look(heard=False) == passed
    clock.now += 0.5
    assert silence.look(heard=True) == 0
    clock.now += 3_600  # the machine slept, or we were stopped
    assert silence.look(heard=False) == LONGEST_STEP_S
    clock.now += 0.25
    assert silence.look(heard=False) == LONGEST_STEP_S + 0.25


@pytest.fixture
def role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RoleProcess]:
    """A role that says that it lives, until it is told to block; its limit is a second."""
    program = tmp_path / "program" / "role.py"
    program.parent.mkdir()
    program.write_text(ROLE)
    monkeypatch.setattr(role_process, "PROGRAM", program)
    with DataFolder(tmp_path / "data") as folder:
        made = RoleProcess(folder, "relay", 1.0)
        made.start()
        yield made
        made.ask_to_stop()
        made.stop(0.1)


def tended_until(role: RoleProcess, true: Callable[[str | None], bool], what: str) -> str:
    """Tend a role until that says something."""
    told: list[str] = []

    def look() -> bool:
        said = role.tend()
        told.append(said or "")
        return true(said)

    wait_until(look, 60, what)
    return told[-1]


def test_a_role_with_a_blocked_event_loop_is_ended_and_started_again(role: RoleProcess, tmp_path: Path) -> None:
    first = role.pid
    tended_until(role, lambda _: role._pulse is not None and role._pulse.begun, "it has given a sign")
    (tmp_path / "program" / "blocks").touch()
    told = tended_until(role, bool, "it is found silent")
    assert told.startswith("the relay gave no sign of life for 1 s; it was ended and is started again: ")
    tended_until(role, lambda _: role.pid not in (None, first), "it runs again")
    tended_until(role, lambda _: role._pulse is not None and role._pulse.begun, "it gives signs again")
    ((name, times, _),) = hung(tmp_path / "data")
    assert (name, times) == ("relay", 1)
    forget_hangs(tmp_path / "data" / "run")
    assert hung(tmp_path / "data") == []


def test_a_role_that_was_not_heard_because_nobody_listened_is_left_alone(role: RoleProcess, clock: Clock) -> None:
    first = role.pid
    for _ in range(5):
        clock.now += 3_600
        assert role.tend() is None
        wait_until(lambda: role.tend() is None and role._silence._seconds == 0, 60, "it is heard")
    assert role.pid == first


def test_a_role_that_hangs_before_its_first_sign_has_longer(
    role: RoleProcess, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = role._child
    assert child is not None
    os.kill(child.identity.pid, signal.SIGSTOP)
    assert role._pulse is not None
    role._pulse.heard()
    role._pulse.begun = False
    monkeypatch.setattr(role_process, "FIRST_SIGN_S", 3.0)
    for _ in range(4):
        clock.now += 1
        assert role.tend() is None
    clock.now += 1
    assert "gave no sign of life for 4 s" in str(role.tend())


def test_a_thread_that_stands_still_is_a_sign_withheld(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "EVERY_S", 0.01)
    goes_on = threading.Event()
    run = Batch.run

    def stands(batch: Batch, *given: Any) -> Any:
        goes_on.wait(60)
        return run(batch, *given)

    async def beats(reader: int, seconds: float) -> bool:
        """Whether a sign of life comes within so many seconds."""
        beating = asyncio.create_task(pulse.beat(writer_end))
        try:
            for _ in range(int(seconds / 0.02)):
                await asyncio.sleep(0.02)
                try:
                    return bool(os.read(reader, 100))
                except BlockingIOError:
                    continue
            return False
        finally:
            beating.cancel()

    reader_end, writer_end = os.pipe()
    os.set_blocking(reader_end, False)
    try:
        with Writer(database.writer_uri, SCRIP) as writer:
            accepted(writer, grant(10))
            wait_until(lambda: writer.still_s() == 0, 20, "it waits for work")
            assert asyncio.run(beats(reader_end, 20))
            monkeypatch.setattr(Batch, "run", stands)
            monkeypatch.setattr(pulse, "THREAD_S", 0.1)
            answer = threading.Thread(target=accepted, args=(writer, grant(10)))
            answer.start()
            wait_until(pulse.hangs, 20, "it is noticed")
            assert not asyncio.run(beats(reader_end, 0.2))
            goes_on.set()
            answer.join(60)
            wait_until(lambda: not pulse.hangs(), 20, "it goes on")
            assert asyncio.run(beats(reader_end, 20))
    finally:
        os.close(reader_end)
        os.close(writer_end)


def test_a_server_that_answers_no_more_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signs, "EVERY_S", 0.02)
    answers = threading.Event()
    answers.set()
    with subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"]) as server:
        watched = Asked("Kafka", lambda: server.pid, answers.is_set, 0.5)
        try:
            silence: list[str] = []

            def look() -> bool:
                silence.extend(filter(None, [watched.look()]))
                return bool(silence)

            for _ in range(20):
                before = watched._answers
                wait_until(lambda before=before: watched._answers > before, 20, "it is asked")  # type: ignore[misc]
                assert not look()
            answers.clear()
            wait_until(look, 20, "it is found silent")
            assert silence == ["Kafka has not answered for 1 s; it is ended, to be started again"]
            assert server.wait(20) == -signal.SIGKILL
        finally:
            watched.stop()
            server.kill()


def test_a_server_that_has_not_answered_yet_may_take_its_time(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a start may take is for whoever starts it to say."""
    monkeypatch.setattr(signs, "EVERY_S", 0.01)
    pids, answers = [1], threading.Event()
    asked: list[bool] = []

    def ask() -> bool:
        asked.append(answers.is_set())
        return asked[-1]

    watched = Asked("Kafka", lambda: pids[-1], ask, 0.5)
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, _: killed.append(pid))

    def looks(count: int) -> None:
        for _ in range(count):
            clock.now += 1
            watched.look()

    try:
        looks(10)
        assert killed == []
        answers.set()
        wait_until(lambda: watched.look() is None and watched._silence is not None, 20, "it has answered")
        answers.clear()
        wait_until(lambda: asked[-2:] == [False, False], 20, "the last answer is counted")
        watched.look()
        pids.append(2)  # it was started anew
        looks(10)
        assert killed == []
    finally:
        watched.stop()


@pytest.mark.parametrize("ask", [postgres_answers, kafka_answers, api_answers])
def test_this_process_goes_on_while_it_asks_one_that_hangs(
    ask: Callable[[int], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it stood still meanwhile, it could not count for how long the other one is silent."""
    monkeypatch.setattr(signs, "ANSWER_S", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asked = threading.Thread(target=ask, args=(silent.getsockname()[1],))
        asked.start()
        turns = 0
        while asked.is_alive():
            time.sleep(0.01)
            turns += 1
    assert turns > 20


def test_what_answers_and_what_does_not(servers: EmbeddedServers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signs, "ANSWER_S", 2.0)
    port = int(psycopg.conninfo.conninfo_to_dict(servers.postgres_uri)["port"] or 0)
    assert postgres_answers(port)
    assert kafka_answers(int(servers.kafka_bootstrap.rpartition(":")[2]))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hangs = silent.getsockname()[1]
        assert not postgres_answers(hangs)
        assert not kafka_answers(hangs)
        assert not api_answers(hangs)
    with socket.create_server(("127.0.0.1", 0)) as turns_away:

        def turn_away() -> None:
            turns_away.accept()[0].close()

        turning_away = threading.Thread(target=turn_away)
        turning_away.start()
        assert api_answers(turns_away.getsockname()[1]), "the end of a connection is an answer"
        turning_away.join(20)
    assert not api_answers(hangs)
