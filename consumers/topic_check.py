"""Which records of the ledger's topic are the log's own events. Nothing else may enter the read models.

Anybody who may write to the topic can make a record that looks right, its hash included: a hash is no signature. So
the chain of hashes is recomputed and must end in the hash that the log itself, in PostgreSQL, has at that position:
one look for each partition of a batch. Where it does not, each record is compared with the stored event.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import psycopg
from aiokafka import ConsumerRecord

from domain.registry import SCRIP
from domain.untagged import Untagged
from infra.kafka.record import NotALedgerRecord, difference, from_record
from infra.log.chain import GENESIS, link_of
from infra.log.events import LedgerEvent
from infra.log.mapper import LedgerMapper
from infra.log.postgres import PostgresLog
from projections.runner import Incoming

FOREIGN, MISSING = "foreign", "missing"
UNTAGGED = frozenset(name for name, event in SCRIP.events.items() if issubclass(event, Untagged))

Records = Sequence["ConsumerRecord[bytes, bytes]"]
Place = tuple[int, int]  # partition and position

_HASHES = """
    select partition, position, hash from unnest(%b::int2[], %b::int8[]) as wanted (partition, position)
    join public.events using (partition, position)"""
# What lies between the first and the last offset of a row was looked at before, whether acknowledged or not.
_NOTE = """
    with found as (
        select * from unnest(%b::int8[], %b::int8[], %b::text[]) with ordinality as f ("offset", position, reason, n)
        where not exists (
            select from public.topic_faults t where t.topic = %b and t.partition = %b and t.kind = %b
                and f."offset" between t.first_offset and t.last_offset
        )
    )
    insert into public.topic_faults as t (topic, partition, kind, first_offset, last_offset, records, position, reason)
    select %b, %b, %b, first."offset", all_.last, all_.count, first.position, first.reason
    from (select count(*) as count, max("offset") as last from found) all_,
        lateral (select * from found order by n limit 1) first
    on conflict (topic, partition, kind) where acknowledged_at is null do update set
        first_offset = least(t.first_offset, excluded.first_offset),
        last_offset = greatest(t.last_offset, excluded.last_offset),
        records = t.records + excluded.records, last_at = clock_timestamp()"""


class Fault(NamedTuple):
    """A record at `offset` that is not the log's (FOREIGN), or before which events are missing (MISSING).

    `position` is the one that the record claims, none where it claims none; or the first that is missing.
    """

    partition: int
    kind: str
    offset: int
    position: int | None
    reason: str


class TopicCheck:
    """Separates the log's own events from everything else in the topic."""

    def __init__(self) -> None:
        self._codec = LedgerMapper.of(SCRIP)
        self._log_id = ""
        self._proven: dict[int, tuple[int, bytes]] = {}  # partition -> a position and its hash in the log

    def sift(
        self, connection: psycopg.Connection[Any], records: Records
    ) -> tuple[dict[int, list[Incoming]], list[Fault]]:
        """The events of a batch by partition, and the records that are none.

        `connection`: as scrip_projector, which may read the log. Raises psycopg.Error.
        """
        self._log_id = self._log_id or PostgresLog.within(connection).id
        read: dict[int, list[_Read]] = {}
        faults: list[Fault] = []
        for record in records:
            try:
                event = from_record(record)
            except NotALedgerRecord as error:
                faults.append(Fault(record.partition, FOREIGN, record.offset, None, str(error)))
                continue
            read.setdefault(record.partition, []).append(_Read(event, record))
        runs = [run for part in read.values() for run in _runs(part)]
        known = self._hashes(connection, runs)
        doubtful = [one for run in runs if not self._proves(run, known) for one in run]
        refused = self._compare(connection, doubtful)
        for part in read.values():
            faults += [refused[one.record.partition, one.record.offset] for one in part if _place(one) in refused]
        return {
            partition: [(one.event, one.record.offset) for one in part if _place(one) not in refused]
            for partition, part in read.items()
        }, faults

    def _hashes(self, connection: psycopg.Connection[Any], runs: list[list["_Read"]]) -> dict[Place, bytes]:
        """The log's own hashes at the ends of the runs."""
        known: dict[Place, bytes] = {}
        asked: set[Place] = set()
        for run in runs:
            partition, first = run[0].event.partition, run[0].event.position
            before = (partition, first - 1)
            if first == 1:
                known[before] = GENESIS
            elif self._proven.get(partition, (0, b""))[0] == first - 1:
                known[before] = self._proven[partition][1]
            else:
                asked.add(before)
            asked.add((partition, run[-1].event.position))
        known.update(((p, n), hash_) for p, n, hash_ in _rows(connection, _HASHES, asked))
        return known

    def _proves(self, run: list["_Read"], known: dict[Place, bytes]) -> bool:
        """Whether a run is the log's own: its hashes follow from the log's and end in the log's."""
        event = run[0].event
        hash_ = known.get((event.partition, event.position - 1))
        if hash_ is None:
            return False
        for event, record in run:
            hash_ = link_of(hash_, event)
            if hash_ != event.hash or difference(record, event, self._log_id) or not self._says_who(event):
                return False
        if known.get((event.partition, event.position)) != hash_:
            return False
        self._proven[event.partition] = (event.position, hash_)
        return True

    def _says_who(self, event: LedgerEvent) -> bool:
        """Whether actor and tag, which no hash covers, are those of the bytes, which it does."""
        if not event.data.startswith(_beginning(event.actor)):
            return False
        if event.type in UNTAGGED:
            return event.tag is None
        try:
            return bool(self._codec.decode(event.type, event.data).tag == event.tag)
        except Exception:  # noqa: BLE001 - decoders raise whatever strange bytes make them raise
            return False  # of a later version, or forged: compared with the log's own

    def _compare(self, connection: psycopg.Connection[Any], doubtful: list["_Read"]) -> dict[Place, Fault]:
        """The records that differ from the events at their positions, by partition and offset."""
        if not doubtful:
            return {}
        log, places = PostgresLog.within(connection), defaultdict(list)
        for one in doubtful:
            places[one.event.partition].append(one.event.position)
        stored = {partition: log.at(partition, positions) for partition, positions in places.items()}
        refused = {}
        for one in doubtful:
            event = stored[one.event.partition].get(one.event.position)
            what = "the log has no such event" if event is None else difference(one.record, event, self._log_id)
            if what:
                partition, position = one.event.partition, one.event.position
                reason = f"not the log's event {position} of partition {partition}: {what}"
                refused[_place(one)] = Fault(partition, FOREIGN, one.record.offset, position, reason)
        return refused


class _Read(NamedTuple):
    event: LedgerEvent
    record: "ConsumerRecord[bytes, bytes]"


def note(connection: psycopg.Connection[Any], topic: str, faults: Sequence[Fault]) -> None:
    """Raise the alarm about what was not noted before. Raises psycopg.Error."""
    groups: dict[tuple[int, str], list[Fault]] = {}
    for fault in sorted(faults, key=lambda each: each.offset):
        groups.setdefault((fault.partition, fault.kind), []).append(fault)
    for (partition, kind), same in groups.items():
        columns = ([f.offset for f in same], [f.position for f in same], [f.reason.replace("\0", "") for f in same])
        where = (topic, partition, kind)
        connection.execute(_NOTE, (*columns, *where, *where))


def _place(one: _Read) -> Place:
    return one.record.partition, one.record.offset


def _runs(part: Iterable[_Read]) -> Iterator[list[_Read]]:
    """Records whose positions follow each other."""
    run: list[_Read] = []
    for one in part:
        if run and one.event.position != run[-1].event.position + 1:
            yield run
            run = []
        run.append(one)
    if run:
        yield run


def _rows(connection: psycopg.Connection[Any], query: str, places: set[Place]) -> list[tuple[Any, ...]]:
    if not places:
        return []
    columns = [list(column) for column in zip(*sorted(places), strict=True)]
    return connection.execute(query.encode(), columns, binary=True).fetchall()


@lru_cache(maxsize=10_000)
def _beginning(actor: str) -> bytes:
    """How the bytes of an event begin that this actor caused."""
    return msgspec.json.encode({"actor": actor})[:-1] + b',"cause":'
