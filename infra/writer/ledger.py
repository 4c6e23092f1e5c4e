"""The writer, and the reader beside it, as asyncio code sees them."""

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Any

from infra.writer.batch import Result, Unit
from infra.writer.reader import Reader
from infra.writer.submission import Answered, Current, KeyReused, NotApplied, Outcome, OutcomeUnknown, Submission
from infra.writer.waiting import Waiting, resolve
from infra.writer.writer import Writer


class Ledger:
    """Commands and current reads for one event loop. `deadline_s`: seconds until a command's outcome counts as unknown.

    Questions go to the `reader`, which waits for no commit that is under way; without one, only commands are taken.
    """

    def __init__(self, writer: Writer, deadline_s: float = 10.0, reader: Reader | None = None) -> None:
        self.writer = writer
        self._reader = reader
        self._deadline_s = deadline_s
        if reader is not None:
            reader.share(writer.large)

    @property
    def reader(self) -> Reader:
        """Who answers questions."""
        if self._reader is None:
            raise AssertionError("this ledger was made for commands only")
        return self._reader

    async def execute(self, submission: Submission) -> Outcome:
        """Run one command. Raises KeyReused, OutcomeUnknown (retry with the same key), Overloaded."""
        (result,) = await self._wait(Unit((submission,)))
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
        results: list[Result] = await self._wait(Unit(submissions, atomic))
        return results

    async def current(self, org: str, streams: Sequence[str], tags: Sequence[str] = ()) -> Current:
        """States as they are now, without a lock. Raises OutcomeUnknown, Overloaded."""
        return await self.reader.current(org, streams, tags)

    async def ask(self, org: str, question: Any) -> Answered:
        """The answer to a question as of now, without a lock. Raises Refusal, OutcomeUnknown, Overloaded."""
        return await self.reader.ask(org, question)

    async def _wait(self, work: Unit) -> Any:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self.writer.enqueue([Waiting(work, future, loop, monotonic() + self._deadline_s)])
        # The writer also ends late waits, but it may itself be stuck in a call that does not return.
        handle = loop.call_later(self._deadline_s + 0.5, resolve, [(future, OutcomeUnknown())])
        try:
            return await future
        finally:
            handle.cancel()
