"""Alerts on their way to webhooks: signed, once, retried with pauses, written down, and given up in the end."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from infra.alerts import Crossing, raise_alerts
from infra.webhooks import deliveries
from infra.webhooks.deliveries import PAUSES_S, Deliveries, next_pause
from infra.webhooks.sending import Sender
from infra.webhooks.signature import WebhookSecrets, verify
from infra.webhooks.store import Webhooks
from tests.conftest import Database, move_clock
from tests.infra.webhooks.receiver import receiving
from tests.waiting import patient

SECRETS = WebhookSecrets(b"the deployment's own secret of 32 bytes")
NUMBERS = count(1)


class Bench:
    """An organisation of its own, its webhooks, and a deliverer."""

    def __init__(self, database: Database, pool: "AsyncConnectionPool[Any]") -> None:
        self.database, self.pool = database, pool
        self.org = f"org{next(NUMBERS)}"
        self.webhooks = Webhooks(pool, SECRETS)
        self.deliveries = self.deliverer()

    def deliverer(self, timeout_s: float = 2) -> Deliveries:
        return Deliveries(self.pool, SECRETS, Sender(allow_private=True, timeout_s=timeout_s))

    async def crossed(self, key: str, rule: str = "budget") -> None:
        async with self.pool.connection() as connection:
            crossing = Crossing(rule, "warning", self.org, key, "budget/u1", "u1", "75 % is used.", {"used": 3})
            await raise_alerts(connection, [crossing, crossing])

    async def deliver(self) -> int:
        started = await self.deliveries.start_due()
        await self.deliveries.finish()
        return started

    async def rows(self, query: str) -> list[dict[str, Any]]:
        async with self.pool.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            found: list[dict[str, Any]] = await (await cursor.execute(query.encode(), (self.org,))).fetchall()
            return found

    async def delivery(self) -> dict[str, Any]:
        (row,) = await self.rows("select * from deliveries where org = %s")
        return row


Case = Callable[[Bench], Coroutine[Any, Any, None]]


@pytest.fixture
def run(module_database: Database) -> Callable[[Case], None]:
    """Run a coroutine on a bench."""

    def go(case: Case) -> None:
        async def whole() -> None:
            async with AsyncConnectionPool(
                module_database.writer_uri, min_size=1, max_size=4, open=False, kwargs={"autocommit": True}
            ) as pool:
                await case(Bench(module_database, pool))

        asyncio.run(whole())

    return go


def test_an_alert_is_delivered_once_to_each_webhook_that_wants_it(run: Callable[[Case], None]) -> None:
    """S3-8."""

    async def case(bench: Bench) -> None:
        async with receiving() as all_, receiving() as some, receiving() as others:
            _, secret, _ = await bench.webhooks.create(bench.org, all_.url, None, by="admin:t")
            await bench.webhooks.create(bench.org, some.url, ["scrip.budget.threshold"], by="admin:t")
            await bench.webhooks.create(bench.org, others.url, ["scrip.credits.low"], by="admin:t")
            await bench.webhooks.create("another", others.url, None, by="admin:t")
            await bench.crossed("k1")
            assert await bench.deliver() == 2
            await bench.crossed("k1")  # the same crossing
            assert await bench.deliver() == 0
        (request,) = all_.received
        assert (len(some.received), len(others.received)) == (1, 0)
        id_ = verify(secret, request.headers, request.body, int(request.headers["webhook-timestamp"]))
        told = json.loads(request.body)
        assert id_ == f"alert_{told['data']['id']}"
        assert (told["type"], told["data"]["org"], told["data"]["facts"]) == (
            *("scrip.budget.threshold", bench.org),
            {"used": 3},
        )
        for row in await bench.rows("select * from deliveries where org = %s"):
            assert (row["status"], row["attempts"], row["status_code"]) == ("delivered", 1, 200)
            assert [each["status_code"] for each in row["tries"]] == [200]

    run(case)


def test_a_failure_is_tried_again_after_a_pause_and_logged(run: Callable[[Case], None]) -> None:
    async def case(bench: Bench) -> None:
        async with receiving(500, 302, 200) as receiver:
            await bench.webhooks.create(bench.org, receiver.url, None, by="admin:t")
            await bench.crossed("k1")
            assert await bench.deliver() == 1
            assert await bench.deliver() == 0  # not at once
            (webhook,) = await bench.rows("select * from webhooks where org = %s")
            assert webhook["failing_since"] is not None
            await asyncio.to_thread(move_clock, bench.database, "7 seconds")
            assert await bench.deliver() == 1
            await asyncio.to_thread(move_clock, bench.database, "7 minutes")
            assert await bench.deliver() == 1
            row = await bench.delivery()
            assert (row["status"], row["attempts"], row["error"]) == ("delivered", 3, None)
            assert [each["status_code"] for each in row["tries"]] == [500, 302, 200]
            assert len({request.headers["webhook-id"] for request in receiver.received}) == 1
            (webhook,) = await bench.rows("select * from webhooks where org = %s")
            assert webhook["failing_since"] is None

    run(case)


def test_after_three_days_the_webhook_is_switched_off_with_an_alert(run: Callable[[Case], None]) -> None:
    async def case(bench: Bench) -> None:
        async with receiving(500) as receiver, receiving() as well:
            await bench.webhooks.create(bench.org, receiver.url, ["scrip.budget.threshold"], by="admin:t")
            await bench.webhooks.create(bench.org, well.url, ["scrip.webhook.disabled"], by="admin:t")
            await bench.crossed("k1")
            for _ in range(len(PAUSES_S)):
                assert await bench.deliver() == 1
                await asyncio.to_thread(move_clock, bench.database, "29 hours")
                (off, _) = await bench.rows("select * from webhooks where org = %s order by url = '', created_at")
                if not off["enabled"]:
                    break
            assert off["disabled_reason"] == "it failed for 3 days"
            await bench.crossed("k2")
            assert await bench.deliver() == 1  # the news that it is off, to the other webhook
            assert json.loads(well.received[0].body)["type"] == "scrip.webhook.disabled"
            assert await bench.webhooks.change(bench.org, off["id"], enabled=True)
            receiver.answers = [200]
            assert await bench.deliver() == 1  # what had been pending goes on
            (row,) = await bench.rows("select * from webhooks where org = %s and types = '{scrip.budget.threshold}'")
            assert (row["enabled"], row["disabled_reason"], row["failing_since"]) == (True, None, None)

    run(case)


def test_gone_switches_it_off_at_once_and_the_last_try_is_the_last(run: Callable[[Case], None]) -> None:
    async def case(bench: Bench) -> None:
        async with receiving(410) as receiver:
            await bench.webhooks.create(bench.org, receiver.url, None, by="admin:t")
            await bench.crossed("k1")
            await bench.deliver()
            (webhook,) = await bench.rows("select * from webhooks where org = %s")
            assert (webhook["enabled"], webhook["disabled_reason"]) == (False, "the receiver answered 410 Gone")
            await bench.webhooks.change(bench.org, webhook["id"], enabled=True)
            await bench.rows(
                f"update deliveries set attempts = {len(PAUSES_S)}, next_at = scrip_now() where org = %s returning 1"
            )
            receiver.answers = [500]
            await bench.deliver()
            row = await bench.delivery()
            assert (row["status"], row["next_at"]) == ("failed", None)

    run(case)


def test_a_resend_is_a_new_delivery_of_the_same_message(run: Callable[[Case], None]) -> None:
    async def case(bench: Bench) -> None:
        async with receiving() as receiver:
            webhook, _, _ = await bench.webhooks.create(bench.org, receiver.url, None, by="admin:t")
            await bench.crossed("k1")
            await bench.deliver()
            first = await bench.delivery()
            arguments = (bench.org, webhook["id"], first["id"])
            again = await bench.webhooks.resend(*arguments, by="admin:t", key="once")
            assert again == await bench.webhooks.resend(*arguments, by="admin:t", key="once") != first["id"]
            assert await bench.webhooks.resend("another", *arguments[1:], by="admin:t") is None
            assert await bench.deliver() == 1
            one, other = receiver.received
            assert (one.headers["webhook-id"], one.body) == (other.headers["webhook-id"], other.body)

    run(case)


def test_two_deliverers_do_not_deliver_twice_and_one_webhook_does_not_take_all_places(
    run: Callable[[Case], None],
) -> None:
    async def case(bench: Bench) -> None:
        async with receiving() as receiver, receiving() as other:
            await bench.webhooks.create(bench.org, receiver.url, ["scrip.budget.threshold"], by="admin:t")
            await bench.webhooks.create(bench.org, other.url, ["scrip.group.threshold"], by="admin:t")
            for number in range(12):
                await bench.crossed(f"k{number}")
            await bench.crossed("g1", rule="group")
            # What is not answered in time is sent again, and in two seconds a busy machine may not answer all.
            deliverers = [bench.deliverer(timeout_s=patient(60)) for _ in range(2)]
            started = await asyncio.gather(*(each.start_due() for each in deliverers))
            assert max(started) <= 5
            async with asyncio.timeout(patient(60)):
                while len(receiver.received) < 12 or not other.received:
                    for each in deliverers:
                        await each.start_due()
                    await asyncio.sleep(0.01)
            for each in deliverers:
                await each.finish()
            assert len({request.headers["webhook-id"] for request in receiver.received}) == 12
            assert (len(receiver.received), len(other.received)) == (12, 1)

    run(case)


def test_what_another_deliverer_took_meanwhile_is_not_taken_again(
    run: Callable[[Case], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim finds what is due first and locks it then: between the two another one may take all of it."""
    quick = deliveries._CLAIM
    slow = quick.replace("where turn <=", "where pg_sleep(0.5) is not null and turn <=")
    assert slow != quick

    async def case(bench: Bench) -> None:
        async def late() -> int:
            monkeypatch.setattr(deliveries, "_CLAIM", slow)
            return await bench.deliverer().start_due()

        async with receiving() as receiver:
            webhook, *_ = await bench.webhooks.create(bench.org, receiver.url, None, by="admin:t")
            await bench.crossed("k1")
            other = asyncio.create_task(late())
            async with bench.pool.connection() as connection, asyncio.timeout(patient(60)):
                sleeping = "select from pg_stat_activity where wait_event = 'PgSleep'"
                while not (await connection.execute(sleeping)).rowcount:
                    pass
                taken = "update deliveries set next_at = next_at + interval '1 minute' where org = %s"
                assert (await connection.execute(taken, (bench.org,))).rowcount == 1
            assert await other == 0
            await bench.webhooks.delete(bench.org, webhook["id"])  # it would be due in another test

    run(case)


def test_a_delivery_that_was_cut_off_is_made_again(run: Callable[[Case], None]) -> None:
    async def case(bench: Bench) -> None:
        async with receiving() as receiver:
            await bench.webhooks.create(bench.org, receiver.url, None, by="admin:t")
            await bench.crossed("k1")
            dying = bench.deliverer()
            await dying.start_due()
            for task in list(dying._under_way):
                task.cancel()
            await dying.finish()
            assert await bench.deliver() == 0
            await asyncio.to_thread(move_clock, bench.database, "61 seconds")
            assert await bench.deliver() == 1
            assert (await bench.delivery())["status"] == "delivered"

    run(case)


def test_the_secret_is_encrypted_and_for_the_writer_alone(
    run: Callable[[Case], None], module_database: Database
) -> None:
    async def case(bench: Bench) -> None:
        row, secret, _ = await bench.webhooks.create(bench.org, "https://example.com/", None, by="admin:t")
        assert "secret" not in row
        (stored,) = await bench.rows("select id, secret from webhooks where org = %s")
        assert secret.encode() not in bytes(stored["secret"])
        assert SECRETS.decrypt(bench.org, stored["id"], bytes(stored["secret"])) == secret

    run(case)
    for login in (module_database.reader_uri, module_database.auditor_uri):
        with psycopg.connect(login) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select secret from webhooks")


def test_pauses_grow_to_a_day_and_are_spread() -> None:
    assert list(PAUSES_S) == sorted(PAUSES_S)
    assert sum(PAUSES_S) > 3 * 86_400
    pauses = [next_pause(2).total_seconds() for _ in range(200)]
    assert min(pauses) >= 1_440
    assert max(pauses) <= 2_160
    assert len(set(pauses)) > 50
