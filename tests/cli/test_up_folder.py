"""The data folder of a service that runs: a copy serves beside it and leaves it alone, and its logs stay small."""

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from infra.embedded.folder import read_running
from tests.cli.running import Up, gone
from tests.cli.test_up import ACCOUNT, grant
from tests.waiting import ENOUGH_S, wait_until

ORG = "copied"
LINES = 40  # a minute of each kind
ADDRESSES = ("kafka", "postgres", "ready")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    variables = {
        "SCRIP_LOG_FILE_BYTES": "65536",
        "SCRIP_LOG_FILES": "3",
        "SCRIP_LOG_LINES_PER_MINUTE": str(LINES),
        "SCRIP_FAILED_LOGINS": "0",  # or guesses are turned away before they are logged
    }
    service = Up(tmp_path_factory.mktemp("original") / "data", **variables).await_ready()
    yield service
    service.terminate()


def available(up: Up) -> int:
    """What a command on the folder says."""
    return int(up.json("balance", ACCOUNT, "--org", ORG)["available"])


def test_a_copy_serves_beside_its_original(original: Up, tmp_path: Path) -> None:
    grant(original, ORG, ACCOUNT, 100)
    assert original.json("verify")["ok"] is True  # all is in the topic and the read models, so also in the copy
    before = original.processes()
    place = tmp_path / "copy"
    subprocess.run(["cp", "-a", original.data, place], check=True, timeout=ENOUGH_S)

    copy = Up(place)
    try:
        wait_until(lambda: read_running(place) is not None, 30, "it has begun")
        assert available(copy) == 100  # waits for the copy, and does not ask the original
        copy.await_ready()
        assert any("belongs to another folder, of which this one is a copy" in line for line in copy.errors)
        assert any("run `scrip verify` on it" in line for line in copy.errors)
        assert {copy.said(word) for word in ADDRESSES}.isdisjoint(original.said(word) for word in ADDRESSES)
        grant(original, ORG, ACCOUNT, 11)
        grant(copy, ORG, ACCOUNT, 5)
        assert (available(original), available(copy)) == (111, 105)
        assert copy.json("verify")["ok"] is True
        family = copy.family()
    finally:
        copy.terminate()
    assert gone(family)
    assert original.processes() == before
    assert not any("has ended" in line for line in original.errors)
    assert original.json("verify")["ok"] is True


def test_a_caller_cannot_fill_the_logs(original: Up) -> None:
    host, port = original.url.removeprefix("http://").split(":")
    for _ in range(LINES * 3):
        with socket.create_connection((host, int(port)), ENOUGH_S) as line:
            line.sendall(b"NOT HTTP\r\n\r\n")
            assert line.recv(100).startswith(b"HTTP/1.1 400")
    with httpx.Client(base_url=original.url, headers={"Authorization": "Bearer guessed"}, trust_env=False) as client:
        for _ in range(LINES * 3):
            assert client.get(f"/api/v1/accounts/{ACCOUNT}/balance").status_code == 401
    logs = original.data / "logs"

    def lines(beginning: str) -> list[dict[str, object]]:
        text = "".join(file.read_text() for file in logs.glob("api.log*"))
        told = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return [line for line in told if str(line["event"]).startswith(beginning)]

    assert len(lines("A request could not be read")) == LINES
    assert len([line for line in lines("denied") if line["status"] == 401]) == LINES
    original.processes()["role-api"].terminate()
    wait_until(lambda: len(lines("lines were left out")) == 2, 30, "the count of what was left out")
    assert [line["count"] for line in lines("lines were left out")] == [LINES * 2, LINES * 2]
    assert all(file.stat().st_size <= 65_536 for file in logs.glob("api.log*"))
