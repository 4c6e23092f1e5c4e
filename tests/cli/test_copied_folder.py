"""A data folder copied while its service runs: the copy serves beside the original and touches nothing of it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.embedded.folder import read_running
from tests.cli.running import Up, gone
from tests.cli.test_up import ACCOUNT, grant
from tests.waiting import ENOUGH_S, wait_until

ORG = "copied"
ADDRESSES = ("kafka", "postgres", "ready")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    service = Up(tmp_path_factory.mktemp("original") / "data").await_ready()
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
