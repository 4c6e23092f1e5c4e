"""Clients that spend credits over HTTP and Kafka, and repeat whatever had no definite answer under the same key."""

import asyncio
import json
import threading
from contextlib import suppress
from random import Random
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from cli.service.tokens import signed_token
from consumers.usage import COMPLETED, METERED
from infra.kafka.client import kafka_arguments
from infra.kafka.topics import USAGE, topic_name
from infra.settings import Settings
from tests.faults.history import FAIL, INFO, OK, History, Operation, Told
from tests.loopback import NO_TLS

ORGS = ("red", "green", "blue")
ACCOUNTS = tuple(f"user:u{number}:credits" for number in range(3))
SOURCE = "campaign"
GRANTED = 10**9
SHORT_TTL_S = 2
PAUSE_S = 0.1
ATTEMPT_S = 15.0
UNCERTAIN = 500  # statuses from here on tell nothing about what was done
IN_PROGRESS = "in_progress"
REFUNDED, GRANTED_ANEW, SENT_TWICE = 0.4, 0.5, 0.1  # shares

_ACCOUNT = "/api/v1/accounts/{account}"
# Where each kind goes, an HTTP path or a CloudEvents type, and the type of the one event that it must leave.
KINDS = {
    "grant": (f"{_ACCOUNT}/grants", "credits-granted.v1"),
    "reserve": (f"{_ACCOUNT}/reservations", "credits-reserved.v1"),
    "capture": (f"{_ACCOUNT}/reservations/{{id}}/capture", "reservation-captured.v1"),
    "release": (f"{_ACCOUNT}/reservations/{{id}}/release", "reservation-released.v1"),
    "debit": (f"{_ACCOUNT}/debits", "credits-debited.v1"),
    "refund": (f"{_ACCOUNT}/debits/{{id}}/refunds", "credits-refunded.v1"),
    "transfer": (f"{_ACCOUNT}/transfers", "credits-transferred-out.v1"),
    "metered": (METERED, "credits-debited.v1"),
    "done": (COMPLETED, "reservation-captured.v1"),
    "failed": (COMPLETED, "reservation-released.v1"),
}


class Clients:
    """`count` clients on one event loop until `stop`; afterwards every operation in the history is definite.

    Each waits `pause_s` seconds after each of its turns: without that they take all that the machine has.
    """

    def __init__(
        self, settings: Settings, url: str, history: History, seed: int, count: int = 6, pause_s: float = 0.0
    ) -> None:
        self._settings = settings
        self._url = url
        self._history = history
        self._seed = seed
        self._count, self._pause_s = count, pause_s
        self._numbers = iter(range(10**9))
        self._stop = threading.Event()
        self._tokens = {org: signed_token(settings, org=org, sub="campaign", role="admin", ttl_s=3600) for org in ORGS}
        self._producer: AIOKafkaProducer | None = None
        self._producing = asyncio.Lock()
        self.expected = {(org, account): 0 for org in ORGS for account in ACCOUNTS}

    def stop(self) -> None:
        """Let every client finish what it has begun; from any thread."""
        self._stop.set()

    async def run(self) -> None:
        """Grant everybody credits, then spend them until `stop`."""
        async with httpx.AsyncClient(base_url=self._url, timeout=ATTEMPT_S, trust_env=False, verify=NO_TLS) as http:
            self._http = http
            try:
                async with asyncio.TaskGroup() as group:
                    for org, account in self.expected:
                        group.create_task(self._grant(org, account, GRANTED))
                async with asyncio.TaskGroup() as group:
                    for number in range(self._count):
                        group.create_task(self._client(Random(f"{self._seed}/{number}")))
            finally:
                await self._drop_producer()

    async def _client(self, random: Random) -> None:
        turns = (
            (self._held, 6),
            (self._abandoned, 2),
            (self._charged, 3),
            (self._metered, 3),
            (self._given, 1),
            (self._too_much, 1),
        )
        while not self._stop.is_set():
            (turn,) = random.choices([turn for turn, _ in turns], [weight for _, weight in turns])
            await turn(random, random.choice(ORGS), random.choice(ACCOUNTS))
            await asyncio.sleep(self._pause_s)

    async def _held(self, random: Random, org: str, account: str) -> None:
        """A generation: held, then settled in one of four ways, by HTTP or through Kafka."""
        amount = random.randint(1, 1000)
        held = await self._must(self._operation("reserve", org, account, amount))
        reservation = str(held.answer["reservation_id"])
        way = random.choice(("capture", "part", "release", "done", "failed"))
        charged = {"release": 0, "failed": 0, "part": random.randint(1, amount)}.get(way, amount)
        if way in {"done", "failed"}:
            body: dict[str, Any] = {"generation_id": reservation, "success": way == "done"}
            await self._send(self._operation(way, org, account, amount, body=body), random)
        elif way == "release":
            await self._must(self._operation(way, org, account, amount, id_=reservation, body={}))
        else:
            body = {} if way == "capture" else {"amount": charged}
            await self._must(self._operation("capture", org, account, charged, id_=reservation, body=body))
        self.expected[org, account] -= charged

    async def _abandoned(self, random: Random, org: str, account: str) -> None:
        """Held and never settled: it must expire."""
        amount = random.randint(1, 1000)
        body = {"amount": amount, "ttl_seconds": SHORT_TTL_S}
        await self._must(self._operation("reserve", org, account, amount, body=body))

    async def _charged(self, random: Random, org: str, account: str) -> None:
        """Charged at once, and now and then given back in part."""
        amount = random.randint(1, 1000)
        charge = await self._must(self._operation("debit", org, account, amount))
        self.expected[org, account] -= amount
        if random.random() < REFUNDED:
            back = random.randint(1, amount)
            await self._must(self._operation("refund", org, account, back, id_=str(charge.answer["debit_id"])))
            self.expected[org, account] += back

    async def _metered(self, random: Random, org: str, account: str) -> None:
        """Charged through Kafka, now and then sent twice."""
        amount = random.randint(1, 1000)
        body = {"address": account, "amount": amount}
        await self._send(self._operation("metered", org, account, amount, body=body), random)
        self.expected[org, account] -= amount

    async def _given(self, random: Random, org: str, account: str) -> None:
        """Moved to another account, or granted anew."""
        other = random.choice([one for one in ACCOUNTS if one != account])
        amount = random.randint(1, 1000)
        if random.random() < GRANTED_ANEW:
            await self._grant(org, account, amount)
            return
        body = {"to": other, "amount": amount}
        await self._must(self._operation("transfer", org, account, amount, body=body))
        self.expected[org, account] -= amount
        self.expected[org, other] += amount

    async def _too_much(self, _random: Random, org: str, account: str) -> None:
        """Must be refused, however often it is tried."""
        told = await self._post(self._operation("debit", org, account, 10**12))
        assert (told.state, told.status) == (FAIL, httpx.codes.PAYMENT_REQUIRED), told

    async def _grant(self, org: str, account: str, amount: int) -> None:
        body = {"amount": amount, "source": "purchase"}
        await self._must(self._operation("grant", org, account, amount, body=body))
        self.expected[org, account] += amount

    def _operation(
        self, kind: str, org: str, account: str, amount: int, *, id_: str = "", body: dict[str, Any] | None = None
    ) -> Operation:
        path, effect = KINDS[kind]
        return Operation(
            kind=kind,
            effect=effect,
            org=org,
            account=account,
            key=f"{self._seed}-{next(self._numbers)}",
            path=path.format(account=account, id=id_),
            body={"amount": amount} if body is None else body,
            amount=amount,
        )

    async def _must(self, operation: Operation) -> Told:
        told = await self._post(operation)
        assert told.state == OK, told
        return told

    async def _post(self, operation: Operation) -> Told:
        """POST until the answer is definite."""
        told = self._history.invoke(operation)
        headers = {"Authorization": f"Bearer {self._tokens[operation.org]}", "Idempotency-Key": operation.key}
        while told.state == INFO:
            try:
                answer = await self._http.post(operation.path, json=operation.body, headers=headers)
            except httpx.HTTPError as error:
                self._history.note(told, INFO, why=repr(error))
            else:
                self._take(told, answer)
            if told.state == INFO:
                await asyncio.sleep(PAUSE_S)
        return told

    def _take(self, told: Told, answer: httpx.Response) -> None:
        if answer.status_code >= UNCERTAIN or (
            answer.status_code == httpx.codes.CONFLICT and answer.json().get("code") == IN_PROGRESS
        ):
            self._history.note(told, INFO, why=answer.status_code)
            return
        told.status, told.answer = answer.status_code, answer.json()
        self._history.note(told, OK if answer.is_success else FAIL, status=told.status, answer=told.answer)

    async def _send(self, operation: Operation, random: Random) -> None:
        """Send a usage event until the broker has acknowledged it."""
        told = self._history.invoke(operation)
        copies = 2 if random.random() < SENT_TWICE else 1
        while copies:
            try:
                async with asyncio.timeout(ATTEMPT_S):
                    await self._publish(operation)
            except (KafkaError, TimeoutError) as error:
                self._history.note(told, INFO, why=repr(error))
                await self._drop_producer()
                await asyncio.sleep(PAUSE_S)
            else:
                copies -= 1
        self._history.note(told, OK)

    async def _publish(self, operation: Operation) -> None:
        headers = {
            "ce_specversion": "1.0",
            "ce_id": operation.key,
            "ce_source": SOURCE,
            "ce_type": operation.path,
            "ce_scriporg": operation.org,
            "scripauth": self._tokens[operation.org],
            "content-type": "application/json",
        }
        async with self._producing:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **kafka_arguments(self._settings), acks="all", enable_idempotence=True, request_timeout_ms=5_000
                )
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
        await self._producer.send_and_wait(
            topic_name(self._settings, USAGE),
            json.dumps(operation.body).encode(),
            key=f"{operation.org}/{operation.account}".encode(),
            headers=[(name, value.encode()) for name, value in headers.items()],
        )

    async def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(ATTEMPT_S):
                    await producer.stop()
