"""Reading and asking in tests that have no event loop: by a reader, and as a writer itself sees things."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from time import monotonic
from types import TracebackType
from typing import Any, Self

import pytest

from domain.kernel.domain import Domain
from infra.log import statements
from infra.writer.batch import Unit
from infra.writer.catching_up import catch_up
from infra.writer.loading import Loader
from infra.writer.questions import Query, Question, answers, needs_of
from infra.writer.reader import Reader
from infra.writer.submission import Answered, Current
from infra.writer.waiting import Waiting
from infra.writer.writer import Writer
from tests.waiting import patient

GIVE_UP_S = patient(30.0)


class Asking:
    """A reader whose event loop runs only while something is asked; as a context manager it starts and stops."""

    def __init__(self, uri: str, domain: Domain, deadline_s: float = GIVE_UP_S, **options: Any) -> None:
        self.reader = Reader(uri, domain, deadline_s, **options)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self.run(self.reader.start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run(self.reader.stop())
        self._runner.close()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """What comes of a coroutine on the reader's loop."""
        return self._runner.run(coroutine)

    def now(self, org: str, streams: Sequence[str], tags: Sequence[str] = ()) -> Current:
        """States and tagged events as they are now."""
        current: Current = self.run(self.reader.current(org, streams, tags))
        return current

    def ask(self, org: str, question: Any) -> Answered:
        """The answer to a question as of now."""
        answered: Answered = self.run(self.reader.ask(org, question))
        return answered

    def together(self, *works: Query | Question) -> list[Any]:
        """What works came to that reach an idle reader at once and so share its looks; errors are results too."""
        found: list[Any] = self.run(gathered(self.reader, works))
        return found

    def until(self, true: Callable[[], Any], what: str) -> None:
        """Let the loop run, with nothing asked, until a condition holds."""
        self.run(until(true, what))


NewAsking = Callable[[], Asking]


async def until(true: Callable[[], Any], what: str) -> None:
    """Wait for a condition; fails with `what` when it takes too long."""
    end = monotonic() + GIVE_UP_S
    while not true():
        assert monotonic() < end, f"not within {GIVE_UP_S:g} s: {what}"
        await asyncio.sleep(0.005)


async def gathered(reader: Reader, works: Sequence[Query | Question]) -> list[Any]:
    """What works came to that were asked at once, errors included."""
    calls = [reader.current(*work) if isinstance(work, Query) else reader.ask(*work) for work in works]
    found: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
    return found


def now(writer: Writer, org: str, streams: Sequence[str], tags: Sequence[str] = ()) -> Current:
    """States and tagged events for a reader that has just begun; what the writer keeps of them must be the same."""
    own = seen_by(writer, org, streams, tags)
    with Asking(writer._uri, writer._loader.domain) as asking:
        current = asking.now(org, streams, tags)
    if current.position == own.position:  # or somebody has written meanwhile
        assert (current.states, current.tagged) == (own.states, own.tagged)
    return current


def seen_by(writer: Writer, org: str, streams: Sequence[str], tags: Sequence[str] = ()) -> Current:
    """The same from the cache of a writer, which loads what is cold; in its thread, as nobody else may use that."""
    found: Future[Current] = Future()

    def look(turn: "Future[Any]") -> None:
        try:
            turn.result()
            found.set_result(_seen_by(writer, Query(org, tuple(streams), tuple(tags))))
        except Exception as error:  # noqa: BLE001 - handed to the test's thread
            found.set_exception(error)

    turn: Future[Any] = Future()
    turn.add_done_callback(look)  # called by the thread that answers
    writer.enqueue([Waiting(Unit(()), turn, None, monotonic() + GIVE_UP_S)])
    return found.result(GIVE_UP_S)


def _seen_by(writer: Writer, query: Query) -> Current:
    assert writer._connection is not None
    needs = needs_of(writer._loader.domain, [query], writer.partitions)
    time = catch_up(writer._pipeline, writer._loader, needs.partitions, needs.streams, needs.tags)
    (current,) = answers(writer._loader, writer.partitions, [query], time)
    writer._loader.trim()
    assert isinstance(current, Current)
    return current


_NAMES = {statements.HEADS: "heads", statements.LOOK: "look", statements.STREAMS: "streams", statements.TAGGED: "tags"}


def sent_by_readers(patch: pytest.MonkeyPatch, before: Callable[[str], None] = lambda _: None) -> list[str]:
    """The names of the statements that readers send from now on; `before` is called before each."""
    sent: list[str] = []
    rows = Reader._rows

    async def noted(self: Reader, query: Any, *arguments: Any) -> list[Any]:
        sent.append(_NAMES[query])
        before(sent[-1])
        return await rows(self, query, *arguments)

    patch.setattr(Reader, "_rows", noted)
    return sent


def loaded(patch: pytest.MonkeyPatch, reader: Reader) -> list[set[str]]:
    """The streams that the reader loads from now on, those of each statement."""
    found: list[set[str]] = []
    keep = Loader.keep_streams

    def noted(self: Loader, streams: dict[tuple[str, str], int], rows: Sequence[Any]) -> dict[tuple[str, str], int]:
        if self is reader._loader:
            found.append({stream for _, stream in streams})
        return keep(self, streams, rows)

    patch.setattr(Loader, "keep_streams", noted)
    return found
