"""The campaign's check notices what it is there to notice."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from domain.credits.commands import Debit, Grant
from domain.registry import SCRIP
from infra.position import format_position
from infra.settings import Settings
from infra.writer.submission import Outcome, Submission
from infra.writer.writer import Writer
from tests.conftest import Database
from tests.faults import oracle
from tests.faults.history import FAIL, INFO, OK, History, Operation, Told

ORG, ACCOUNT = "red", "user:u0:credits"
GRANT = Operation("grant", "credits-granted.v1", ORG, ACCOUNT, "k-grant", "/grants", {}, 100)
DEBIT = Operation("debit", "credits-debited.v1", ORG, ACCOUNT, "k-debit", "/debits", {}, 7)
REFUSED = Operation("debit", "credits-debited.v1", ORG, ACCOUNT, "k-refused", "/debits", {}, 999)


@pytest.fixture(scope="module")
def log(module_database: Database) -> oracle.Log:
    """A log in which two operations took effect and one was refused."""
    commands: dict[str, Any] = {
        "k-grant": Grant(address=ACCOUNT, grant_id="g", amount=100, source="purchase"),
        "k-debit": Debit(address=ACCOUNT, debit_id="d", amount=7),
        "k-refused": Debit(address=ACCOUNT, debit_id="e", amount=999),
    }
    with Writer(module_database.writer_uri, SCRIP) as writer:
        for key, command in commands.items():
            item = Submission(org=ORG, command=command, actor="test", caller="test", key=key)
            (found,) = writer.submit([item]).result(30)
            assert isinstance(found, Outcome)
    return oracle.Log(Settings(owner_url=SecretStr(module_database.owner_uri)))


def told(operation: Operation, state: str = OK, position: int | None = None) -> Told:
    answer = {} if position is None else {"position": format_position(position)}
    return Told(operation, state, 200, answer, 1)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with History(tmp_path / "history.jsonl") as running:
        for operation in (GRANT, DEBIT, REFUSED):
            running.invoke(operation)
        yield running


def test_what_is_right_is_accepted(log: oracle.Log, history: History) -> None:
    oracle._once(log, told(GRANT, position=1))
    oracle._once(log, told(DEBIT, position=2))
    oracle._once(log, told(DEBIT))
    oracle._once(log, told(REFUSED, FAIL))
    oracle._nothing_else(log, history)


@pytest.mark.parametrize(
    "wrong",
    [
        told(replace(DEBIT, key="k-lost")),
        told(replace(DEBIT, key="k-lost"), FAIL),
        told(DEBIT, FAIL),
        told(DEBIT, INFO),
        told(REFUSED),
        told(DEBIT, position=1),
        told(replace(DEBIT, amount=8)),
        told(replace(DEBIT, effect="credits-refunded.v1")),
    ],
    ids=[
        "lost",
        "no answer kept",
        "done but refused",
        "not definite",
        "refused but told done",
        "position",
        "amount",
        "effect",
    ],
)
def test_what_is_wrong_is_noticed(log: oracle.Log, wrong: Told) -> None:
    with pytest.raises(AssertionError):
        oracle._once(log, wrong)


def test_an_effect_that_came_twice_is_noticed(log: oracle.Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(log.effects, (ORG, DEBIT.key, DEBIT.effect), 2)
    with pytest.raises(AssertionError):
        oracle._once(log, told(DEBIT))


def test_an_event_that_nobody_asked_for_is_noticed(log: oracle.Log, history: History) -> None:
    del history.told[DEBIT.key]
    with pytest.raises(AssertionError):
        oracle._nothing_else(log, history)


def test_the_history_is_on_disk_before_anything_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    with History(file) as history:
        history.invoke(GRANT)
        assert '"type": "invoke"' in file.read_text()
        assert GRANT.key in file.read_text()
