"""The whole audit: chain, topic, rules of the ledger, read models, all as of one consistent cut."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from time import monotonic

from aiokafka.errors import KafkaError

from infra.audit.chain import check_chain
from infra.audit.generations import must_have_rules
from infra.audit.read_models import ReadModels, check_ledger
from infra.audit.report import Differs, Progress, Report, Section
from infra.audit.store import Connection, connect, one_moment
from infra.audit.tables import NotShown
from infra.audit.topic import check_topic
from infra.kafka.client import kafka_arguments
from infra.kafka.topics import LEDGER, topic_name
from infra.log.postgres import PostgresLog
from infra.settings import Settings

POLL_S = 0.05


def _silent(_section: str, _done: int, _total: int) -> None:
    """For callers who do not want to see how far the audit is."""


async def verify(
    settings: Settings, resources: Mapping[str, str], progress: Progress = _silent, deadline_s: float = 60.0
) -> Report:
    """Check everything up to the last event that is committed now, while the service goes on.

    `resources`: the names of the limited resources that there are, with how their streams begin.
    Reads with `settings.auditor_url`. Topic and read models get `deadline_s` to come up to that event; where they
    do not, that is their section's difference. `progress` is called from several threads, one at a time.
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


class _Audit:
    """One run."""

    def __init__(self, settings: Settings, uri: str, progress: Progress, deadline: float) -> None:
        self._settings = settings
        self._uri = uri
        self._progress = progress
        self._deadline = deadline
        self.log_id = ""
        self.cut: dict[int, int] = {}

    async def chain(self) -> Section:
        """Every partition's hash chain, positions, versions and times."""

        def run(section: Section) -> None:
            with one_moment(self._uri) as connection:
                check_chain(connection, self.cut, section, self._steps("chain", self.cut))

        async with _checking(Section("chain")) as section:
            await asyncio.to_thread(run, section)
        return section

    async def topic(self) -> Section:
        """Store and topic, record by record."""
        async with _checking(Section("topic")) as section:
            await check_topic(
                kafka_arguments(self._settings),
                topic_name(self._settings, LEDGER),
                self._uri,
                self.log_id,
                self.cut,
                section,
                max(0.0, self._deadline - monotonic()),
                self._steps("topic", self.cut),
            )
        return section

    async def ledger(self) -> list[Section]:
        """The rules of the ledger after every event and, where they have come up, the read models."""
        async with _checking(Section("read models")) as models:
            await self._wait_for_read_models()
        async with _checking(Section("ledger")) as ledger:
            await asyncio.to_thread(self._fold, ledger, models)
        return [ledger, models]

    def _fold(self, ledger: Section, models: Section) -> None:
        if models.difference is not None:
            with one_moment(self._uri) as connection:
                check_ledger(connection, self.cut, ledger, None, self._steps("ledger", self.cut))
            return
        started = monotonic()
        with one_moment(self._uri, read_models=True) as connection:
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
            if monotonic() > self._deadline:
                raise behind
            await asyncio.sleep(POLL_S)

    def _behind(self) -> Differs | None:
        with connect(self._uri) as connection:
            reached = checkpoints(connection)
        if sorted(reached) != sorted(self.cut):
            return Differs("partitions of the read models", sorted(self.cut), sorted(reached))
        for partition, position in self.cut.items():
            if reached[partition] < position:
                where = f"checkpoint of the read models in partition {partition}"
                return Differs(where, f"{position} or later", reached[partition])
        return None

    def _steps(self, name: str, cut: Mapping[int, int]) -> "_Steps":
        return _Steps(self._progress, name, sum(cut.values()))


class _Steps:
    """Adds up what is done of one section."""

    def __init__(self, progress: Progress, name: str, total: int) -> None:
        self._progress = progress
        self._name = name
        self._total = total
        self._done = 0

    def __call__(self, more: int) -> None:
        self._done = min(self._done + more, self._total)
        self._progress(self._name, self._done, self._total)


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
