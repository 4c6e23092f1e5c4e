"""The demo's generation workers: they take a hold, take their time, and report through Kafka, as real ones do."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

from cli.demo.plan import EXPIRING, SHORT_TTL_S, Fate, Generation, Plan
from cli.demo.platform import Platform
from cli.demo.tally import Tally
from cli.service.tokens import signed_token
from consumers.cloud_event import AUTH_HEADER
from consumers.usage import COMPLETED
from infra.settings import Settings
from infra.topics import USAGE, topic_name

AT_ONCE = 24
LATE_BY_S = 1.5  # after the hold's end


class Workers:
    """Simulates the plan; afterwards `sent` has the ids of the messages by organisation."""

    def __init__(self, settings: Settings, plan: Plan, platform: Platform, producer: Any, tally: Tally) -> None:
        """`producer` is a started aiokafka producer."""
        self.source = f"demo-worker:{plan.run}"
        self.sent: dict[str, list[str]] = {org: [] for org in plan.users}
        self._topic = topic_name(settings, USAGE)
        self._plan = plan
        self._platform = platform
        self._producer = producer
        self._tally = tally
        self._settings = settings
        self._room = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Return when every message is with Kafka. The first failure ends all."""
        async with asyncio.TaskGroup() as group:
            for generation in self._plan.generations:
                await self._room.acquire()
                group.create_task(self._generate(generation))

    async def _generate(self, generation: Generation) -> None:
        try:
            held = await self._platform.reserve(generation)
            self._tally.running += 1
            await asyncio.sleep(generation.takes_s)
            self._tally.running -= 1
        finally:
            self._room.release()
        # Who is late does not keep others from working.
        if generation.fate is Fate.TOO_LATE:
            await asyncio.sleep(SHORT_TTL_S + LATE_BY_S)
        if generation.fate is not Fate.NEVER_SETTLED:
            await self._report(generation, held)
        self._tally.settled[generation.fate] += 1

    async def _report(self, generation: Generation, held: str) -> None:
        """One message; a second copy of it where the fate is to be reported twice."""
        data: dict[str, Any] = {
            "generation_id": held,
            "success": generation.fate is not Fate.FAILS,
            "generation_time_ms": int(generation.takes_s * 1000),
        }
        if generation.fate is Fate.FAILS:
            data |= {"outcome": "provider_error", "error_message": "the provider did not answer"}
        event_id = f"{self._plan.run}-{generation.number}"
        self.sent[generation.org].append(event_id)
        await self._send(generation, event_id, data)
        if generation.fate is Fate.SUCCEEDS_TWICE:
            await asyncio.sleep(random.uniform(0, 0.5))  # noqa: S311 - a simulation
            await self._send(generation, event_id, data)

    async def _send(self, generation: Generation, event_id: str, data: dict[str, Any]) -> None:
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_id", event_id.encode()),
            ("ce_source", self.source.encode()),
            ("ce_type", COMPLETED.encode()),
            ("ce_scriporg", generation.org.encode()),
            ("content-type", b"application/json"),
        ]
        if not self._settings.trust_broker:
            token = signed_token(self._settings, org=generation.org, sub="worker-1", role="worker", ttl_s=3600)
            headers.append((AUTH_HEADER, token.encode()))
        key = f"{generation.org}/{generation.account}".encode()
        await self._producer.send_and_wait(self._topic, json.dumps(data).encode(), key=key, headers=headers)
        self._tally.messages += 1


def expected_quarantine(plan: Plan) -> int:
    """How many messages must end in quarantine: those that came after the hold's end."""
    return sum(generation.fate is Fate.TOO_LATE for generation in plan.generations)


def expected_expiries(plan: Plan) -> int:
    """How many holds must expire."""
    return sum(generation.fate in EXPIRING for generation in plan.generations)
