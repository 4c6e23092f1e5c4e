"""A read model that only this test knows: its declaration in the list is all that is needed."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from consumers.rebuild import rebuild_from
from domain.credits.events import CreditsDebited, ReservationCaptured
from domain.registry import SCRIP
from infra.log.mapper import LedgerMapper
from projections import READ_MODELS
from projections.facts import Fact
from projections.read_model import Due, Index, ReadModel, State
from projections.runner import Runner
from projections.versions import ensure, shape
from tests.conftest import Database
from tests.projections.folding import apply
from tests.projections.log_builder import LogBuilder, busy, write

LOG = busy(LogBuilder(), 800, seed=2).events
CHARGES = (CreditsDebited, ReservationCaptured)


@dataclass(slots=True)
class SpentRow:
    """What each account was ever charged. `spent` is in whole credits."""

    org: str
    address: str
    spent: int
    first_at: datetime | None


def fold(state: State, fact: Fact) -> None:
    rows, key = state.rows(SPENT), (fact.org, fact.id)
    row = rows.get(key) or SpentRow(*key, 0, fact.time)
    row.spent += fact.event.amount
    rows.put(key, row)


SPENT: ReadModel[SpentRow] = ReadModel(
    name="spent",
    row=SpentRow,
    key=("org", "address"),
    events={"account": CHARGES},
    fold=fold,
    needs=lambda needed, fact: needed.row(SPENT, (fact.org, fact.id)),
    stream="'account/' || address",
    due=(Due("first_at", "spent > 0"),),
    indexes=(Index("org, spent desc"),),
)
MODELS = (*READ_MODELS, SPENT)


def rows(uri: str, org: str = "") -> list[tuple[Any, ...]]:
    """What a login sees of it."""
    with psycopg.connect(uri) as connection:
        connection.execute("select set_config('scrip.org', %s, true)", (org,))
        return connection.execute("select * from read.spent order by org, address").fetchall()


def test_it_is_made_filled_and_shown(database: Database) -> None:
    uri, decode = database.projector_uri, LedgerMapper.of(SCRIP).decode
    half = len(LOG) // 2
    write(database.owner_uri, LOG[:half])
    assert ensure(uri, MODELS).shape != shape(MODELS), "the live read models are without it, and are built anew"
    assert rebuild_from(uri, models=MODELS).rows["spent"] > 0
    assert ensure(uri, MODELS) == (2, shape(MODELS))

    write(database.owner_uri, LOG[half:])
    runner = Runner(uri, decode, MODELS)
    assert apply(runner, LOG).events == len(LOG) - half
    runner.close()
    applied = rows(database.auditor_uri)
    spent: Counter[tuple[str, str]] = Counter()
    for event in LOG:
        fact = decode(event.type, event.data)
        if isinstance(fact, CHARGES):
            spent[event.org, event.stream.removeprefix("account/")] += fact.amount
    assert {(org, address): amount for org, address, amount, _ in applied} == spent
    rebuild_from(uri, models=MODELS)
    assert rows(database.auditor_uri) == applied

    assert rows(database.reader_uri, "org-1") == [row for row in applied if row[0] == "org-1"] != []
    with psycopg.connect(database.auditor_uri) as connection:
        told = connection.execute(
            "select obj_description(oid, 'pg_class'), col_description(oid, 3) from pg_class"
            " where oid = 'read.spent'::regclass"
        ).fetchone()
        assert told == (
            "What each account was ever charged. `spent` is in whole credits.",
            "`spent` is in whole credits.",
        )
        indexes = connection.execute("select indexdef from pg_indexes where tablename = 'spent'").fetchall()
    assert {text.partition(" USING btree ")[2] for (text,) in indexes} == {
        "(org, address)", "(org, spent DESC)", "(first_at) WHERE (spent > 0)",
    }  # fmt: skip
