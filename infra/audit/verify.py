"""The whole audit: chain, topic, rules of the ledger, read models, all as of one consistent cut."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from time import monotonic

from aiokafka.errors import KafkaError

from infra.audit.generations import must_have_rules
from infra.audit.read_models import NotShown, ReadModels, check_ledger
from infra.audit.report import Differs, Progress, Report, Section
from infra.audit.store import Connection, connect, events, one_moment
from infra.audit.topic import check_topic
from infra.kafka.client import kafka_arguments
from infra.kafka.topics import LEDGER, topic_name
from infra.log.events import LedgerEvent
from infra.log.postgres import PostgresLog
from infra.partitions import partition_of
from infra.settings import Settings

POLL_S = 0.05
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = bytes(32)  # in place of the hash before a partition's first event

_VERSIONS = """
    select position, stream, version, expected from (
        select position, stream, version, row_number() over (partition by org, stream order by position) as expected
        from events where partition = %s and position <= %s
    ) numbered
    where version <> expected order by position limit 1"""


async def verify(
    settings: Settings, resources: Mapping[str, str], progress: Progress | None = None, deadline_s: float = 60.0
) -> Report:
    """Check everything up to the last event that is committed now, while the service goes on.

    `resources`: the names of the limited resources that there are, with how their streams begin.
    Reads with `settings.auditor_url`. Topic and read models have `deadline_s` to reach that event; where they do
    not, that is their section's difference. `progress` is called from several threads, one at a time.
    Raises NoRule before anything is read, psycopg.Error where the store cannot be read, LookupError where it has no
    log.
    """
    must_have_rules(resources)
    uri = settings.auditor_url.get_secret_value()
    audit = _Audit(settings, uri, progress, monotonic() + deadline_s)
    audit.log_id, audit.cut = await asyncio.to_thread(_start, uri)
    sections = [await audit.chain(), await audit.topic(), *await audit.ledger()]
    return Report(audit.log_id, audit.cut, sections)


def _start(uri: str) -> tuple[str, dict[int, int]]:
    with one_moment(uri) as connection:
        log = PostgresLog.within(connection)
        return log.id, log.heads()


@dataclass
class _Audit:
    """One run."""

    settings: Settings
    uri: str
    progress: Progress | None
    deadline: float
    log_id: str = ""
    cut: dict[int, int] = field(default_factory=dict)

    async def chain(self) -> Section:
        def run(section: Section) -> None:
            with one_moment(self.uri) as connection:
                check_chain(connection, self.cut, section, self._steps("chain", self.cut))

        async with _checking(Section("chain")) as section:
            await asyncio.to_thread(run, section)
        return section

    async def topic(self) -> Section:
        async with _checking(Section("topic")) as section:
            await check_topic(
                kafka_arguments(self.settings),
                topic_name(self.settings, LEDGER),
                self.uri,
                self.log_id,
                self.cut,
                section,
                max(0.0, self.deadline - monotonic()),
                self._steps("topic", self.cut),
            )
        return section

    async def ledger(self) -> list[Section]:
        """The rules of the ledger after every event, and the read models where they have reached the cut."""
        async with _checking(Section("read models")) as models:
            await self._wait_for_read_models()
        async with _checking(Section("ledger")) as ledger:
            await asyncio.to_thread(self._fold, ledger, models)
        return [ledger, models]

    def _fold(self, ledger: Section, models: Section) -> None:
        if models.difference is not None:
            with one_moment(self.uri) as connection:
                check_ledger(connection, self.cut, ledger, None, self._steps("ledger", self.cut))
            return
        started = monotonic()
        with one_moment(self.uri, read_models=True) as connection:
            cut = checkpoints(connection)
            try:
                _must_be_of_the_log(connection, cut)
                shown = ReadModels(connection, models)
                check_ledger(connection, cut, ledger, shown, self._steps("ledger", cut))
            except NotShown as difference:
                models.difference = difference
            finally:
                models.seconds += monotonic() - started

    async def _wait_for_read_models(self) -> None:
        while True:
            behind = await asyncio.to_thread(self._behind)
            if behind is None:
                return
            if monotonic() > self.deadline:
                raise behind
            await asyncio.sleep(POLL_S)

    def _behind(self) -> Differs | None:
        with connect(self.uri) as connection:
            reached = checkpoints(connection)
        if sorted(reached) != sorted(self.cut):
            return Differs("partitions of the read models", sorted(self.cut), sorted(reached))
        for partition, position in self.cut.items():
            if reached[partition] < position:
                where = f"checkpoint of the read models in partition {partition}"
                return Differs(where, f"{position} or later", reached[partition])
        return None

    def _steps(self, name: str, cut: Mapping[int, int]) -> Callable[[int], None]:
        """A function that reports how much more of a section is done."""
        done, total = 0, sum(cut.values())

        def step(more: int) -> None:
            nonlocal done
            done = min(done + more, total)
            if self.progress is not None:
                self.progress(name, done, total)

        return step


@asynccontextmanager
async def _checking(section: Section) -> AsyncIterator[Section]:
    """Time a section and note what it finds; a broker that does not answer is a finding, too."""
    started = monotonic()
    try:
        yield section
    except Differs as difference:
        section.difference = difference
    except (KafkaError, OSError) as error:
        section.difference = Differs(section.name, "an answer from Kafka", f"{type(error).__name__}: {error}")
    finally:
        section.seconds += monotonic() - started


def checkpoints(connection: Connection) -> dict[int, int]:
    """How far the live read models are."""
    return {row[0]: row[1] for row in connection.execute("select partition, position from read.checkpoints")}


def _must_be_of_the_log(connection: Connection, cut: Mapping[int, int]) -> None:
    """A checkpoint lies within the log and carries the time of its event."""
    found = connection.execute(
        "select c.partition, c.position, c.time, e.time from read.checkpoints c"
        " left join events e on e.partition = c.partition and e.position = c.position where c.position > 0"
    )
    for partition, position, said, is_ in found:
        if said != is_ or position > cut[partition]:
            raise NotShown(f"checkpoint of the read models in partition {partition}, position {position}", is_, said)


def check_chain(
    connection: Connection, cut: Mapping[int, int], section: Section, step: Callable[[int], None] = lambda _done: None
) -> None:
    """Check every partition up to its position in `cut`; the connection must be in a transaction.

    Positions and stream versions have no gap, time never goes back, organisations are where they belong and every
    hash is that of its row and of the hash before. Raises Differs at the first row that is not so.
    """
    partitions = len(cut)
    for partition, last in cut.items():
        position, previous, time = 0, START, EPOCH
        for event in events(connection, partition, last):
            _check(event, partitions, position + 1, previous, time)
            position, time, previous = event.position, event.time, event.hash
            section.count("events")
            if not position % 1000:
                step(1000)
        if position != last:
            raise Differs(f"partition {partition}", f"{last} events", f"{position} events")
        if last:
            section.count("partitions")
        for at, stream, version, expected in connection.execute(_VERSIONS, (partition, last)):
            raise Differs(f"version of partition {partition} position {at} in stream {stream}", expected, version)


def _check(event: LedgerEvent, partitions: int, expected: int, previous: bytes, time: datetime) -> None:
    partition, position, org, stream, version, type_, _, _, at, data, hash_ = event
    where = f"partition {partition} position {expected}"
    if position != expected:
        raise Differs(where, "an event", f"none before position {position}")
    if partition_of(org, partitions) != partition:
        raise Differs(f"partition of organisation {org} at {where}", partition_of(org, partitions), partition)
    if at < time:
        raise Differs(f"time of {where}", f"{time.isoformat()} or later", at.isoformat())
    link = hash_of(previous, partition, position, org, stream, version, type_, at, data)
    if link != hash_:
        raise Differs(f"hash of {where}", link.hex(), hash_.hex())


def hash_of(
    previous: bytes,
    partition: int,
    position: int,
    org: str,
    stream: str,
    version: int,
    type_: str,
    time: datetime,
    data: bytes,
) -> bytes:
    """SHA-256 over the hash before and one row, as the contract words it; texts and bytes carry their lengths.

    Written out a second time, so that the writers' code is not checked by itself.
    """
    since = time - EPOCH
    micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    parts = [str(partition), str(position), *map(_sized, (org, stream)), str(version), _sized(type_), str(micros)]
    text = "|".join([*parts, str(len(data)), ""])
    return sha256(previous + text.encode() + data).digest()


def _sized(text: str) -> str:
    return f"{len(text)}:{text}"
