"""A tiny given / when / then kit: events in, one command, exactly these events or this refusal out."""

from datetime import UTC, datetime, timedelta
from typing import Any, Self

from domain.credits.account import Account
from domain.credits.address import stream_of
from domain.kernel.domain import Domain
from domain.kernel.execution import Decided
from domain.prices import book as price_book
from domain.prices.events import PriceEntry, PricesPublished
from domain.refusal import Refusal
from domain.registry import SCRIP
from tests.domain.memory import Ledger

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALICE = "user:alice:credits"
BOB = "user:bob:credits"

Expected = Any  # an event of ALICE's account, or a pair (address or stream, event)


def after(seconds: float = 0, *, days: float = 0) -> datetime:
    """A moment counted from NOW."""
    return NOW + timedelta(days=days, seconds=seconds)


class Scenario:
    """A ledger in memory with a clock that only moves when told to."""

    def __init__(self, domain: Domain = SCRIP) -> None:
        self.ledger = Ledger(domain)
        self.now = NOW

    def given(self, *events: Any, of: str = ALICE) -> Self:
        """These events have happened in the account, or on the stream, `of`."""
        for event in events:
            self.ledger.given(_named(of), event, self.now)
        return self

    def given_state(self, state: Any, of: str = ALICE) -> Self:
        """The account, or the stream, `of` is in a state that would need too many events to tell."""
        self.ledger.put(_named(of), state)
        return self

    def given_prices(self, *entries: PriceEntry, effective_at: datetime = NOW) -> Self:
        """A further version of the price book was published."""
        version = self.ledger.state(price_book.STREAM).latest + 1
        published = PricesPublished(version=version, effective_at=effective_at, entries=entries)
        self.ledger.given(price_book.STREAM, published, self.now)
        return self

    def done(self, *commands: Any) -> Self:
        """These commands were accepted."""
        for command in commands:
            decided = self._run(command)
            assert decided.refusal is None, decided.refusal
        return self

    def at(self, moment: datetime) -> Self:
        """It is now this late."""
        self.now = moment
        return self

    def when(self, command: Any) -> "Result":
        """Run the command through the same `execute` and the same deciders as the writer."""
        return Result(self, self._run(command))

    def account(self, address: str = ALICE) -> Account:
        """An account's state."""
        state: Account = self.ledger.state(stream_of(address))
        return state

    def ask(self, question: Any) -> Any:
        """Answer a question as it is now; like the writer, throw away what became due for it."""
        return self.ledger.ask(question, self.now)

    def _run(self, command: Any) -> Decided:
        return self.ledger.run(command, self.now)


class Result:
    """What the command came to. Every check is for exact equality, order included."""

    def __init__(self, scenario: Scenario, decided: Decided) -> None:
        self.scenario = scenario
        self.decided = decided

    def then(self, *expected: Expected, due: tuple[Expected, ...] = ()) -> Scenario:
        """The command was accepted with exactly these events, after those that were `due`."""
        assert self.decided.refusal is None, self.decided.refusal
        assert self._due() == _with_streams(due)
        assert list(self.decided.events[self.decided.due :]) == _with_streams(expected)
        return self.scenario

    def then_nothing(self) -> Scenario:
        """The command was accepted and nothing happened."""
        return self.then()

    def then_refused(self, refusal: Refusal, due: tuple[Expected, ...] = ()) -> Scenario:
        """The command was refused for exactly this reason; what was `due` is stored all the same."""
        assert self.decided.refusal == refusal
        assert self._due() == _with_streams(due)
        assert len(self.decided.events) == self.decided.due
        return self.scenario

    def _due(self) -> list[tuple[str, Any]]:
        return list(self.decided.events[: self.decided.due])


def given(*events: Any) -> Scenario:
    """Start with these events of ALICE's account."""
    return Scenario().given(*events)


def _with_streams(expected: tuple[Expected, ...]) -> list[tuple[str, Any]]:
    return [(_named(item[0]), item[1]) if type(item) is tuple else (stream_of(ALICE), item) for item in expected]


def _named(name: str) -> str:
    """The stream of an account's address, which has a colon and no slash, or the stream of this name."""
    return stream_of(name) if ":" in name and "/" not in name else name
