"""A generation's life on a network that fails: settled exactly once or given back, and kept held while it runs."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from scrip_client import AsyncScrip, Scrip, Unauthenticated, Unavailable
from scrip_client.testing import FakeScrip

from tests.waiting import patient

PICTURE: dict[str, Any] = {"user": "u", "operation": "image", "model": "m"}  # 90 credits
DEADLINE_S = patient(20.0)


@pytest.fixture
def fake() -> FakeScrip:
    server = FakeScrip()
    server.price(operation="image", model="m", credits=90)
    server.give("u", credits=1_000)
    return server


def worker(fake: FakeScrip, **arguments: Any) -> Scrip:
    defaults: dict[str, Any] = {"token": fake.token(), "transport": fake, "patience_s": 0.2}
    return Scrip("http://scrip", **(defaults | arguments))


def async_worker(fake: FakeScrip, **arguments: Any) -> AsyncScrip:
    defaults: dict[str, Any] = {"token": fake.token(), "transport": fake, "patience_s": 0.2}
    return AsyncScrip("http://scrip", **(defaults | arguments))


def state(fake: FakeScrip) -> tuple[int, int, int]:
    """Available, held, charged."""
    found = fake.call("GET", "/api/v1/accounts/user:u:credits/balance")
    return found["available"], found["reserved"], found["debited"]


def generation(fake: FakeScrip, id_: str) -> dict[str, Any]:
    found: dict[str, Any] = fake.call("GET", f"/api/v1/generations/{id_}")
    return found


def fails(fake: FakeScrip) -> None:
    """The model's run and the network, ending badly."""
    fake.unreachable = True
    raise ValueError("bad model")


def asked(fake: FakeScrip, verb: str) -> int:
    return sum(path.endswith(verb) for _, path in fake.requests)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def wait_until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_for, condition)


def test_lost_answers_charge_nothing_twice(fake: FakeScrip) -> None:
    with worker(fake, patience_s=20) as scrip:
        fake.lose_answers(2)
        with scrip.generation(**PICTURE) as g:
            fake.lose_answers(2)
            g.confirm(content_bytes=1)
    assert g.settled
    assert g.receipt is not None
    assert (asked(fake, "/generations"), asked(fake, "/confirm"), state(fake)) == (3, 3, (910, 0, 90))


def test_without_a_journal_an_unsent_settlement_is_an_error(fake: FakeScrip) -> None:
    with worker(fake) as scrip:
        with pytest.raises(Unavailable) as lost, scrip.generation(**PICTURE):
            fake.unreachable = True
        assert lost.value.outcome_unknown is False
        fake.unreachable = False
    assert state(fake) == (910, 90, 0)  # the hold expires


def test_with_a_journal_it_is_sent_when_scrip_is_back(fake: FakeScrip, tmp_path: Path) -> None:
    with worker(fake, journal=tmp_path / "j") as scrip:
        with scrip.generation(**PICTURE) as g:
            g.confirm(content_bytes=1)
            fake.unreachable = True
        assert (g.settled, g.receipt, state(fake)) == (False, None, (910, 90, 0))
        fake.unreachable = False
        with scrip.generation(**PICTURE):
            pass
        assert state(fake) == (820, 0, 180)


def test_with_a_journal_it_is_sent_at_the_next_start(fake: FakeScrip, tmp_path: Path) -> None:
    async def first() -> None:
        async with async_worker(fake, journal=tmp_path / "j") as scrip:
            with pytest.raises(ValueError, match="bad model"):
                async with scrip.generation(**PICTURE, id="failed"):
                    fails(fake)
            fake.unreachable = False
            async with scrip.generation(**PICTURE, id="part") as g:
                assert (await g.part(succeeded=0, content_bytes=3)) is not None
                fake.unreachable = True
                with pytest.raises(Unavailable):
                    await g.part(actual={"credits": 10})
                g.confirm(content_bytes=1)

    async def second() -> None:
        scrip = async_worker(fake, journal=tmp_path / "j")
        found = await scrip.recover()
        assert (found.settled, sorted(found.waiting)) == ([], ["failed", "part"])  # still away
        fake.unreachable = False
        found = await scrip.recover()
        assert (sorted(found.settled), found.returned, found.refused, found.waiting) == (["failed", "part"], [], {}, [])
        assert (await scrip.recover()).settled == []
        await scrip.close()

    asyncio.run(first())
    asyncio.run(second())
    stored = fake.call("GET", "/api/v1/contents?user_id=u")["items"]
    assert (state(fake), sum(each["bytes"] for each in stored)) == ((910, 0, 90), 4)


@pytest.mark.parametrize("abandoned", ["other", "timed_out", None])
def test_what_a_dead_worker_held_goes_back_as_the_integrator_chose(
    fake: FakeScrip, tmp_path: Path, abandoned: Any
) -> None:
    dead = worker(fake, journal=tmp_path / "j")
    dead.generation(**PICTURE, id="dead").__enter__()
    assert dead.terms.journal is not None
    dead.terms.journal.opened("never-arrived")
    dead.terms.journal.close()  # what the end of its process does
    with worker(fake, journal=tmp_path / "j", abandoned=abandoned) as scrip:
        found = scrip.recover()
        assert (found.returned, found.refused) == ([], {})  # entering has done it
    one = generation(fake, "dead")
    if abandoned is None:
        assert (one["status"], state(fake)) == ("running", (910, 90, 0))
    else:
        assert (one["status"], one["outcome"], state(fake)) == ("failed", abandoned, (1_000, 0, 0))


def test_a_login_that_ends_keeps_the_settlement_for_the_next(fake: FakeScrip, tmp_path: Path) -> None:
    tokens = [fake.token()]
    with worker(fake, journal=tmp_path / "j", token=lambda: tokens[-1]) as scrip:
        with scrip.generation(**PICTURE) as g:
            tokens.append("expired")
        assert not g.settled
        with pytest.raises(Unauthenticated), scrip.generation(**PICTURE):
            pytest.fail("no login")
        tokens.append(fake.token())
        assert scrip.recover().settled == [g.id]
    assert state(fake) == (910, 0, 90)


def test_a_disk_that_fails_stops_it_before_anything_is_held(
    fake: FakeScrip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with worker(fake, journal=tmp_path / "j") as scrip:

        def full(_file: int) -> None:
            raise OSError("no space left")

        monkeypatch.setattr("scrip_client.journal.os.fsync", full)
        with pytest.raises(OSError, match="no space left"), scrip.generation(**PICTURE):
            pytest.fail("it would not be remembered")
        monkeypatch.undo()
        with scrip.generation(**PICTURE) as g:
            monkeypatch.setattr("scrip_client.journal.os.fsync", full)
            g.confirm(content_bytes=1)
        assert g.settled  # by now it matters more that it is sent
    assert asked(fake, "/generations") == 1


def test_a_heartbeat_keeps_it_held(fake: FakeScrip) -> None:
    with worker(fake) as scrip, scrip.generation(**PICTURE, ttl_seconds=1) as g:
        wait_for(lambda: asked(fake, "/extend") >= 2)
        g.confirm(content_bytes=1)
    beats = asked(fake, "/extend")
    assert g.settled
    assert asked(fake, "/extend") == beats


def test_a_heartbeat_survives_an_outage_and_ends_with_the_generation(fake: FakeScrip) -> None:
    async def whole() -> None:
        async with async_worker(fake) as scrip:
            async with scrip.generation(**PICTURE, ttl_seconds=1) as g:
                fake.unreachable = True
                await asyncio.sleep(0.7)
                fake.unreachable = False
                await wait_until(lambda: asked(fake, "/extend") >= 1)
                fake.advance(3_600)  # as if the worker had been suspended
                await wait_until(lambda: g.lost is not None)
                g.confirm(content_bytes=1)
            assert g.receipt is not None
            assert g.receipt.status == "settled_late"

    asyncio.run(whole())
    assert state(fake) == (910, 0, 90)


def test_cancelled_work_is_given_back_even_when_cancelled_twice(fake: FakeScrip) -> None:
    async def whole() -> None:
        async with async_worker(fake) as scrip:
            inside = asyncio.Event()

            async def work() -> None:
                async with scrip.generation(**PICTURE, id="g"):
                    inside.set()
                    await asyncio.sleep(DEADLINE_S)

            task = asyncio.create_task(work())
            await asyncio.wait_for(inside.wait(), DEADLINE_S)
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(whole())
    assert generation(fake, "g")["outcome"] == "cancelled"
    assert state(fake) == (1_000, 0, 0)


def test_cancelled_while_it_is_held_it_goes_back(fake: FakeScrip, tmp_path: Path) -> None:
    async def whole() -> None:
        async with async_worker(fake, journal=tmp_path / "j", patience_s=DEADLINE_S) as scrip:
            fake.lose_answers(1_000)
            entering = asyncio.create_task(scrip.generation(**PICTURE, id="g").__aenter__())
            await wait_until(lambda: asked(fake, "/generations") > 0)
            entering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await entering
            fake.lose_answers(0)

    asyncio.run(whole())
    assert generation(fake, "g")["outcome"] == "cancelled"
    assert state(fake) == (1_000, 0, 0)


def test_settled_through_the_topic(fake: FakeScrip) -> None:
    arguments: dict[str, Any] = {"settle": "kafka", "organisation": "acme", "publisher": fake.topic}
    with worker(fake, **arguments) as scrip:
        with scrip.generation(**PICTURE, id="g1") as g:
            g.confirm(contents=[{"bytes": 4}], generation_time_ms=7)
        with pytest.raises(ZeroDivisionError), scrip.generation(**PICTURE, id="g2"):
            1 / 0  # noqa: B018 - the model's fault
        with scrip.generation(**PICTURE) as large:
            large.confirm(contents=[{"bytes": 1}] * 101)  # more than a message may hold
    assert (g.settled, g.receipt) == (True, None)
    assert (asked(fake, "/confirm"), asked(fake, "/fail"), len(fake.topic.records)) == (1, 0, 2)
    record = fake.topic.records[0]
    headers = dict(record.headers)
    assert (record.topic, record.key) == ("scrip.usage", b"acme/u")
    assert headers["ce_type"] == b"scrip.usage.generation.completed"
    assert (headers["ce_scriporg"], headers["scripauth"]) == (b"acme", fake.token().encode())
    assert [generation(fake, id_)["status"] for id_ in ("g1", "g2")] == ["completed", "failed"]
    assert state(fake) == (820, 0, 180)


def test_settings_that_cannot_work_are_refused_at_once(fake: FakeScrip) -> None:
    for wrong in ({"settle": "post"}, {"settle": "kafka"}, {"settle": "kafka", "publisher": fake.topic}):
        with pytest.raises(ValueError, match=r"settle"):
            worker(fake, **wrong)
    with pytest.raises(ValueError, match="patience"):
        worker(fake, patience_s=-1)


def test_one_client_serves_many_tasks_and_threads(fake: FakeScrip, tmp_path: Path) -> None:
    fake.give("u", credits=9_000)

    async def tasks() -> None:
        async with async_worker(fake, journal=tmp_path / "tasks", patience_s=DEADLINE_S) as scrip:

            async def one(number: int) -> None:
                async with scrip.generation(**PICTURE) as g:
                    await asyncio.sleep(0)
                    g.confirm(content_bytes=number)

            await asyncio.gather(*(one(number) for number in range(20)))

    asyncio.run(tasks())
    with worker(fake, journal=tmp_path / "threads") as scrip, ThreadPoolExecutor(4) as pool:

        def one(number: int) -> bool:
            with scrip.generation(**PICTURE) as g:
                g.confirm(content_bytes=number)
            return g.settled

        assert all(pool.map(one, range(20)))
    assert state(fake) == (10_000 - 40 * 90, 0, 40 * 90)
    with worker(fake, journal=tmp_path / "tasks") as first, worker(fake, journal=tmp_path / "threads") as second:
        assert first.terms.journal is not None
        assert second.terms.journal is not None
        assert (first.terms.journal.left, second.terms.journal.left) == ({}, {})
