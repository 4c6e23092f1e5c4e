"""The notifier as a whole, on real servers: from the ledger to Kafka and to a webhook, each alert once."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from psycopg_pool import AsyncConnectionPool
from pydantic import SecretStr

from consumers.notifier.engine import Engine
from consumers.notifier.publishing import NOTIFICATIONS, publish_alerts, publish_refusals
from consumers.notifier.refused_checks import follow_refused_checks
from consumers.notifier.role import run_notifier
from consumers.rebuild import rebuild_from
from domain.budgets.commands import RecordCost
from domain.credits.commands import Debit, Grant
from domain.generations.create import CreateGeneration
from domain.generations.request import Request
from domain.groups.commands import AddMembers, CreateGroup, TrackGeneration
from domain.organisations.commands import ConfigureOrganisation
from domain.registry import SCRIP
from infra.decisions import CHECK, DECISIONS, RefusedChecks
from infra.kafka.channels import Outgoing, Outlet
from infra.kafka.topics import provision, topic_name
from infra.settings import Settings
from infra.writer.submission import Submission
from infra.writer.writer import Writer
from tests.conftest import PARTITIONS, Database
from tests.waiting import patient

SECRET = "the deployment's own secret of 32 bytes"
NUMBERS = iter(range(1_000_000))


@pytest.fixture(scope="module")
def settings(module_database: Database, kafka: str) -> Settings:
    """A deployment with its own topics."""
    made = Settings(
        writer_url=SecretStr(module_database.writer_uri),
        fingerprint_secret=SecretStr(SECRET),
        kafka=kafka,
        topic_prefix=f"notifier{id(module_database):x}.",
        partitions=PARTITIONS,
        webhooks_allow_private=True,
    )
    asyncio.run(provision(made, PARTITIONS))
    return made


@pytest.fixture
def org() -> str:
    """An organisation of its own for each test."""
    return f"org{next(NUMBERS)}"


def submit(database: Database, org: str, *commands: Any) -> None:
    """Run commands that are accepted, and bring the read models up to date."""
    with Writer(database.writer_uri, SCRIP) as writer:
        outcomes = writer.submit(
            [Submission(org=org, command=command, actor="admin:t", caller="test") for command in commands]
        ).result(20)
    assert all(getattr(outcome, "refusal", outcome) is None for outcome in outcomes), outcomes
    rebuild_from(database.projector_uri)


def exhaust(database: Database, org: str) -> None:
    """Grant a user 100 credits and use them all."""
    address = "user:u1:credits"
    submit(
        database,
        org,
        Grant(address=address, grant_id="g1", amount=100, source="gift"),
        Debit(address=address, debit_id="d1", amount=100),
    )


@asynccontextmanager
async def pool_of(settings: Settings) -> AsyncIterator["AsyncConnectionPool[Any]"]:
    async with AsyncConnectionPool(
        settings.writer_url.get_secret_value(), min_size=1, max_size=2, open=False, kwargs={"autocommit": True}
    ) as pool:
        yield pool


async def look(settings: Settings) -> None:
    """Everything that is to be seen now."""
    connection = await psycopg.AsyncConnection.connect(settings.writer_url.get_secret_value(), autocommit=True)
    async with connection:
        engine = Engine()
        while await engine.look(connection):
            pass


async def records(settings: Settings, topic: str, org: str, count: int) -> list["ConsumerRecord[bytes, bytes]"]:
    """The organisation's records on a topic from its beginning on, once there are `count`, and what came with them."""
    consumer = AIOKafkaConsumer(
        topic_name(settings, topic), bootstrap_servers=settings.kafka, auto_offset_reset="earliest", group_id=None
    )
    await consumer.start()
    found: list[ConsumerRecord[bytes, bytes]] = []
    try:
        async with asyncio.timeout(patient(20)):
            while len(found) < count:
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    found += [record for record in batch if record.key == org.encode()]
    finally:
        await consumer.stop()
    return found


def test_an_alert_is_published_once_although_its_publisher_was_killed(
    module_database: Database, settings: Settings, org: str
) -> None:
    """S3-8."""
    exhaust(module_database, org)

    class Killed(Outlet):
        """Dies before anything is sent."""

        async def publish(self, records: Any) -> None:
            raise OSError("killed")

    async def whole() -> list["ConsumerRecord[bytes, bytes]"]:
        async with pool_of(settings) as pool:
            await look(settings)
            with pytest.raises(OSError, match="killed"):
                await publish_alerts(pool, Killed(settings, NOTIFICATIONS))
            await look(settings)
            outlet = Outlet(settings, NOTIFICATIONS)
            assert await publish_alerts(pool, outlet) >= 1
            assert await publish_alerts(pool, outlet) == 0
            await outlet.publish([Outgoing(org.encode(), b"{}", {})])  # so that the end is known
            await outlet.close()
        return await records(settings, NOTIFICATIONS.topic, org, 2)

    alert, end = asyncio.run(whole())
    assert end.value == b"{}"
    headers = {name: value.decode() for name, value in alert.headers}
    told = json.loads(alert.value)
    assert headers["ce_type"] == told["type"] == "scrip.credits.exhausted"
    assert headers["ce_id"] == f"alert_{told['id']}"
    assert (headers["ce_scriporg"], headers["ce_specversion"]) == (org, "1.0")
    assert (told["user_id"], told["severity"], told["facts"]["left"]) == ("u1", "critical", 0)


def test_what_the_ledger_decided_crosses_its_rules(module_database: Database, settings: Settings, org: str) -> None:
    plan = f"org:{org}:tokens.forecast"
    submit(
        module_database,
        org,
        RecordCost(user="u1", cost_id="c1", usd=7_600_000, success=True),  # of the default of 10 USD
        CreateGroup(group_id="g1", name="Design", limits={"image": 10}),
        AddMembers(group_id="g1", users=("u1",)),
        TrackGeneration(user="u1", what="image", count=9),
        ConfigureOrganisation(alert_rules={"credits_low": {"amount": 60}}),
        Grant(address="user:u1:credits", grant_id="g2", amount=100, source="gift"),
        Debit(address="user:u1:credits", debit_id="d2", amount=45),
        Grant(address=plan, grant_id="g3", amount=5, source="plan"),
    )
    asyncio.run(look(settings))
    with psycopg.connect(module_database.owner_uri) as connection:
        found = connection.execute("select rule, severity from alerts where org = %s order by id", (org,)).fetchall()
    assert found == [("budget", "warning"), ("group", "warning"), ("group", "critical"), ("credits_low", "warning")]


def test_refused_generations_are_published_once_per_position(
    module_database: Database, settings: Settings, org: str
) -> None:
    """S0-10."""
    with Writer(module_database.writer_uri, SCRIP) as writer:
        asked = CreateGeneration(generation_id="g1", request=Request(user="u1", operation="image", tokens=160))
        submission = Submission(org=org, command=asked, actor="user:u1", caller="test")
        (outcome,) = writer.submit([submission]).result(20)
    assert getattr(outcome, "refusal", None) is not None, outcome
    rebuild_from(module_database.projector_uri)

    async def whole() -> list["ConsumerRecord[bytes, bytes]"]:
        async with pool_of(settings) as pool:
            outlet = Outlet(settings, DECISIONS)
            for _ in range(2):
                while await publish_refusals(pool, outlet):
                    pass
            await outlet.publish([Outgoing(org.encode(), b"{}", {})])  # so that the end is known
            await outlet.close()
        return await records(settings, DECISIONS.topic, org, 2)

    refusal, end = asyncio.run(whole())
    assert end.value == b"{}"
    told = json.loads(refusal.value)
    headers = {name: value.decode() for name, value in refusal.headers}
    assert headers["ce_id"] == f"{org}/{told['position']}"
    assert headers["ce_type"] == "scrip.decision.generation_refused"
    assert (told["reason"], told["deficit"], told["operation"], told["actor"], told["generation_id"]) == (
        *("insufficient_tokens", 160, "image"),
        *("user:u1", "g1"),
    )


async def until_rows(database: Database, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows of a query as soon as there are any."""
    async with asyncio.timeout(patient(30)):
        async with await psycopg.AsyncConnection.connect(database.owner_uri, autocommit=True) as connection:
            while True:
                rows = await (await connection.execute(query.encode(), values)).fetchall()
                if rows:
                    return rows
                await asyncio.sleep(0.05)


def test_two_notifiers_are_as_one_and_the_second_takes_over(
    module_database: Database, settings: Settings, org: str
) -> None:
    second_org = f"{org}-later"

    async def whole() -> None:
        stops = [asyncio.Event(), asyncio.Event()]
        ready = asyncio.Semaphore(0)
        roles = [asyncio.create_task(run_notifier(settings, stop, ready.release)) for stop in stops]
        async with asyncio.timeout(patient(30)):
            for _ in roles:
                await ready.acquire()
        checks = RefusedChecks(settings)
        checks.start()
        checks.refused_check(org, "u1", "image", "flux", "insufficient_credits", 60, "user:u1")
        await asyncio.to_thread(exhaust, module_database, org)
        published = "select type from alerts where org = %s and published_at is not null"
        assert await until_rows(module_database, published, org) == [("scrip.credits.exhausted",)]
        stops[0].set()  # whichever of them is active: the other one, or the same, goes on
        await asyncio.wait_for(roles[0], patient(10))
        await asyncio.to_thread(exhaust, module_database, second_org)
        assert await until_rows(module_database, published, second_org) == [("scrip.credits.exhausted",)]
        blocked = "select user_id, operation, model, reason, deficit from refused_checks where org = %s"
        assert await until_rows(module_database, blocked, org) == [("u1", "image", "flux", "insufficient_credits", 60)]
        await checks.stop()
        stops[1].set()
        await asyncio.wait_for(roles[1], patient(10))
        assert len(await records(settings, NOTIFICATIONS.topic, org, 1)) == 1

    asyncio.run(whole())


def test_strange_records_do_not_stop_the_table_of_refusals(
    module_database: Database, settings: Settings, org: str
) -> None:
    """Each of them was read again and again, and nothing after it."""
    at = "2999-01-31T12:00:00Z"  # old ones are deleted
    refused_check = {"org": org, "at": at, "user_id": "u", "operation": "image", "reason": "r", "actor": "a"}
    good = json.dumps(refused_check | {"deficit": 1}).encode()
    headers = [("ce_type", CHECK.encode()), ("ce_id", b"good")]
    strange = [
        (good[:-1] + b',"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}", headers),
        (json.dumps(refused_check | {"deficit": 10**30}).encode(), headers),
        (json.dumps(refused_check | {"deficit": -(2**63) - 1}).encode(), headers),
        (good, [("ce_type", CHECK.encode()), ("ce_id", b"nul\0")]),
        (good, [("ce_type", CHECK.encode()), ("ce_id", None)]),
        (good, [("ce_type", CHECK.encode()), ("ce_id", token_hex(5_000).encode())]),  # no index has room for it
    ]

    async def whole() -> None:
        async with AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer:
            for value, said in [*strange, (good, headers)]:
                await producer.send_and_wait(topic_name(settings, DECISIONS.topic), value, partition=0, headers=said)
        async with pool_of(settings) as pool:
            following = asyncio.create_task(follow_refused_checks(settings, pool))
            rows = asyncio.create_task(
                until_rows(module_database, "select id, deficit from refused_checks where org = %s", org)
            )
            await asyncio.wait({following, rows}, return_when=asyncio.FIRST_COMPLETED)
            assert rows.done(), following.exception()
            assert rows.result() == [("good", 1)]
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    asyncio.run(whole())


def test_a_check_never_waits_for_kafka(settings: Settings) -> None:
    """S0-10."""

    async def whole() -> None:
        away = settings.model_copy(update={"kafka": "127.0.0.1:1"})
        checks = RefusedChecks(away, most_waiting=3)
        checks.start()
        for _ in range(10):
            checks.refused_check("acme", "u1", "image", None, "insufficient_credits", 1, "user:u1")
        assert checks.dropped == 7
        await checks.stop()

    asyncio.run(asyncio.wait_for(whole(), patient(20)))
