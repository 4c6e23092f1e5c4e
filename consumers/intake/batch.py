"""A batch of usage events: decided by the ledger, what is refused put into quarantine, only then acknowledged."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Any

from psycopg_pool import AsyncConnectionPool

from consumers.cloud_event import Unacceptable
from consumers.intake.commands import NotYetPriced, Work, WorkKey, command_of, personal, urls, work_of
from consumers.intake.record import Record, Rejected, UsageEvent, body_of, read_record, rejected, rejected_as
from consumers.subscribing import Result, Stopping, until_done
from consumers.usage import Completed, Metered, Started
from domain.credits.address import parse_address
from infra.quarantine import (
    CALLER,
    Connection,
    Parked,
    Unfit,
    Waiting,
    find,
    fingerprints,
    leave_out,
    mark_published,
    park,
    resolve,
)
from infra.security.sealing import Sealer
from infra.writer.ledger import Ledger
from infra.writer.submission import KeyReused, Outcome, Submission

log = logging.getLogger(__name__)

Authenticate = Callable[[str | None, str], Awaitable[str]]  # credential, organisation -> actor; raises Unacceptable
Publish = Callable[[Sequence[Parked]], Awaitable[None]]  # to `scrip.quarantine`; returns when all are acknowledged


@dataclass(slots=True)
class Tally:
    """`applied` now, `repeated` (applied earlier), and refusals by reason; copies within a batch count once."""

    received: int = 0
    applied: int = 0
    repeated: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def refused(self) -> int:
        return self.reasons.total()

    def add(self, other: "Tally") -> None:
        self.received += other.received
        self.applied += other.applied
        self.repeated += other.repeated
        self.reasons.update(other.reasons)


@dataclass
class Intake:
    """Turns usage records into commands. Every step may be repeated, so a crash anywhere loses and doubles nothing.

    `pool`: connections of the login scrip_writer in autocommit mode. `authenticate` checks a credential wherever there
    is one; with `trusted` the broker answers for events without. `stop` ends waiting for servers that are away.
    `tally` counts since the start.
    """

    ledger: Ledger
    pool: "AsyncConnectionPool[Any]"
    sealer: Sealer
    publish: Publish
    _: KW_ONLY
    authenticate: Authenticate
    trusted: bool
    stop: asyncio.Event
    tally: Tally = field(default_factory=Tally)

    async def process(self, records: Sequence[Record]) -> Tally:
        """Decide every record; when this returns, each is applied or in quarantine. Raises only Stopping."""
        return await self.decide([read_record(record) for record in records])

    async def decide(self, items: Sequence[UsageEvent | Rejected]) -> Tally:
        """The same for records that are read already. May be repeated."""
        refused = [item for item in items if isinstance(item, Rejected)]
        accepted = await self._authentic([item for item in items if isinstance(item, UsageEvent)], refused)
        return await self._decide(accepted, refused, len(items))

    async def decide_again(self, item: UsageEvent) -> Tally:
        """Try an event from quarantine again; its sender was checked when it came in."""
        return await self._decide([item], [], 1)

    async def waiting(self, id_: str) -> Waiting | None:
        """A row of quarantine, or none."""
        return await self._with_database("reading quarantine", partial(find, id_=id_))

    def open_body(self, row: Waiting) -> dict[str, Any] | None:
        """What `body_of` kept, or None if its key was erased. Raises psycopg.Error."""
        return self.sealer.open(row.org, f"org:{row.org}", row.body)

    async def resolve(self, id_: str) -> None:
        await self._with_database("resolving quarantine", partial(resolve, ids=[id_]))

    async def _decide(self, accepted: list[UsageEvent], refused: list[Rejected], received: int) -> Tally:
        tally = Tally(received)
        for contents in _rounds(accepted):
            applied, repeated = await self._apply(contents, refused)
            await self._quarantine(refused)
            if applied:
                ids = [item.row for item in applied]
                await self._with_database("resolving quarantine", partial(resolve, ids=ids))
            tally.applied += len(applied) - repeated
            tally.repeated += repeated
            tally.reasons.update(item.reason for item in refused)
            refused = []
        self.tally.add(tally)
        return tally

    async def _authentic(self, items: list[UsageEvent], refused: list[Rejected]) -> list[UsageEvent]:
        """The events whose sender may write for their organisation."""
        accepted = []
        for item in items:
            credential, org = item.credential, item.event.org
            if credential is None and self.trusted:
                accepted.append(item)
                continue
            check = partial(self.authenticate, credential, org)
            try:
                item.actor = await until_done("checking a sender", check, self.stop)
            except Unacceptable as error:
                error.org, error.source, error.event_id = item.identity
                refused.append(rejected_as(item.record, error))
            else:
                accepted.append(item)
        return accepted

    async def _apply(self, items: list[UsageEvent], refused: list[Rejected]) -> tuple[list[UsageEvent], int]:
        """Run the events' commands: those applied, and how many of these earlier; the others go to `refused`."""
        if not items:
            return [], 0
        waiting, works = await self._with_database("looking up", partial(_look_up, items=items))
        ready: list[tuple[UsageEvent, Work]] = []
        for item in items:
            if waiting.get(item.row, item.fingerprint) != item.fingerprint:
                refused.append(_reused(item))
            elif isinstance(item.data, Metered):
                ready.append((item, Work(parse_address(item.data.account).owner, item.data.account)))
            elif (work := works.get((item.event.org, item.data.generation_id))) is not None:
                ready.append((item, work))
            else:
                said = f"There is no generation or reservation {item.data.generation_id} in this organisation."
                refused.append(rejected(item, "not_found", said))
        commands = await until_done("sealing", lambda: asyncio.to_thread(self._commands, ready, refused), self.stop)
        done = [item for item, command in commands if command is None]
        submissions = [(item, _submission_of(item, command)) for item, command in commands if command is not None]
        answers = await self._execute([submission for _, submission in submissions])
        repeated = 0
        for (item, submission), answer in zip(submissions, answers, strict=True):
            refusal = answer.refusal if isinstance(answer, Outcome) else None
            # A worker that was restarted may report again that it has begun.
            if refusal is not None and not (isinstance(item.data, Started) and refusal.code == "already_started"):
                refused.append(rejected(item, refusal.code, refusal.detail))
            elif isinstance(answer, Outcome):
                done.append(item)
                repeated += answer.replayed
            elif isinstance(answer, KeyReused):
                refused.append(_reused(item))
            else:
                said = f"{type(submission.command).__name__} failed: {type(answer).__name__}"
                refused.append(rejected(item, "internal_error", said))
        return done, repeated

    def _commands(
        self, ready: Sequence[tuple[UsageEvent, Work]], refused: list[Rejected]
    ) -> list[tuple[UsageEvent, Any]]:
        """Commands with their personal text sealed. Runs in a thread, because a subject's first key is a query."""
        made: list[tuple[UsageEvent, Any]] = []
        unpriced: list[Rejected] = []
        for item, work in ready:
            seal = partial(self.sealer.seal, item.event.org, work.owner)
            sealed_urls = {id_: seal({"url": url}) for id_, url in urls(item.data, work).items()}
            try:
                command = command_of(item.data, work, seal(personal(item.data, work)), sealed_urls)
            except NotYetPriced as error:
                unpriced.append(rejected(item, "unpriced", str(error)))
            else:
                made.append((item, command))
        refused.extend(unpriced)  # only now: a fault on the way repeats the whole step
        return made

    async def _execute(self, submissions: Sequence[Submission]) -> list[Any]:
        """The ledger's answers. A command that it cannot handle at all does not stop the others."""
        if not submissions:
            return []
        try:
            return list(await until_done("the ledger", lambda: self.ledger.execute_all(submissions), self.stop))
        except Stopping:
            raise
        except Exception as error:
            if len(submissions) == 1:
                log.exception("the usage event %s of %s failed", submissions[0].key, submissions[0].caller)
                return [error]
            log.exception("a batch of usage events failed; its commands are run one by one")
        return [answer for submission in submissions for answer in await self._execute([submission])]

    async def _quarantine(self, refused: Sequence[Rejected]) -> None:
        """Write the row, then the topic's record, then `published_at`: after a crash the missing steps are repeated."""
        refused = await self._with_room(refused)
        if not refused:
            return
        rows = await until_done("sealing", lambda: asyncio.to_thread(self._rows, refused), self.stop)
        missing = await self._with_database("quarantine", partial(park, rows=rows))
        unpublished = [row for row in rows if row.id in missing]
        if unpublished:
            await until_done("publishing to quarantine", lambda: self.publish(unpublished), self.stop)
            ids = [row.id for row in unpublished]
            await self._with_database("quarantine", partial(mark_published, ids=ids))

    async def _with_room(self, refused: Sequence[Rejected]) -> Sequence[Rejected]:
        """Those that get a row of their own. An event that can never be applied is kept only while there is room."""
        unfit = [Unfit(item.id, item.org, item.event_id, item.detail) for item in refused if item.fingerprint is None]
        if not unfit:
            return refused
        out = await self._with_database("quarantine", partial(leave_out, events=unfit))
        if out:
            log.warning("%d events that cannot be applied are counted, but not kept: quarantine is full", len(out))
        return [item for item in refused if item.id not in out]

    def _rows(self, refused: Sequence[Rejected]) -> list[Parked]:
        rows: dict[str, Parked] = {}
        for item in refused:
            sealed = self.sealer.seal(item.org, f"org:{item.org}", body_of(item)) or ""
            rows[item.id] = Parked(
                item.id, item.org, item.source, item.event_id, item.reason, item.detail, sealed, item.fingerprint
            )
        return list(rows.values())

    async def _with_database(self, what: str, step: Callable[[Any], Awaitable[Result]]) -> Result:
        async def once() -> Result:
            async with self.pool.connection() as connection:
                return await step(connection)

        return await until_done(what, once, self.stop)


def _rounds(items: Iterable[UsageEvent]) -> list[list[UsageEvent]]:
    """Rounds of events with different identities, nearly always one; copies are dropped.

    Another content under the same identity goes into a later round: by then the ledger or quarantine has the first.
    """
    contents: dict[tuple[str, str, str], list[UsageEvent]] = {}
    for item in items:
        known = contents.setdefault(item.identity, [])
        if all(item.fingerprint != other.fingerprint for other in known):
            known.append(item)
    deepest = max((len(known) for known in contents.values()), default=1)
    return [[known[turn] for known in contents.values() if len(known) > turn] for turn in range(deepest)]


async def _look_up(connection: Connection, items: Sequence[UsageEvent]) -> tuple[dict[str, bytes], dict[WorkKey, Work]]:
    """The contents that already wait under these ids, and the generations and reservations that the events name."""
    named = {(item.event.org, item.data.generation_id) for item in items if isinstance(item.data, Started | Completed)}
    return await fingerprints(connection, [item.row for item in items]), await work_of(connection, named)


def _submission_of(item: UsageEvent, command: Any) -> Submission:
    """Its identity makes the command's; a refusal is not kept, so that the event may be tried again."""
    return Submission(
        org=item.event.org,
        command=command,
        actor=item.actor,
        caller=CALLER + item.event.source,
        key=item.event.id,
        fingerprint=item.fingerprint,
        keep_refusals=False,
    )


def _reused(item: UsageEvent) -> Rejected:
    """The ledger or quarantine knows another content under this identity."""
    return rejected(item, "id_reused", "another content was sent under this source and id before", for_good=True)
