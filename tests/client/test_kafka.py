"""Settlement through a real broker, by both clients, and once however often it is sent."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from scrip_client.steps import Record

from consumers.intake.role import run_intake
from domain.prices.publish import PublishPrices
from infra.kafka.topics import USAGE, provision, topic_name
from infra.partitions import PLATFORM
from infra.settings import Settings
from infra.writer.submission import Submission
from tests.api.generating import balance, give
from tests.api.service import ORG, Service, running, settings_of
from tests.client.places import PRICES, Opened
from tests.conftest import PARTITIONS, Database
from tests.waiting import patient

DEADLINE_S = patient(60.0)


@contextmanager
def intake(settings: Settings) -> Iterator[None]:
    """The role, in a thread."""
    ready, control = threading.Event(), {}

    async def main() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        control["stop"] = lambda: loop.call_soon_threadsafe(stop.set)
        await run_intake(settings, stop, ready.set)

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    assert ready.wait(DEADLINE_S)
    try:
        yield
    finally:
        control["stop"]()
        thread.join(DEADLINE_S)


@pytest.fixture
def whole(database: Database, kafka: str, topic_prefix: str) -> Iterator[Service]:
    """An API and an intake that trusts nobody."""
    settings = settings_of(database, kafka=kafka, topic_prefix=topic_prefix)
    asyncio.run(provision(settings, PARTITIONS))
    with running(database, settings) as made, intake(settings):
        first = PublishPrices(entries=PRICES, first=True)
        prices = Submission(org=PLATFORM, command=first, actor="bootstrap", caller="bootstrap", key="prices:1")
        made.writer.submit([prices]).result(20)
        yield made


def settled(service: Service, user: str, state: tuple[int, int, int]) -> None:
    """Wait until the account stands like this."""
    deadline = time.monotonic() + DEADLINE_S
    while balance(service, user) != state:
        assert time.monotonic() < deadline, balance(service, user)
        time.sleep(0.05)


def test_settled_through_kafka(whole: Service, tmp_path: Path, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Record] = []
    from scrip_client.kafka import KafkaPublisher

    publish = KafkaPublisher.publish

    async def twice(self: KafkaPublisher, record: Record) -> None:
        """As a worker does that crashes before it knows that the first has arrived."""
        sent.append(record)
        await publish(self, record)
        await publish(self, record)

    monkeypatch.setattr(KafkaPublisher, "publish", twice)
    give(whole, f"user:{user}:credits", 1_000)
    arguments: dict[str, Any] = {
        "url": whole.url,
        "token": whole.token("worker", "w"),
        "organisation": ORG,
        "journal": tmp_path / "j",
        "settle": "kafka",
        "kafka": whole.settings.kafka,
        "usage_topic": topic_name(whole.settings, USAGE),
    }
    for form in ("async", "blocking"):
        with Opened(form, **arguments) as scrip:
            with scrip.generation(user=user, operation="image", model="FLUX.1 [dev]", options={"count": 2}) as g:
                assert g.part(succeeded=1, content_bytes=5) is None
                g.confirm(content_bytes=7, provider_cost="0.02")
            assert (g.settled, g.receipt) == (True, None)
            with pytest.raises(RuntimeError), scrip.generation(user=user, operation="image", model="FLUX.1 [dev]"):
                raise RuntimeError("the provider is down")
    assert len(sent) == 6
    settled(whole, user, (640, 0, 360))
    assert whole.client().get("/api/v1/storage/me", params={"user_id": user}).json()["used"] == 24
