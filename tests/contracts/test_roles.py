"""Every role goes through the log's recorders and its Mapper: where one of them is broken, the role stops.

Nothing else is touched, so a role that read or wrote the log in another way would go on. Once the recorder works again,
so does the role.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from consumers.rebuild import rebuild_from
from domain.registry import SCRIP
from domain.resources.table import RESOURCES
from infra.audit.verify import verify
from infra.kafka import topics
from infra.log.events import LedgerEvent
from infra.log.mapper import LedgerMapper
from infra.log.postgres import LogUnreachable, PostgresLog, PostgresSnapshots
from infra.log.recorder import OrganisationLog, PartitionLog
from infra.partitions import partition_of
from infra.settings import Settings
from infra.writer import draft
from infra.writer.writer import Writer
from projections.facts import CannotApply
from tests.api.service import running as api_running
from tests.conftest import PARTITIONS, Database
from tests.consumers.projecting import deployed, last, positions, publish, serving, until
from tests.infra.audit.tampering import Audited, busy_log
from tests.infra.relaying import committed, published, running, settings_for, write
from tests.infra.relaying import stored as partition_of_log
from tests.infra.writer.asking import now
from tests.infra.writer.ledger_kit import DEADLINE_S, ORG, accepted, debit, grant, stored, submission
from tests.projections.log_builder import LogBuilder
from tests.projections.log_builder import write as write_log

HOME = partition_of(ORG, PARTITIONS)


class Planted(Exception):
    """What a broken Mapper raises."""


@contextmanager
def broken(owner: type, name: str, error: Exception | None = None) -> Iterator[list[str]]:
    """A method that raises, until the end; the list grows with each call of it."""
    calls: list[str] = []

    def fail(*_given: Any, **_named: Any) -> Any:
        calls.append(name)
        raise error or LogUnreachable("planted")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, fail)
        yield calls


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    """A writer whose account has credits."""
    with Writer(database.writer_uri, SCRIP) as writer:
        accepted(writer, grant())
        yield writer


@pytest.mark.parametrize(
    ("owner", "name"), [(PostgresLog, "append"), (LedgerMapper, "encode"), (PostgresSnapshots, "put")]
)
def test_the_writer_writes_nothing(
    writer: Writer, database: Database, owner: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft, "SNAPSHOT_EVERY", 1)
    before = stored(database.owner_uri)
    with broken(owner, name, Planted()) as calls:
        with pytest.raises(Planted):
            writer.submit([submission(debit("d-1"), "key")]).result(DEADLINE_S)
        assert calls
        assert stored(database.owner_uri) == before
    accepted(writer, debit("d-1"), "key")
    assert len(stored(database.owner_uri)) == len(before) + 1


@pytest.mark.parametrize("name", ["decode", "to_domain_event"])
def test_the_writer_reads_no_event(writer: Writer, database: Database, name: str) -> None:
    """`decode` for a state that is not in memory, `to_domain_event` for the answer to a repeated key."""
    accepted(writer, debit("d-1"), "key")
    with Writer(database.writer_uri, SCRIP) as other:
        with broken(LedgerMapper, name, Planted()), pytest.raises(Planted):
            other.submit([submission(debit("d-1" if name == "to_domain_event" else "d-2"), "key")]).result(DEADLINE_S)
        assert accepted(other, debit("d-1"), "key").replayed


def test_the_reader_reads_no_event(writer: Writer) -> None:
    with broken(LedgerMapper, "decode", Planted()), pytest.raises(Planted):
        now(writer, ORG, ["account/user:alice:credits"])


def test_the_relay_publishes_nothing(database: Database, kafka: str, topic_prefix: str) -> None:
    settings = settings_for(database.relay_uri, kafka, topic_prefix)
    asyncio.run(topics.provision(settings, PARTITIONS))
    write(database.writer_uri, 1, 10)

    async def steps() -> None:
        async with running(settings) as relay:
            await published(relay, 1, 10)
            with broken(PartitionLog, "select_notifications") as calls:
                write(database.writer_uri, 1, 10)
                await until(lambda: len(calls) > 1)
                assert relay.published == 10
            await published(relay, 1, 20)
        assert await committed(settings, 1) == partition_of_log(database.owner_uri, 1)

    asyncio.run(steps())


@pytest.fixture
def deployment(database: Database, kafka: str, topic_prefix: str) -> Settings:
    """A database with read models, and its topics."""
    return deployed(database, kafka, topic_prefix)


@pytest.fixture
def log() -> list[LedgerEvent]:
    """Events of one organisation."""
    made = LogBuilder(PARTITIONS)
    for command in (grant(), *(debit(f"d-{number}") for number in range(5))):
        made.do(command)
    return made.events


def test_the_projector_stops_at_an_event_that_it_cannot_decode(
    deployment: Settings, database: Database, log: list[LedgerEvent]
) -> None:
    write_log(database.owner_uri, log)

    def stopped() -> bool:
        with psycopg.connect(database.owner_uri) as connection:
            return connection.execute("select partition, position from read_stops").fetchall() == [(HOME, 1)]

    async def scenario() -> None:
        await publish(deployment, database, log)
        await until(stopped)
        assert positions(database) == {}

    with broken(LedgerMapper, "decode", Planted()):
        serving(deployment, scenario)


def test_the_projector_reads_what_the_topic_lacks_from_the_log(
    deployment: Settings, database: Database, log: list[LedgerEvent]
) -> None:
    write_log(database.owner_uri, log)

    async def scenario() -> None:
        with broken(PartitionLog, "select_notifications") as calls:
            await publish(deployment, database, [*log[:2], *log[4:]])
            await until(lambda: len(calls) > 1)
            assert positions(database) == last(log[:2])
        await until(lambda: positions(database) == last(log))

    serving(deployment, scenario)


@pytest.mark.parametrize(
    ("owner", "name", "error"),
    [
        (PartitionLog, "select_notifications", psycopg.Error),
        (PostgresLog, "heads", psycopg.Error),
        (LedgerMapper, "decode", CannotApply),
    ],
)
def test_a_rebuild_fails(database: Database, log: list[LedgerEvent], owner: type, name: str, error: type) -> None:
    write_log(database.owner_uri, log)
    with broken(owner, name), pytest.raises(error):
        rebuild_from(database.projector_uri)
    assert positions(database) == {}
    assert rebuild_from(database.projector_uri).events == len(log)
    assert positions(database) == last(log)


@pytest.fixture
def audited(database: Database, kafka: str, topic_prefix: str) -> Audited:
    """A log, its topic and its read models, as they should be."""
    made = Audited.of(database, busy_log(50), kafka, topic_prefix)
    made.project()
    asyncio.run(made.publish())
    return made


@pytest.mark.parametrize(("owner", "name"), [(PartitionLog, "select_notifications"), (PostgresLog, "by_stream")])
def test_an_audit_fails(audited: Audited, owner: type, name: str) -> None:
    with broken(owner, name), pytest.raises(psycopg.Error, match="planted"):
        asyncio.run(verify(audited.settings, RESOURCES.kinds))


def test_an_audit_sees_what_the_recorder_shows(audited: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorder that leaves one event out, to an audit whose database is whole."""
    whole = PartitionLog.select_notifications

    def without_the_second(*given: Any, **named: Any) -> Sequence[LedgerEvent]:
        return [event for event in whole(*given, **named) if event.position != 2]

    monkeypatch.setattr(PartitionLog, "select_notifications", without_the_second)
    chain, topic, ledger, models = asyncio.run(verify(audited.settings, RESOURCES.kinds)).sections
    assert chain.difference is not None
    assert chain.difference.found == "none before position 3"
    assert topic.difference is not None
    assert (ledger.difference, models.difference) == (None, None)


def test_the_api_shows_no_event(database: Database) -> None:
    with api_running(database) as service:
        assert (
            service.client()
            .post("/api/v1/accounts/user:a:credits/grants", json={"amount": 5, "source": "gift"})
            .is_success
        )
        auditor = service.client("auditor")
        (event,) = auditor.get("/api/v1/events").json()["items"]
        for path in ("/api/v1/events", "/api/v1/events?order=desc", f"/api/v1/events/{event['position']}"):
            whole = auditor.get(path)
            assert whole.status_code == 200
            with broken(OrganisationLog, "select_notifications"):
                answer = auditor.get(path)
                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert auditor.get(path).json() == whole.json()
        state = f"/api/v1/events/{event['position']}/state"
        with broken(PostgresSnapshots, "select_events"):
            assert auditor.get(state).status_code == 503
        assert auditor.get(state).status_code == 200
