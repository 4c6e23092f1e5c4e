"""The journal's file: what a crash leaves in it, and who may use it."""

import json
from pathlib import Path

import pytest
from scrip_client import JournalError
from scrip_client.journal import Journal
from scrip_client.settling import Report


def report(id_: str, key: str, *, final: bool = True) -> Report:
    return Report(id_, key, "confirm", {} if final else {"final": False})


def reopened(path: Path) -> dict[str, list[str]]:
    """What is left for the next start: keys of settlements by generation."""
    journal = Journal(path)
    left = {id_: list(owed.reports) for id_, owed in journal.left.items()}
    journal.close()
    return left


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "worker.journal"


def test_what_is_owed_is_there_at_the_next_start(path: Path) -> None:
    journal = Journal(path)
    for id_ in ("never-settled", "unsent", "done", "given-back"):
        journal.opened(id_)
    journal.sending(report("unsent", "part", final=False))
    journal.sending(report("unsent", "first"))
    journal.sending(report("unsent", "second"))  # says something else, and the first was never sent
    journal.sending(report("done", "d"))
    journal.sent(report("done", "d"))
    journal.closed("given-back")
    assert journal.left == {}  # what runs now is nobody's business
    journal.close()
    assert reopened(path) == {"never-settled": [], "unsent": ["part", "second"]}
    assert reopened(path) == {"never-settled": [], "unsent": ["part", "second"]}


def test_every_announcement_is_on_the_disk_before_it_returns(path: Path) -> None:
    journal = Journal(path)
    journal.opened("g")
    assert json.loads(path.read_bytes()) == {"open": "g"}
    journal.sending(report("g", "k"))
    assert json.loads(path.read_bytes().splitlines()[1])["send"]["key"] == "k"
    journal.close()


@pytest.mark.parametrize("half", [b'{"send": {"generation_id": "g", "k', b"\x00\x00\x00", b"[1, 2", b'{"send": {}}\n'])
def test_half_a_line_is_passed_over(path: Path, half: bytes, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(path)
    journal.opened("g")
    journal.close()
    with path.open("ab") as file:
        file.write(half)
    assert reopened(path) == {"g": []}
    assert "cannot be read" in caplog.text
    journal = Journal(path)
    journal.sending(report("g", "k"))
    journal.close()
    assert reopened(path) == {"g": ["k"]}


def test_lines_of_a_newer_client_are_no_fault(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"hello": 1}\n{"open": "g"}\n7\n')
    assert reopened(path) == {"g": []}


def test_one_client_at_a_time(path: Path) -> None:
    first = Journal(path)
    with pytest.raises(JournalError, match="is in use"):
        Journal(path)
    first.close()
    first.close()
    Journal(path).close()


def test_it_does_not_grow_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scrip_client.journal.MAX_DEAD_LINES", 6)
    journal = Journal(path)
    journal.opened("stays")
    for number in range(10):
        journal.opened(f"g{number}")
        journal.closed(f"g{number}")
    journal.close()
    assert path.read_bytes().count(b"\n") <= 8
    assert reopened(path) == {"stays": []}


def test_others_may_not_read_it(path: Path) -> None:
    Journal(path).close()
    assert path.stat().st_mode & 0o077 == 0
