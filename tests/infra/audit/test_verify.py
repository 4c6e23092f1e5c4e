"""The whole audit over real servers: an honest deployment passes, each kind of loss or forgery has its section."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from domain.resources.table import RESOURCES
from infra.audit.generations import NoRule
from infra.audit.report import Report
from infra.audit.verify import verify
from infra.kafka.record import LedgerRecord, to_record
from infra.settings import Settings
from tests.conftest import Database
from tests.infra.audit.tampering import Audited, busy_log

NOWHERE = Settings(auditor_url=SecretStr("postgresql://127.0.0.1:9/x"), kafka="127.0.0.1:9")
SECTIONS = ["chain", "topic", "ledger", "read models"]


@pytest.fixture
def audited(database: Database, kafka: str, topic_prefix: str) -> Audited:
    """A log in a database; its topic and read models are for each test to make."""
    return Audited.of(database, busy_log(300), kafka, topic_prefix)


def run(audited: Audited, deadline_s: float = 20) -> Report:
    return asyncio.run(verify(audited.settings, RESOURCES.kinds, deadline_s=deadline_s))


def wrong(report: Report) -> dict[str, str]:
    return {section.name: section.difference.where for section in report.sections if section.difference}


def make(audited: Audited) -> Audited:
    audited.project()
    asyncio.run(audited.publish())
    return audited


def test_an_honest_deployment_has_no_difference(audited: Audited) -> None:
    seen: list[tuple[str, int, int]] = []
    make(audited)
    report = asyncio.run(verify(audited.settings, RESOURCES.kinds, lambda *step: seen.append(step)))
    assert wrong(report) == {}
    assert report.ok
    assert report.positions == audited.heads
    count = len(audited.log.events)
    assert [section.name for section in report.sections] == SECTIONS
    chain, topic, ledger, models = (section.checked for section in report.sections)
    assert chain["events"] == topic["records"] == ledger["events"] == count
    assert models["balances"] == len(list(audited.log.accounts()))
    assert {name for name, _, _ in seen} >= {"topic"}
    assert all(0 < done <= total == count for _, done, total in seen)


def test_the_report_is_plain_values(audited: Audited) -> None:
    found = run(make(audited)).as_json()
    assert found["ok"] is True
    assert [section["name"] for section in found["sections"]] == SECTIONS
    assert "first_difference" not in found["sections"][0]


def test_an_empty_deployment_has_no_difference(database: Database, kafka: str, topic_prefix: str) -> None:
    audited = Audited.of(database, busy_log(0), kafka, topic_prefix)
    assert run(make(audited)).ok


def test_events_that_are_not_published_yet_are_waited_for(audited: Audited) -> None:
    late = audited.busiest[-5:]
    audited.project()

    async def scenario() -> Report:
        await audited.publish([event for event in audited.log.events if event not in late])
        running = asyncio.create_task(verify(audited.settings, RESOURCES.kinds))
        await audited.publish(late)
        return await running

    assert asyncio.run(scenario()).ok


def test_events_that_are_never_published(audited: Audited) -> None:
    late = audited.busiest[-5:]
    audited.project()
    asyncio.run(audited.publish([event for event in audited.log.events if event not in late]))
    report = run(audited, deadline_s=2)
    assert wrong(report) == {"topic": f"topic partition {late[0].partition}"}
    difference = report.sections[1].difference
    assert difference is not None
    assert difference.found == f"nothing after position {late[0].position - 1}"


def test_read_models_that_never_come_up(audited: Audited) -> None:
    late = audited.busiest[-5:]
    audited.project([event for event in audited.log.events if event not in late])
    asyncio.run(audited.publish())
    report = run(audited, deadline_s=2)
    assert wrong(report) == {"read models": f"checkpoint of the read models in partition {late[0].partition}"}
    assert report.sections[2].checked["events"] == len(audited.log.events), "the rules are checked all the same"


def test_a_forger_who_makes_the_chain_valid_again_is_found_by_the_topic(audited: Audited) -> None:
    victim = next(event for event in make(audited).busiest[30:] if event.type == "credits-granted.v1")
    audited.tamper(
        "update events set actor = 'user:forger',"
        " data = convert_to(replace(convert_from(data, 'UTF8'), 'user:tester', 'user:forger'), 'UTF8')"
        " where partition = %s and position = %s",
        victim.partition,
        victim.position,
    )
    audited.relink(victim)
    found = wrong(run(audited))
    assert "chain" not in found
    assert f"partition {victim.partition}" in found["topic"]
    assert "transactions" in found["read models"]


def test_a_store_that_lost_its_end(audited: Audited) -> None:
    last = make(audited).busiest[-1]
    audited.tamper("delete from events where partition = %s and position = %s", last.partition, last.position)
    report = run(audited)
    assert wrong(report)["topic"].startswith(f"topic partition {last.partition} offset")
    difference = report.sections[1].difference
    assert difference is not None
    assert difference.expected == "nothing: the store ends before"


Spoil = Callable[[LedgerRecord], LedgerRecord]


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda record: record._replace(value=record.value + b" "), "value"),
        (lambda record: record._replace(key=record.key + b"x"), "key"),
        (lambda record: record._replace(headers=record.headers[:-1]), "header"),
        (lambda record: record._replace(headers=[*record.headers, record.headers[0]]), "number of headers"),
        (lambda record: record._replace(headers=[*record.headers, ("x", b"y")]), "header x"),
        (lambda record: record._replace(headers=[(n, v[:-1]) for n, v in record.headers]), "header ce_id"),
    ],
    ids=["value", "key", "header missing", "header twice", "header too many", "header changed"],
)
def test_a_record_that_says_something_else(audited: Audited, spoil: Spoil, what: str) -> None:
    audited.project()
    victim = audited.busiest[30]
    _publish(audited, lambda event, record: spoil(record) if event == victim else record)
    place = wrong(run(audited))["topic"]
    assert place.startswith(what)
    assert place.endswith(f"topic partition {victim.partition} offset {victim.position - 1}")


def test_records_that_are_missing_doubled_or_swapped(database: Database, kafka: str, topic_prefix: str) -> None:
    audited = Audited.of(database, busy_log(300), kafka, topic_prefix)
    audited.project()
    one, other = audited.busiest[30:32]
    rest = audited.log.events
    for name, events in {
        "missing": [event for event in rest if event != one],
        "doubled": [copy for event in rest for copy in ((event, event) if event == one else (event,))],
        "swapped": [{one: other, other: one}.get(event, event) for event in rest],
    }.items():
        audited.settings = audited.settings.model_copy(update={"topic_prefix": f"{topic_prefix}{name}."})
        asyncio.run(audited.publish(events))
        first = one.position - 1 if name != "doubled" else one.position
        assert wrong(run(audited)) == {"topic": f"header ce_id at topic partition {one.partition} offset {first}"}, name


def test_records_of_an_aborted_transaction_do_not_count(audited: Audited) -> None:
    make(audited)

    async def aborted() -> None:
        with pytest.raises(ZeroDivisionError):
            await audited.send(_breaking(audited))

    asyncio.run(aborted())
    assert run(audited).ok


def _breaking(audited: Audited) -> Iterator[tuple[Any, LedgerRecord]]:
    for event in audited.busiest[:20]:
        yield event, to_record(event, "another-log")
    raise ZeroDivisionError


def test_a_broker_that_does_not_answer_is_a_difference(audited: Audited) -> None:
    audited.project()
    audited.settings = audited.settings.model_copy(update={"kafka": "127.0.0.1:9"})
    report = run(audited)
    assert wrong(report) == {"topic": "topic"}
    assert report.as_json()["sections"][1]["first_difference"]["expected"] == "an answer from Kafka"


def test_a_store_that_does_not_answer_is_an_error() -> None:
    with pytest.raises(psycopg.OperationalError):
        asyncio.run(verify(NOWHERE, RESOURCES.kinds))


def test_a_resource_without_a_rule_stops_the_audit_before_it_reads() -> None:
    for more in ({"gpu": "gpu/"}, {"gpu": "account/"}, {"storage": "room/"}):
        with pytest.raises(NoRule, match=next(iter(more))):
            asyncio.run(verify(NOWHERE, RESOURCES.kinds | more))


def _publish(audited: Audited, change: Callable[[Any, LedgerRecord], LedgerRecord]) -> None:
    async def go() -> None:
        await audited.publish([])
        with psycopg.connect(audited.database.owner_uri) as connection:
            log_id = str(connection.execute("select id from log").fetchall()[0][0])
        await audited.send((event, change(event, to_record(event, log_id))) for event in audited.log.events)

    asyncio.run(go())
