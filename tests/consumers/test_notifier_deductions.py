"""S3's alerts on deductions of plan tokens, from the HTTP call to the alert: nothing is filled in by hand."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from api.app import publishing
from consumers.notifier.engine import Engine
from consumers.notifier.refused_checks import follow_refused_checks
from domain.organisations.commands import ChoosePlan
from infra.decisions import DEDUCTION, RefusedChecks
from infra.kafka.topics import provision
from infra.settings import Settings
from infra.writer.submission import Submission
from tests.api.service import Service, running, settings_of
from tests.conftest import PARTITIONS, Database

PATH = "/api/v1/tokens/check-balance"


@pytest.fixture(scope="module")
def settings(module_database: Database, kafka: str) -> Settings:
    """A deployment with its own topics."""
    made = settings_of(
        module_database, kafka=kafka, topic_prefix=f"deductions{id(module_database):x}.", partitions=PARTITIONS
    )
    asyncio.run(provision(made, PARTITIONS))
    return made


@pytest.fixture(scope="module")
def service(module_database: Database, settings: Settings) -> Iterator[Service]:
    """An API on it."""
    with running(module_database, settings) as made:
        yield made


class Told(list[tuple[tuple[Any, ...], dict[str, Any]]]):
    """What the API gives to be published."""

    def refused_check(self, *told: Any, **more: Any) -> None:
        self.append((told, more))


def client_of(service: Service, org: str) -> httpx.Client:
    """A program of an organisation on the plan `pro`."""
    command = ChoosePlan(plan="pro")
    service.writer.submit([Submission(org=org, command=command, actor="admin:t", caller="t")]).result(20)
    return service.client("worker", org=org)


def use(client: httpx.Client, **given: Any) -> dict[str, Any]:
    """A call that is answered, a deduction where nothing else is said."""
    answer = client.post(PATH, json={"action": "deduct", **given})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def look(service: Service, org: str) -> list[tuple[str, str | None]]:
    """Rule and user of the alerts that a notifier raises which has just been started."""
    service.project()

    async def whole() -> None:
        options: dict[str, Any] = {"autocommit": True}
        async with await psycopg.AsyncConnection.connect(service.database.writer_uri, **options) as connection:
            engine = Engine()
            while await engine.look(connection):
                pass

    asyncio.run(whole())
    with psycopg.connect(service.database.owner_uri) as connection:
        rows = connection.execute("select rule, user_id from alerts where org = %s order by id", (org,))
        return [(rule, user) for rule, user in rows if rule != "plan_tokens"]


def publish_and_follow(settings: Settings, database: Database, told: Told, org: str, rows: int) -> None:
    """Through the topic into the table, as API and notifier do it, until so many rows are there."""

    async def whole() -> None:
        checks = RefusedChecks(settings)
        checks.start()
        for facts, more in told:
            checks.refused_check(*facts, **more)
        await checks.stop()
        async with AsyncConnectionPool(database.writer_uri, min_size=1, max_size=2) as pool:
            following = asyncio.create_task(follow_refused_checks(settings, pool))
            async with asyncio.timeout(40):
                while await count(pool) < rows:  # noqa: ASYNC110 - the rows are another task's, in the database
                    await asyncio.sleep(0.05)
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def count(pool: "AsyncConnectionPool[Any]") -> int:
        async with pool.connection() as connection:
            cursor = await connection.execute("select count(*) from refused_checks where org = %s", (org,))
            row = await cursor.fetchone()
        return int(row[0]) if row else 0

    asyncio.run(whole())


def test_s3_refused_deductions_of_one_user_are_told(
    service: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3-8: the feature's name is the source's own. Checks that say no are no failed deductions."""
    client, told = client_of(service, "short"), Told()
    monkeypatch.setattr(service.services, "on_refused_check", publishing(told))  # type: ignore[arg-type]
    wanted: dict[str, Any] = {"feature": "analyze_strategy", "quantity": 51, "user_id": "ann"}
    for _ in range(9):
        use(client, **wanted, action="check")
    for number in range(8):
        answer = client.post(PATH, json={**wanted, "action": "deduct"}, headers={"Idempotency-Key": f"k{number // 2}"})
        assert (answer.json()["allowed"], answer.json()["reason"]) == (False, "insufficient_tokens")
    deductions = [facts for facts, more in told if more == {"type_": DEDUCTION}]
    assert len(deductions) == 4, "an answer that is repeated is no further attempt"
    publish_and_follow(settings, service.database, told, "short", 13)
    assert look(service, "short") == []
    told.clear()
    use(client, **wanted)
    assert [facts[1:6] for facts, _ in told] == [("ann", "analyze_strategy", None, "insufficient_tokens", 2)]
    publish_and_follow(settings, service.database, told, "short", 14)
    assert look(service, "short") == [("refused_deductions", "ann")]


def test_s3_rapid_deductions_of_one_user_are_unusual(service: Service) -> None:
    """S3-8: also where no generation is made."""
    client = client_of(service, "rapid")
    rules = {"rules": {"rapid_requests": {"generations": 3}}}
    assert service.client("org_admin", org="rapid").put("/api/v1/alert-rules", json=rules).status_code == 200
    for user in ("ann", "ann", "ann", "ben"):
        assert use(client, feature="analyze_strategy", user_id=user)["allowed"]
    assert look(service, "rapid") == []
    use(client, feature="analyze_strategy", user_id="ann")
    use(client, feature="analyze_strategy", user_id="ann")
    assert look(service, "rapid") == [("rapid_requests", "ann")]


def test_s3_a_day_of_three_times_the_usual_tokens_is_a_spike(service: Service) -> None:
    """S3-8."""
    client = client_of(service, "spike")
    for _ in range(7):
        assert use(client, token_type="strategy_analysis")["allowed"]
    service.project()
    with psycopg.connect(service.database.owner_uri) as connection:  # as on each of the seven days before
        connection.execute(
            "update read_g1.token_usage u set at = at - (8 - n.number) * interval '1 day'"
            " from (select position, row_number() over (order by position) as number from read_g1.token_usage"
            " where org = 'spike') n where u.org = 'spike' and u.position = n.position"
        )
    assert use(client, token_type="strategy_analysis", quantity=25)["allowed"]
    assert look(service, "spike") == [], "50 tokens are not above the floor"
    use(client, token_type="strategy_analysis")
    assert look(service, "spike") == [("usage_spike", None)]
