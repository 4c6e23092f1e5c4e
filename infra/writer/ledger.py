"""The writer as asyncio code sees it."""

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Any

from infra.writer.batch import Result, Unit
from infra.writer.reading import Query, Question
from infra.writer.submission import Answered, Current, KeyReused, NotApplied, Outcome, OutcomeUnknown, Submission
from infra.writer.waiting import Waiting
from infra.writer.writer import Writer


class Ledger:
    """Commands and current reads for one event loop. `deadline_s`: seconds until an answer counts as unknown.

    With a `reader`, a second writer that gets no commands, questions never wait for a commit that is under way.
    """

    def __init__(self, writer: Writer, deadline_s: float = 10.0, reader: Writer | None = None) -> None:
        self.writer = writer
        self.reader = reader or writer
        self._deadline_s = deadline_s

    async def execute(self, submission: Submission) -> Outcome:
        """Run one command. Raises KeyReused, OutcomeUnknown (retry with the same key), Overloaded."""
        (result,) = await self._wait(self.writer, Unit((submission,)))
        if isinstance(result, KeyReused | NotApplied):
            raise result
        outcome: Outcome = result
        return outcome

    async def execute_all(self, submissions: Sequence[Submission], *, atomic: bool = False) -> list[Result]:
        """Run several commands, in their order; with `atomic` (one organisation) all are applied or none.

        Raises OutcomeUnknown, Overloaded.
        """
        if not submissions:
            return []
        results: list[Result] = await self._wait(self.writer, Unit(submissions, atomic))
        return results

    async def current(self, org: str, streams: Sequence[str], tags: Sequence[str] = ()) -> Current:
        """States as they are now, without a lock. Raises OutcomeUnknown, Overloaded."""
        current: Current = await self._wait(self.reader, Query(org, tuple(streams), tuple(tags)))
        return current

    async def ask(self, org: str, question: Any) -> Answered:
        """The answer to a question as of now, without a lock. Raises Refusal, OutcomeUnknown, Overloaded."""
        answered: Answered = await self._wait(self.reader, Question(org, question))
        return answered

    async def _wait(self, writer: Writer, work: Unit | Query | Question) -> Any:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        writer.enqueue([Waiting(work, future, loop, monotonic() + self._deadline_s)])
        # The writer also ends late waits, but it may itself be stuck in a call that does not return.
        handle = loop.call_later(self._deadline_s + 0.5, _give_up, future)
        try:
            return await future
        finally:
            handle.cancel()


def _give_up(future: "asyncio.Future[Any]") -> None:
    if not future.done():
        future.set_exception(OutcomeUnknown())
