"""A writer that dies at every place around the commit: what it acknowledged is there, the rest becomes definite."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from domain.credits.events import CreditsDebited, ReservationExpired
from domain.kernel.work import SLICE
from domain.registry import SCRIP
from infra.log.mapper import LedgerMapper
from infra.writer import failpoints
from infra.writer.failpoints import ACTIONS, PLACES, FailpointHit, Fault, failpoint
from infra.writer.submission import Outcome
from infra.writer.writer import Writer
from tests.conftest import Database, move_clock
from tests.infra.writer.ledger_kit import (
    ALICE,
    accepted,
    account,
    check_log,
    code,
    debit,
    grant,
    replayed,
    reserve,
    results,
    same_account,
    submission,
    until,
)
from tests.waiting import ENOUGH_S

ROOT = Path(__file__).resolve().parents[2]
GRANTED = 100_000


class WriterProcess:
    """Sends debits to a writer in another process."""

    def __init__(self, database: Database, org: str, faults: str = "") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.writer_process", database.writer_uri, org],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), failpoints.VARIABLE: faults},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def send(self, keys: list[str], amount: int = 1) -> None:
        """Hand in debits under these keys, without waiting."""
        assert self._process.stdin is not None
        asked = [{"address": ALICE, "key": key, "amount": amount} for key in keys]
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()

    def answers(self) -> list[dict[str, Any]] | None:
        """The next answers, or none where the process has died instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        found: list[dict[str, Any]] | None = json.loads(line) if line.endswith("\n") else None
        return found

    def kill(self) -> None:
        """Kill -9."""
        self._process.kill()
        self._process.wait(ENOUGH_S)

    def close(self) -> int:
        """End it and return its exit status."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        return self._process.wait(30)


def prepared(database: Database, org: str) -> None:
    with Writer(database.writer_uri, SCRIP) as writer:
        accepted(writer, grant(GRANTED), org=org)


def effects(database: Database, org: str) -> list[str]:
    """The keys whose debits are in the log, each as often as it took effect."""
    codec = LedgerMapper.of(SCRIP)
    return [
        codec.cause(event.data)
        for event in check_log(database.owner_uri)
        if event.org == org and isinstance(codec.decode(event.type, event.data), CreditsDebited)
    ]


def ended(database: Database, org: str) -> list[str]:
    """The holds that have expired, each as often as the log says so."""
    codec = LedgerMapper.of(SCRIP)
    decoded = (codec.decode(event.type, event.data) for event in check_log(database.owner_uri) if event.org == org)
    return [event.reservation_id for event in decoded if isinstance(event, ReservationExpired)]


def settle(database: Database, org: str, unknown: list[str]) -> list[Outcome]:
    """What another writer, which knows nothing of the one that died, says to the same keys."""
    with Writer(database.writer_uri, SCRIP) as writer:
        found = results(writer, *(submission(debit(key), key, org=org) for key in unknown))
    assert all(isinstance(answer, Outcome) for answer in found)
    return found


def check(database: Database, org: str, keys: list[str]) -> None:
    """Every key took effect exactly once, and the writer's state is that of the log."""
    assert sorted(effects(database, org)) == sorted(keys)
    with Writer(database.writer_uri, SCRIP) as writer:
        assert account(writer, org=org).available == GRANTED - len(keys)
        assert same_account(account(writer, org=org), replayed(database.owner_uri, org=org))


@pytest.mark.parametrize("size", [1, 450], ids=["one command", "a batch in three parts"])
@pytest.mark.parametrize("place", PLACES)
def test_killed_at_every_place(module_database: Database, place: str, size: int) -> None:
    org = f"killed-{place}-{size}"
    prepared(module_database, org)
    # A large batch is sent in parts: then it dies after the first.
    third = 3 if size == 1 or place in {failpoints.BEFORE_BEGIN, "before-commit", "commit-sent", "committed"} else 5
    process = WriterProcess(module_database, org, f"{place}=kill@{third}")
    acknowledged: list[str] = []
    unknown: list[str] = []
    for turn in range(10):
        keys = [f"{turn}-{number}" for number in range(size)]
        process.send(keys)
        answers = process.answers()
        if answers is None:
            unknown = keys
            break
        assert not any(answer["refused"] or answer["replayed"] for answer in answers)
        acknowledged += keys
    assert unknown, "it did not die"
    assert process.close() == -9
    assert set(acknowledged) <= set(effects(module_database, org))
    settled = settle(module_database, org, unknown)
    assert not any(answer.refusal for answer in settled)
    came_through = {answer.replayed for answer in settled}
    assert len(came_through) == 1  # all of the batch or nothing
    if place == failpoints.COMMITTED:
        assert came_through == {True}
    elif place != failpoints.COMMIT_SENT:
        assert came_through == {False}
    check(module_database, org, acknowledged + unknown)


@pytest.mark.parametrize(
    ("place", "written"),
    [(failpoints.BEFORE_COMMIT, {2}), (failpoints.COMMIT_SENT, {2, 3}), (failpoints.COMMITTED, {3})],
)
def test_killed_between_the_slices_of_what_is_due(module_database: Database, place: str, written: set[int]) -> None:
    """What was written stays, another writer goes on where it stopped, and no hold ends twice."""
    org = f"slices-{place}"
    prepared(module_database, org)
    holds = [f"r-{number}" for number in range(5 * SLICE)]
    with Writer(module_database.writer_uri, SCRIP) as writer:
        asked = [submission(reserve(name, ttl_s=60), org=org) for name in holds]
        assert {code(found) for found in results(writer, *asked)} == {None}
    move_clock(module_database, "61 seconds")
    process = WriterProcess(module_database, org, f"{place}=kill@3")
    process.send(["d-1"])
    assert process.answers() is None
    assert process.close() == -9
    assert len(ended(module_database, org)) in {SLICE * slices for slices in written}
    (answer,) = settle(module_database, org, ["d-1"])
    assert (answer.refusal, answer.replayed) == (None, False)
    assert sorted(ended(module_database, org)) == sorted(holds)
    check(module_database, org, ["d-1"])


def test_killed_when_the_commit_went_through_and_the_reply_was_unread(module_database: Database) -> None:
    org = "unread"
    prepared(module_database, org)
    process = WriterProcess(module_database, org, f"{failpoints.COMMIT_SENT}=hang@2")
    process.send(["first"])
    assert process.answers()
    process.send(["second"])
    until(lambda: "second" in effects(module_database, org), "the commit has gone through")
    process.kill()
    assert process.answers() is None
    process.close()
    (answer,) = settle(module_database, org, ["second"])
    assert answer.replayed
    check(module_database, org, ["first", "second"])


@pytest.mark.parametrize("place", PLACES)
def test_another_writer_answers_while_one_stands_still(module_database: Database, place: str) -> None:
    """The one that stands still may hold the lock; when it is killed, the other goes on at once."""
    org = f"hung-{place}"
    prepared(module_database, org)
    process = WriterProcess(module_database, org, f"{place}=hang@2")
    process.send(["first"])
    assert process.answers()
    process.send(["second"])
    with Writer(module_database.writer_uri, SCRIP) as writer:
        waiting = writer.submit([submission(debit(key), key, org=org) for key in ("second", "third")])
        process.kill()
        assert [code(answer) for answer in waiting.result(30)] == [None, None]
    process.close()
    check(module_database, org, ["first", "second", "third"])


def test_nothing_happens_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failpoints.FAULTS == {}
    for place in PLACES:
        failpoint(place)
    monkeypatch.setitem(failpoints.FAULTS, failpoints.COMMITTED, Fault("raise", 2))
    failpoint(failpoints.COMMITTED)
    failpoint(failpoints.COMMIT_SENT)
    with pytest.raises(FailpointHit, match="committed"):
        failpoint(failpoints.COMMITTED)
    failpoint(failpoints.COMMITTED)  # once is enough


def test_what_is_asked_for_is_read_strictly() -> None:
    assert failpoints.parse("") == {}
    asked = ",".join(f"{place}={action}@{index + 1}" for index, (place, action) in enumerate(zip(PLACES, ACTIONS * 2)))  # noqa: B905
    assert failpoints.parse(asked)["keys-sent"] == Fault("hang", 3)
    for wrong in ("nowhere=kill", "committed=vanish", "committed", "committed=kill@often"):
        with pytest.raises(ValueError, match=r"PLACE=ACTION|invalid literal"):
            failpoints.parse(wrong)
