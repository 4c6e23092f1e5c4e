"""The ledger without a database: commands are decided one after the other, and their events go to a `MemoryLog`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from domain.kernel.domain import Domain
from domain.kernel.memory import Memory
from infra.log.chain import TICK
from infra.log.events import Recorded
from infra.log.memory import MemoryLog
from infra.partitions import PLATFORM, partition_of
from infra.writer.batch import Result, is_kept
from infra.writer.ledger import Ledger
from infra.writer.submission import Answered, Current, KeyReused, Outcome, Refused, Submission
from infra.writer.writer import Writer


class MemoryLedger(Ledger):
    """For one event loop. `clock`: the log's, which may stand still."""

    def __init__(self, log: MemoryLog, domain: Domain) -> None:
        super().__init__(_NoWriter("", domain, log.partitions))
        self.log = log
        self._domain = domain
        self._memory = Memory(domain, PLATFORM)
        self._answered: dict[tuple[str, str, str], tuple[bytes | None, Outcome]] = {}

    async def execute(self, submission: Submission) -> Outcome:
        """Run one command. Raises KeyReused."""
        key = (submission.org, submission.caller, submission.key)
        if key in self._answered:
            fingerprint, outcome = self._answered[key]
            if fingerprint != submission.fingerprint:
                raise KeyReused
            return outcome._replace(replayed=True)
        outcome = self._decide(submission)
        refused = outcome.refusal
        if refused is None or (submission.keep_refusals and is_kept(submission, refused, outcome.events)):
            self._answered[key] = submission.fingerprint, outcome
        return outcome

    async def execute_all(self, submissions: Sequence[Submission], *, atomic: bool = False) -> list[Result]:
        """Run several commands, in their order. Raises NotImplementedError for `atomic`."""
        if atomic:
            raise NotImplementedError("a ledger in memory takes nothing back")
        return [await self.execute(submission) for submission in submissions]

    async def current(self, org: str, streams: Sequence[str], tags: Sequence[str] = ()) -> Current:
        """States as they are now."""
        partition, now = self._moment(org)
        states = {}
        for stream in streams:
            kind, state = self._domain.kind_of(stream), self._memory.state(org, stream)
            while kind.next_due(state) <= now:
                for event in kind.due(state, now):
                    state = kind.evolve(state, event)
            states[stream] = state
        found = {tag: self._memory.tags[org, tag].events if (org, tag) in self._memory.tags else () for tag in tags}
        return Current(partition, self.log.head(partition), now, states, found)

    async def ask(self, org: str, question: Any) -> Answered:
        """The answer to a question as of now. Raises Refusal."""
        partition, now = self._moment(org)
        return Answered(self._memory.ask(question, org, now), partition, self.log.head(partition), now)

    def _decide(self, item: Submission) -> Outcome:
        partition, now = self._moment(item.org)
        work = self._memory.work(item.org, now)
        decided = self._memory.decide(work, item.command)
        left: dict[str, int] = {}
        for stream, _ in decided.events:
            left[stream] = left.get(stream, 0) + 1
        drafted = []
        for stream, event in decided.events:
            left[stream] -= 1
            version = work.streams[item.org, stream].version - left[stream]
            whole = Recorded(event, item.org, stream, version, item.actor, item.key)
            drafted.append(self.log.mapper.to_stored_event(whole))
        self.log.insert(partition, drafted)
        self._memory.keep(work)
        refused = Refused.of(decided.refusal) if decided.refusal else None
        own = decided.events[decided.due :]
        return Outcome(partition, self.log.head(partition), now, own, refused, result_state=decided.result_state)

    def _moment(self, org: str) -> tuple[int, datetime]:
        """The organisation's partition, and the time of what is decided there now: that of the next event."""
        partition = partition_of(org, self.log.partitions)
        head = self.log.head(partition)
        last = self.log.at(partition, [head])
        return partition, max(self.log.now(), last[head].time + TICK) if last else self.log.now()


class _NoWriter(Writer):
    """Only says how many partitions there are; it is never started."""

    def __init__(self, uri: str, domain: Domain, partitions: int) -> None:
        super().__init__(uri, domain)
        self._partitions = partitions
