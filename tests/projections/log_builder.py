"""Builds a log from real decisions without the writer: rows as the table `events` has them, hash chain included."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import psycopg

from domain.credits.address import STREAM_PREFIX
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
from domain.credits.events import Slice
from domain.kernel.execution import Decided
from domain.kernel.memory import Memory
from domain.prices.catalogue import CATALOGUE
from domain.prices.publish import PublishPrices
from domain.registry import SCRIP
from infra.log.chain import GENESIS, link_of
from infra.log.events import LedgerEvent
from infra.log.mapper import LedgerMapper
from infra.partitions import PLATFORM, partition_of

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ", ".join(LedgerEvent._fields)


class LogBuilder:
    """Decides commands one after the other; `now` moves on by a millisecond each and may be moved further."""

    def __init__(self, partitions: int = 4) -> None:
        self.now = START
        self.events: list[LedgerEvent] = []
        self.refused = 0
        self._partitions = partitions
        self._codec = LedgerMapper.of(SCRIP)
        self._memory = Memory(SCRIP, PLATFORM)
        self._versions: dict[tuple[str, str], int] = defaultdict(int)
        self._heads: dict[int, tuple[int, bytes]] = defaultdict(lambda: (0, GENESIS))

    def do(self, command: Any, org: str = "acme") -> list[LedgerEvent]:
        """Decide one command and return the rows it came to; a refused one brings only what was due."""
        return [self.store(org, stream, event) for stream, event in self.decide(command, org).events]

    def decide(self, command: Any, org: str) -> Decided:
        """Decide one command; what it comes to is in the states, and not yet in the rows."""
        self.now += timedelta(milliseconds=1)
        decided = self._memory.run(command, org, self.now)
        self.refused += decided.refusal is not None
        return decided

    def ask(self, question: Any, org: str = "acme") -> Any:
        """Answer a question as of now. Raises its refusal."""
        return self._memory.ask(question, org, self.now)

    def store(self, org: str, stream: str, event: Any) -> LedgerEvent:
        """Append an event as it is."""
        type_, data = self._codec.encode(event, "user:tester", "key")
        return self.store_bytes(org, stream, type_, data, getattr(event, "tag", None))

    def store_bytes(self, org: str, stream: str, type_: str, data: bytes, tag: str | None = None) -> LedgerEvent:
        """Append bytes under a type name, whether or not they can be read."""
        partition = partition_of(org, self._partitions)
        position, previous = self._heads[partition]
        self._versions[org, stream] += 1
        row = LedgerEvent(
            partition, position + 1, org, stream, self._versions[org, stream],
            type_, tag, "user:tester", self.now, data, b"",
        )  # fmt: skip
        row = row._replace(hash=link_of(previous, row))
        self._heads[partition] = (row.position, row.hash)
        self.events.append(row)
        return row

    def state(self, org: str, address: str) -> Any:
        """The account as decisions see it."""
        return self.stream_state(org, STREAM_PREFIX + address)

    def stream_state(self, org: str, stream: str) -> Any:
        """A stream as decisions see it."""
        return self._memory.state(org, stream)

    def heads(self) -> dict[int, tuple[int, bytes]]:
        """Position and hash of each partition's last event."""
        return dict(self._heads)

    def streams(self) -> list[tuple[str, str]]:
        """Organisation and name of every stream."""
        return list(self._versions)

    def accounts(self) -> Iterator[tuple[str, str]]:
        """Organisation and address of every account."""
        for org, stream in self._versions:
            if stream.startswith(STREAM_PREFIX):
                yield org, stream.removeprefix(STREAM_PREFIX)


def write(uri: str, events: Iterable[LedgerEvent]) -> None:
    """Put rows into the table `events`. `uri`: the owner's or the writer's."""
    statement = f"copy events ({NAMES}) from stdin (format binary)"
    with psycopg.connect(uri) as connection, connection.cursor().copy(statement) as copy:
        copy.set_types(["int2", "int8", *["text"] * 2, "int8", *["text"] * 3, "timestamptz", "bytea", "bytea"])
        for event in events:
            copy.write_row(event)


def busy(log: LogBuilder, commands: int, seed: int = 1, orgs: int = 3, users: int = 5) -> LogBuilder:  # noqa: C901 - one case for each command
    """Run random commands of all kinds, with time passing, over a few accounts. The same seed gives the same log."""
    random = Random(seed)
    log.do(PublishPrices(entries=CATALOGUE, first=True), PLATFORM)
    holds: list[tuple[str, str, str]] = []
    charges: list[tuple[str, str, str]] = []
    grants: dict[tuple[str, str, str], Slice] = {}
    for number in range(commands):
        org = f"org-{random.randrange(orgs)}"
        address = f"user:u{random.randrange(users)}:credits"
        held, held_by, hold = random.choice(holds) if holds else (org, address, "none")
        at, of, charge = random.choice(charges) if charges else (org, address, "none")
        match random.randrange(16):
            case 0 | 1:
                ends = log.now + timedelta(hours=random.choice((1, 48)))
                starts = random.choice((None, None, log.now + timedelta(minutes=20)))
                grant = Grant(address=address, grant_id=f"g{number}", amount=random.randrange(1, 5000), source="gift",
                              priority=random.randrange(3), effective_at=starts,
                              expires_at=random.choice((None, ends)))  # fmt: skip
                if log.do(grant, org):
                    terms = Slice(grant.grant_id, 0, "gift", grant.priority, grant.expires_at, log.now)
                    grants[org, address, grant.grant_id] = terms
            case 2 | 3 | 4 | 5:
                log.do(
                    Reserve(
                        address=address, reservation_id=f"r{number}", amount=random.randrange(1, 300), item="video 6s"
                    ),
                    org,
                )
                holds.append((org, address, f"r{number}"))
            case 6 | 7 | 8:
                part = random.choice((None, None, random.randrange(1, 300)))
                log.do(Capture(address=held_by, reservation_id=hold, debit_id=f"d{number}", amount=part,
                               final=random.random() < 0.7, sealed="x"), held)  # fmt: skip
                charges.append((held, held_by, f"d{number}"))
            case 9:
                log.do(Release(address=held_by, reservation_id=hold), held)
            case 10:
                log.do(Debit(address=address, debit_id=f"d{number}", amount=random.randrange(1, 200)), org)
                charges.append((org, address, f"d{number}"))
            case 11:
                log.do(Refund(address=of, refund_id=f"f{number}", debit_id=charge, amount=random.choice((None, 5))), at)
            case 12:
                to = f"user:u{random.randrange(users)}:credits"
                log.do(Transfer(address=address, to=to, transfer_id=f"t{number}", amount=random.randrange(1, 100)), org)
            case 13:
                log.do(Extend(address=held_by, reservation_id=hold, ttl_s=900, grow=random.choice((0, 20))), held)
            case 14:
                name = f"g{random.randrange(number + 1)}"
                log.do(VoidGrant(address=address, grant_id=name, known=grants.get((org, address, name))), org)
            case 15:
                log.do(ConfigureAccount(address=address, credit_limit=random.choice((0, 200))), org)
        log.now += timedelta(seconds=random.choice((0, 1, 5, 300)))
    return log
