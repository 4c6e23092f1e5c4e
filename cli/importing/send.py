"""Sends rows to `scrip.usage` and waits until each is charged or refused, by the log and the quarantine."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

import psycopg
from aiokafka import AIOKafkaProducer
from psycopg import AsyncConnection

from cli.failure import Failure
from cli.importing.forms import source_of
from cli.importing.rows import UsageRow
from cli.service.tokens import signed_token
from consumers.cloud_event import AUTH_HEADER
from consumers.intake.record import content_fingerprint
from consumers.usage import METERED
from infra.kafka.client import kafka_arguments
from infra.kafka.topics import USAGE, topic_name
from infra.postgres.session import options
from infra.quarantine import CALLER, quarantine_id, undecided
from infra.settings import Settings

# `limit 1` keeps the planner at one index look-up for each key, also while new tables have no statistics yet.
APPLIED = """
    select c.key, (convert_from(e.data, 'UTF8')::jsonb #>> '{data,amount}')::bigint, c.fingerprint
    from unnest(%b::text[]) as wanted (key)
    cross join lateral (
        select * from commands where org = %b and caller = %b and key = wanted.key limit 1
    ) c
    left join lateral (
        select data from events where c.events > 0 and partition = c.partition and position = c.position limit 1
    ) e on true"""

REASONS = """
    select q.reason, count(*), min(q.detail) from quarantine q
    where q.id = any(%b::text[]) and q.resolved_at is null group by q.reason"""


@dataclass(slots=True)
class Tally:
    """Counts of an import. `rows` = `free` (cost nothing) + `repeated` + `already` + `applied` + `refused`."""

    rows: int = 0
    free: int = 0
    repeated: int = 0  # the same identity and content again in the same file
    sent: int = 0
    applied: int = 0
    already: int = 0
    refused: int = 0
    credits: int = 0  # charged by this import
    already_credits: int = 0  # charged for the same rows by earlier ones
    reasons: Counter[str] = field(default_factory=Counter)
    details: dict[str, str] = field(default_factory=dict)  # one example for each reason

    @property
    def decided(self) -> int:
        """Rows about which nothing is left to wait for."""
        return self.free + self.repeated + self.already + self.applied + self.refused

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "sent": self.sent,
            "applied": self.applied,
            "already_applied": self.already,
            "free": self.free,
            "repeated_in_file": self.repeated,
            "refused": self.refused,
            "reasons": dict(self.reasons),
            "credits_debited": self.credits,
            "credits_debited_before": self.already_credits,
        }


class Charged(NamedTuple):
    """What an applied usage event cost in credits, and the fingerprint of its content."""

    credits: int
    fingerprint: bytes


async def applied(connection: AsyncConnection[Any], org: str, source: str, ids: Sequence[str]) -> dict[str, Charged]:
    """Of these usage events those that were applied."""
    rows = await connection.execute(APPLIED, (list(ids), org, CALLER + source))
    return {key: Charged(int(amount or 0), bytes(print_ or b"")) for key, amount, print_ in await rows.fetchall()}


async def refused(
    connection: AsyncConnection[Any], org: str, source: str, ids: Sequence[str]
) -> list[tuple[str, int, str]]:
    """Why events wait in quarantine: reason, how many, and one of the sentences."""
    hashes = [quarantine_id(org, source, event_id) for event_id in ids]
    rows = await connection.execute(REASONS, (hashes,))
    return [(reason, int(count), detail) for reason, count, detail in await rows.fetchall()]


CHUNK = 2_000  # rows looked up and sent at once
IN_FLIGHT = 20_000  # rows sent and not yet decided: what an interrupted import sends again at most
POLL_S = 0.1
PATIENCE_S = 120.0  # without any progress
ID_REUSED = "id_reused"

Seen = Callable[[Tally], None]


class Importer:
    """One import: `await Importer(...).run(rows)`. Stopped at any moment and run again, it goes on where it was."""

    def __init__(self, settings: Settings, org: str, seen: Seen, token: str = "", *, own_ids: bool = False) -> None:
        """`seen(tally)` is called as the figures change. `token`: the sender's, else one that we sign.

        `own_ids`: the file names its rows, so a row that was charged under this id with another content is refused.
        """
        self._own_ids = own_ids
        self._settings = settings
        self._org = org
        self._seen = seen
        self._open: dict[str, list[str]] = defaultdict(list)  # account -> ids sent and not yet decided
        self._in_flight = 0
        self._credential = credential(settings, org, token)
        self.tally = Tally()

    async def run(self, rows: Iterable[UsageRow]) -> Tally:
        """Charge the rows. Raises Failure when nothing moves for two minutes, psycopg.Error, KafkaError."""
        uri = self._settings.auditor_url.get_secret_value()
        producer = AIOKafkaProducer(
            **kafka_arguments(self._settings), enable_idempotence=True, linger_ms=5, max_batch_size=262_144
        )
        async with await AsyncConnection.connect(uri, autocommit=True, options=options()) as connection:
            await producer.start()
            try:
                await self._run(connection, producer, iter(rows))
            finally:
                await producer.stop()
        return self.tally

    async def _run(self, connection: AsyncConnection[Any], producer: Any, rows: Iterator[UsageRow]) -> None:
        since = await database_time(connection)
        while chunk := list(islice(rows, CHUNK)):
            await self._send(connection, producer, chunk)
            if self._in_flight > IN_FLIGHT - CHUNK:
                await self._settle(connection, since, IN_FLIGHT // 2)
        await self._settle(connection, since, 0)

    async def _send(self, connection: AsyncConnection[Any], producer: Any, chunk: Sequence[UsageRow]) -> None:
        self.tally.rows += len(chunk)
        by_account: dict[str, list[UsageRow]] = defaultdict(list)
        for row in chunk:
            if row.repeated:
                self.tally.repeated += 1
            elif row.data is None:
                self.tally.free += 1
            else:
                by_account[row.account].append(row)
        acknowledged = []
        for account, rows in by_account.items():
            source = source_of(self._org, account)
            known = await applied(connection, self._org, source, [row.id for row in rows])
            new: list[UsageRow] = []
            for row in rows:
                charged = known.get(row.id)
                if charged is None:
                    new.append(row)
                elif self._own_ids and charged.fingerprint != content_fingerprint(METERED, row.data):
                    self._refuse(row)
                else:
                    self.tally.already += 1
                    self.tally.already_credits += charged.credits
            key = f"{self._org}/{account}".encode()
            for row in new:
                headers = [*usage_headers(self._org, source, row.id, METERED, row.time), *self._credential]
                value = json.dumps(row.data, ensure_ascii=False).encode()
                topic = topic_name(self._settings, USAGE)
                acknowledged.append(await producer.send(topic, value, key=key, headers=headers))
            self._open[account] += [row.id for row in new]
        await asyncio.gather(*acknowledged)
        self.tally.sent += len(acknowledged)
        self._in_flight += len(acknowledged)
        self._seen(self.tally)

    def _refuse(self, row: UsageRow) -> None:
        """A row with the id of another one: what was charged is not what it says."""
        self.tally.refused += 1
        self.tally.reasons[ID_REUSED] += 1
        self.tally.details.setdefault(ID_REUSED, f"{row.id} was charged before with another content")

    async def _settle(self, connection: AsyncConnection[Any], since: datetime, down_to: int) -> None:
        """Wait until at most `down_to` of the sent rows are undecided."""
        moved = time.monotonic()
        while self._in_flight > down_to:
            before = self._in_flight
            for account, ids in list(self._open.items()):
                await self._count(connection, account, ids, since)
            self._seen(self.tally)
            if self._in_flight < before:
                moved = time.monotonic()
            elif time.monotonic() - moved > PATIENCE_S:
                raise Failure(
                    f"{self._in_flight} rows were sent and nothing has happened to them for {PATIENCE_S:.0f} s;"
                    " does the intake run? Importing again goes on from here."
                )
            if self._in_flight > down_to:
                await asyncio.sleep(POLL_S)

    async def _count(self, connection: AsyncConnection[Any], account: str, ids: Sequence[str], since: datetime) -> None:
        source = source_of(self._org, account)
        # One account's events are decided in the order in which they were sent: the first tell how far it is.
        first, rest = ids[:CHUNK], ids[CHUNK:]
        left = await undecided(connection, self._org, source, first, since)
        waiting = set(left)
        decided = [id_ for id_ in first if id_ not in waiting]
        if not decided:
            return
        charged = await applied(connection, self._org, source, decided)
        self.tally.applied += len(charged)
        self.tally.credits += sum(each.credits for each in charged.values())
        kept_out = [id_ for id_ in decided if id_ not in charged]
        if kept_out:
            self.tally.refused += len(kept_out)
            for reason, count, detail in await refused(connection, self._org, source, kept_out):
                self.tally.reasons[reason] += count
                self.tally.details.setdefault(reason, detail)
        self._in_flight -= len(decided)
        if left or rest:
            self._open[account] = [*left, *rest]
        else:
            del self._open[account]


def usage_headers(org: str, source: str, id_: str, type_: str, time_: str | None = None) -> list[tuple[str, bytes]]:
    """The CloudEvents headers of a usage event, without a credential."""
    given = {"specversion": "1.0", "id": id_, "source": source, "type": type_, "scriporg": org}
    if time_ is not None:
        given["time"] = time_
    headers = [(f"ce_{name}", value.encode()) for name, value in given.items()]
    return [*headers, ("content-type", b"application/json")]


def credential(settings: Settings, org: str, token: str = "") -> list[tuple[str, bytes]]:
    """The header that says who sends: the given token, else a worker's that we sign, else the one in SCRIP_TOKEN.

    Without any of them none is sent where the broker is trusted. Raises Failure elsewhere.
    """
    if not token and settings.jwt_secret.get_secret_value():
        token = signed_token(settings, org=org, sub="scrip-import", role="worker", ttl_s=86_400)
    token = token or os.environ.get("SCRIP_TOKEN", "")
    if token:
        return [(AUTH_HEADER, token.encode())]
    if settings.trust_broker:
        return []
    raise Failure("SCRIP_JWT_SECRET is not set: set SCRIP_TOKEN to a worker's token or API key.")


async def database_time(connection: AsyncConnection[Any]) -> datetime:
    """The ledger's clock, from which on the outcome of events is asked for."""
    row = await (await connection.execute("select scrip_now()")).fetchone()
    if row is None:
        raise psycopg.DataError("the database does not tell its time")
    now: datetime = row[0]
    return now
