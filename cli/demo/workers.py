"""The demo's generation workers: they take a generation, take their time, and report through Kafka, as real ones do."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

from cli.demo.caller import Caller, Tally, answered
from cli.demo.figures import Needs, Price
from cli.demo.plan import EXPIRING, PATIENT_TTL_S, SHORT_TTL_S, Fate, Generation, Plan
from cli.failure import Failure
from cli.importing.send import usage_headers
from consumers.cloud_event import AUTH_HEADER
from consumers.usage import COMPLETED, STARTED
from infra.kafka.topics import USAGE, topic_name
from infra.settings import Settings

AT_ONCE = 24
LATE_BY_S = 1.5  # after the hold's end
GENERATIONS = "/api/v1/generations"


class Workers:
    """Simulates the plan."""

    def __init__(
        self, settings: Settings, plan: Plan, needs: Needs, caller: Caller, producer: Any, tally: Tally
    ) -> None:
        """`producer` is a started aiokafka producer."""
        self.source = f"demo-worker:{plan.run}"
        self._sent: dict[str, dict[str, None]] = {org: {} for org in plan.users}  # each id once
        self._topic = topic_name(settings, USAGE)
        self._trusted = settings.trust_broker
        self._plan = plan
        self._needs = needs
        self._caller = caller
        self._producer = producer
        self._tally = tally
        self._room = asyncio.Semaphore(AT_ONCE)

    @property
    def sent(self) -> dict[str, list[str]]:
        """The ids of the messages by organisation."""
        return {org: list(ids) for org, ids in self._sent.items()}

    async def run(self) -> None:
        """Return when every message is with Kafka. The first failure ends all."""
        async with asyncio.TaskGroup() as group:
            for generation in self._plan.generations:
                await self._room.acquire()
                group.create_task(self._generate(generation))

    async def _generate(self, generation: Generation) -> None:
        try:
            await self._hold(generation)
            self._tally.running += 1
            if generation.fate not in EXPIRING:  # a worker that dies may not even have begun
                await self._send(generation, STARTED, {"generation_id": generation.id})
            await asyncio.sleep(generation.takes_s)
            self._tally.running -= 1
        finally:
            self._room.release()
        # Who is late does not keep others from working.
        if generation.fate is Fate.TOO_LATE:
            await asyncio.sleep(SHORT_TTL_S + LATE_BY_S)
        if generation.fate is not Fate.NEVER_SETTLED:
            await self._report(generation)
        self._tally.settled[generation.fate] += 1

    async def _hold(self, generation: Generation) -> None:
        """The user, or a worker for them, asks for the generation. Raises Failure where it is refused or misquoted."""
        ttl = SHORT_TTL_S if generation.fate in EXPIRING else PATIENT_TTL_S
        asked = {"id": generation.id, "ttl_seconds": ttl, "reason": "demo", **generation.item.asked}
        if generation.by_user:
            answer = await self._caller.user(
                "POST", GENERATIONS, generation.org, generation.user, asked, key=generation.id
            )
            held = answered(GENERATIONS, answer)
        else:
            asked["user_id"] = generation.user
            held = await self._caller.worker(GENERATIONS, generation.org, asked, key=generation.id)
        price = Price.of(held["quote"])
        if price != self._needs.price(generation):
            raise Failure(f"{generation.id} was checked at {self._needs.price(generation)}, but held at {price}.")
        self._tally.was_held()

    async def _report(self, generation: Generation) -> None:
        """How it ended; a second copy of it where the fate is to be reported twice."""
        data: dict[str, Any] = {
            "generation_id": generation.id,
            "success": generation.charged,
            "provider_cost": {"amount": f"0.{generation.cost:06}", "currency": "USD"},
            "generation_time_ms": int(generation.takes_s * 1000),
        }
        if not generation.charged:
            data |= {"outcome": "provider_error", "error_message": "the provider did not answer"}
        elif generation.stored:
            url = f"https://cdn.example/{generation.id}"
            data["contents"] = [{"id": f"{generation.id}.1", "url": url, "bytes": generation.stored}]
        await self._send(generation, COMPLETED, data)
        if generation.fate is Fate.SUCCEEDS_TWICE:
            await asyncio.sleep(random.uniform(0, 0.5))  # noqa: S311 - a simulation
            await self._send(generation, COMPLETED, data)

    async def _send(self, generation: Generation, type_: str, data: dict[str, Any]) -> None:
        event_id = f"{generation.id}.{type_.rpartition('.')[2]}"
        self._sent[generation.org][event_id] = None
        headers = usage_headers(generation.org, self.source, event_id, type_)
        if not self._trusted:
            token = self._caller.token(generation.org, "worker-1", "worker")
            headers.append((AUTH_HEADER, token.encode()))
        # One key for one user, so that what began is read before what ended.
        key = f"{generation.org}/{generation.user}".encode()
        await self._producer.send_and_wait(self._topic, json.dumps(data).encode(), key=key, headers=headers)
        self._tally.messages += 1
