"""Processes of `scrip up` that hang: each is ended and started again; commands go on, nothing is lost or doubled."""

import re
import signal
import threading
from collections.abc import Iterator
from itertools import count
from typing import Self

import httpx
import psutil
import pytest

from cli.service.signs import kafka_answers
from tests.cli.running import Up
from tests.waiting import ENOUGH_S, wait_until

HUNG_AFTER_S = 2
AGAIN_S = 30.0  # seconds until a role serves again after it was ended, at most
ACCOUNT = "user:ann:credits"
ORG = "hung"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    service = Up(tmp_path_factory.mktemp("hung") / "data", SCRIP_HUNG_AFTER_S=str(HUNG_AFTER_S)).await_ready()
    yield service
    service.terminate()


class Commands:
    """Grants of one credit each, one after another, each sent until it is acknowledged."""

    def __init__(self, up: Up) -> None:
        self.acknowledged = 0
        self._up = up
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(ENOUGH_S)

    def go_on(self) -> None:
        """Wait until more of them are acknowledged."""
        before = self.acknowledged
        wait_until(lambda: self.acknowledged > before + 3, 60, "commands are acknowledged")

    def _run(self) -> None:
        with self._up.client(ORG) as client:
            client.timeout = httpx.Timeout(2.0)
            for number in count():
                while not self._over.wait(0.02):
                    if self._sent(client, number):
                        self.acknowledged += 1
                        break
                else:
                    return

    def _sent(self, client: httpx.Client, number: int) -> bool:
        try:
            answer = client.post(
                f"/api/v1/accounts/{ACCOUNT}/grants",
                json={"amount": 1, "source": "purchase"},
                headers={"Idempotency-Key": f"grant-{number}"},
            )
        except httpx.HTTPError:
            return False
        return answer.status_code in (200, 201)


def stopped(up: Up, *names: str) -> dict[str, psutil.Process]:
    """Processes by name that are stopped now."""
    found = {name: process for name, process in up.processes().items() if name in names}
    assert found.keys() == set(names)
    for process in found.values():
        process.send_signal(signal.SIGSTOP)
    return found


def replaced(up: Up, before: dict[str, psutil.Process]) -> bool:
    now = up.processes()
    notes = [up.data / "run" / f"{name.removeprefix('role-')}.ready" for name in before if name.startswith("role-")]
    return all(now.get(name) not in (None, process) for name, process in before.items()) and all(
        note.exists() for note in notes
    )


def said(up: Up, name: str) -> bool:
    sentence = re.compile(rf"the {name} gave no sign of life for \d+ s; it was ended and is started again: ")
    return any(sentence.search(line) for line in up.errors)


def test_whatever_hangs_is_replaced_and_nothing_is_lost_or_doubled(up: Up) -> None:
    with Commands(up) as commands:
        commands.go_on()
        for names in (("relay",), ("projector", "intake", "sweeper", "notifier")):
            hanging = stopped(up, *(f"role-{name}" for name in names))
            commands.go_on()
            wait_until(lambda before=hanging: replaced(up, before), HUNG_AFTER_S + AGAIN_S, f"{names} again")  # type: ignore[misc]
            assert all(said(up, name) for name in names), up.errors
            commands.go_on()
        hanging = stopped(up, "role-api")
        wait_until(lambda: replaced(up, hanging), HUNG_AFTER_S + AGAIN_S, "the API again")
        assert said(up, "api")
        commands.go_on()
        servers = stopped(up, "postgres", "kafka")
        wait_until(lambda: replaced(up, servers), 3 * HUNG_AFTER_S + 60, "the servers again")
        told = " ".join(up.errors)
        for name in ("PostgreSQL", "Kafka"):
            assert re.search(rf"{name} has not answered for \d+ s; it is ended, to be started again", told)
        wait_until(lambda: kafka_answers(int(up.said("kafka").rpartition(":")[2])), 60, "Kafka answers")
        commands.go_on()
    assert up.json("balance", ACCOUNT, "--org", ORG)["granted"] == commands.acknowledged
    assert up.json("verify")["ok"] is True  # the topic holds what the log holds, too
    found = {finding["seen"].split(" ")[0] for finding in doctor(up) if finding["code"] == "role-hung"}
    assert found == {"Kafka", "PostgreSQL", "api", "intake", "notifier", "projector", "relay", "sweeper"}


def doctor(up: Up) -> list[dict[str, str]]:
    findings: list[dict[str, str]] = up.json("doctor")["findings"]
    return findings


def test_a_supervisor_that_was_stopped_ends_nobody(up: Up) -> None:
    before = up.processes()
    supervisor = psutil.Process(up.process.pid)
    supervisor.send_signal(signal.SIGSTOP)
    threading.Event().wait(HUNG_AFTER_S * 1.5)
    supervisor.send_signal(signal.SIGCONT)
    looks = supervisor.num_ctx_switches().voluntary
    wait_until(lambda: supervisor.num_ctx_switches().voluntary > looks + 20, 30, "it has looked again")
    assert up.processes() == before
