"""A log, its topic and its read models as they should be, and the ways to spoil them afterwards."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, LiteralString

import psycopg
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr

from domain.credits.commands import (
    Capture,
    ConfigureAccount,
    Debit,
    Extend,
    Grant,
    Refund,
    Release,
    Reserve,
    Transfer,
    VoidGrant,
)
from domain.credits.events import Paid
from domain.generations.count import CountEarlier, StartCounting
from domain.prices.catalogue import CATALOGUE
from domain.prices.publish import PublishPrices
from domain.registry import SCRIP
from domain.resources.table import RESOURCES
from domain.settings.change import ChangeSettings
from domain.settings.setting import Owner
from infra.kafka.record import to_record
from infra.kafka.topics import LEDGER, provision, topic_name
from infra.log.chain import GENESIS, link_of
from infra.log.events import LedgerEvent
from infra.log.mapper import LedgerMapper
from infra.partitions import PLATFORM
from infra.settings import Settings
from projections import versions
from projections.runner import Runner
from tests.conftest import PARTITIONS, Database
from tests.projections.busy_shop import busy_shop
from tests.projections.folding import apply
from tests.projections.log_builder import LogBuilder, busy, write


@cache
def busy_log(commands: int, seed: int = 1) -> LogBuilder:
    """Events of every type, in several organisations. Tests share it and add nothing to it."""
    log = LogBuilder(PARTITIONS)
    log.do(PublishPrices(entries=CATALOGUE, first=True), PLATFORM)
    if commands:
        busy_shop(log, commands // 2, seed)
    busy(log, commands, seed)
    if commands:
        for command in _rare():
            refused = log.refused
            log.do(command)
            assert log.refused == refused, command
    return log


def _rare() -> list[Any]:
    """What chance brings too seldom: everything that an event may carry, debts that are repaid and come back."""
    eve, dan = "user:eve:credits", "org:dan:with:colons:credits"
    paid = Paid(9_990_000, "EUR")
    return [
        ChangeSettings(on=Owner.USER, id="eve", settings={}),
        *(
            command
            for name in sorted({*RESOURCES.counting.values()})
            for command in (StartCounting(resource=name), CountEarlier(resource=name, generation_ids=(), last=True))
        ),
        Grant(address=eve, grant_id="ge", amount=500, source="purchase", external_ref="pi", paid=paid, sealed="a"),
        Reserve(address=eve, reservation_id="re", amount=300, item="Gen-4 Turbo 5s", price_version=1, sealed="b"),
        Extend(address=eve, reservation_id="re", ttl_s=3600, grow=100),
        Capture(address=eve, reservation_id="re", debit_id="de", amount=50, final=False, sealed="c"),
        Refund(address=eve, refund_id="fe", debit_id="de", amount=20, sealed="d"),
        VoidGrant(address=eve, grant_id="ge", sealed="e"),
        Release(address=eve, reservation_id="re", sealed="f"),
        ConfigureAccount(address=dan, credit_limit=100),
        Debit(address=dan, debit_id="dd", amount=90, item="chat", price_version=1, sealed="g"),
        Grant(address=dan, grant_id="gd", amount=60, source="adjustment"),
        Refund(address=dan, refund_id="fd", debit_id="dd"),
        Transfer(address=dan, to=eve, transfer_id="td", amount=10, sealed="h"),
        Reserve(address=dan, reservation_id="rd", amount=150),
        Capture(address=dan, reservation_id="rd", debit_id="dd2", amount=120),
        ConfigureAccount(address=eve, frozen=True, closed=True),
    ]


@dataclass
class Audited:
    """A whole deployment in a test database."""

    database: Database
    log: LogBuilder
    settings: Settings

    @classmethod
    def of(cls, database: Database, log: LogBuilder, kafka: str = "", prefix: str = "") -> "Audited":
        settings = Settings(
            auditor_url=SecretStr(database.auditor_uri),
            projector_url=SecretStr(database.projector_uri),
            kafka=kafka,
            topic_prefix=prefix,
        )
        write(database.owner_uri, log.events)
        return cls(database, log, settings)

    @property
    def heads(self) -> dict[int, int]:
        """Partition to last position."""
        found = dict.fromkeys(range(PARTITIONS), 0)
        for event in self.log.events:
            found[event.partition] = event.position
        return found

    @property
    def busiest(self) -> list[LedgerEvent]:
        """The events of the partition that has most."""
        place = max(self.heads, key=self.heads.__getitem__)
        return [event for event in self.log.events if event.partition == place]

    def project(self, events: Iterable[LedgerEvent] | None = None) -> None:
        """Bring the read models up to date."""
        versions.ensure(self.database.projector_uri)
        runner = Runner(self.database.projector_uri, LedgerMapper.of(SCRIP).decode)
        applied = apply(runner, self.log.events if events is None else events)
        runner.close()
        assert not applied.gaps
        assert not applied.stopped

    async def publish(self, events: Iterable[LedgerEvent] | None = None) -> None:
        """Write the events to the topic as the relay does, in a transaction."""
        await provision(self.settings, PARTITIONS)
        with psycopg.connect(self.database.owner_uri) as connection:
            log_id = str(connection.execute("select id from log").fetchall()[0][0])
        await self.send((event, to_record(event, log_id)) for event in (self.log.events if events is None else events))

    async def send(self, records: Iterable[tuple[LedgerEvent, Any]]) -> None:
        """Write any records to the ledger's topic, committed."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.settings.kafka, transactional_id=f"{self.settings.topic_prefix}tampering"
        )
        await producer.start()
        try:
            async with producer.transaction():
                for event, record in records:
                    await producer.send(
                        topic_name(self.settings, LEDGER),
                        key=record.key,
                        value=record.value,
                        headers=record.headers,
                        partition=event.partition,
                    )
        finally:
            await producer.stop()

    def tamper(self, statement: LiteralString, *arguments: Any) -> None:
        """Change what must not be changed, as somebody with all rights might: with the triggers switched off."""
        with psycopg.connect(self.database.owner_uri) as connection:
            connection.execute("set session_replication_role = replica")
            changed = connection.execute(statement, arguments).rowcount
            assert changed > 0, "nothing was tampered with"

    def relink(self, first: LedgerEvent) -> None:
        """Make the chain of a partition valid again from an event on, as a clever forger would."""
        with psycopg.connect(self.database.owner_uri) as connection:
            connection.execute("set session_replication_role = replica")
            found = connection.execute(
                "select partition, position, org, stream, version, type, tag, actor, time, data, hash from events"
                " where partition = %s and position >= %s order by position",
                (first.partition, first.position - 1),
            ).fetchall()
            rows = [LedgerEvent._make(row) for row in found]
            previous = rows.pop(0).hash if rows[0].position < first.position else GENESIS
            for row in rows:
                previous = link_of(previous, row)
                connection.execute(
                    "update events set hash = %s where partition = %s and position = %s",
                    (previous, row.partition, row.position),
                )
