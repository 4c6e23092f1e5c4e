"""A ledger of one organisation in memory, which checks what it decides: every event by itself, and its own memory."""

from datetime import datetime
from typing import Any

from domain.credits.account import Account
from domain.kernel.domain import Domain
from domain.kernel.execution import Decided
from domain.kernel.memory import Memory
from domain.kernel.work import Work
from domain.registry import SCRIP


class Ledger:
    """States of streams, which are the platform's too; every event that has happened is in `log`, in order.

    The states are folded from the events one by one, beside what decisions make of them: both must come to the same.
    """

    def __init__(self, domain: Domain = SCRIP) -> None:
        self.org = "acme"
        self.domain = domain
        self.memory = Memory(domain, self.org)
        self.states: dict[str, Any] = {}
        self.log: list[tuple[str, Any]] = []

    def state(self, stream: str) -> Any:
        """The stream's state, the kind's initial one where it has no events."""
        return self.states.get(stream, self.domain.kind_of(stream).initial)

    def put(self, stream: str, state: Any) -> None:
        """Let a stream be in this state, whatever has led to it."""
        self.states[stream] = state
        self.memory.put(self.org, stream, state)

    def given(self, stream: str, event: Any, now: datetime) -> None:
        """Let an event have happened that nobody has decided."""
        work = self.work(now)
        work.emit(stream, event)
        self._keep(work, ((stream, event),))

    def run(self, command: Any, now: datetime) -> Decided:
        """Decide a command; whatever it comes to is checked."""
        work = self.work(now)
        decided = self.memory.decide(work, command)
        self._keep(work, decided.events)
        return decided

    def ask(self, question: Any, now: datetime) -> Any:
        """Answer a question as of now; nothing is changed by it. Raises its Refusal."""
        return self.memory.ask(question, self.org, now)

    def work(self, now: datetime) -> Work:
        """Work on which a decision can be tried."""
        return self.memory.work(self.org, now)

    def happened(self, stream: str, event: Any, before: Any, after: Any) -> None:
        """Check one event, with the states before and after it."""
        if isinstance(after, Account):
            check_books(after)

    def _keep(self, work: Work, events: tuple[tuple[str, Any], ...]) -> None:
        for stream, event in events:
            before = self.state(stream)
            after = self.states[stream] = self.domain.kind_of(stream).evolve(before, event)
            self.log.append((stream, event))
            self.happened(stream, event, before, after)
        tagged = [(stream, event) for stream, event in events if event.tag is not None]
        assert sorted(event.tag for _, event in tagged) == sorted(
            event.tag for of_tag in work.tags.values() for _, event in of_tag
        )
        assert {stream for stream, _ in events} <= {stream for _, stream in work.streams}
        for (_, stream), own in work.streams.items():
            assert own.state == self.state(stream), "a decision has left something that is no event"
            self.states[stream] = own.state
        self.memory.keep(work)


def check_books(account: Account) -> None:
    """What holds after every event of an account (architecture, "Rules of the ledger")."""
    came_in = account.granted + account.transferred_in
    went_out = account.debited - account.refunded + account.expired + account.voided + account.transferred_out
    assert account.available + account.reserved + went_out == came_in
    assert account.reserved == sum(hold.amount for hold in account.holds.values())
    assert account.free == sum(grant.amount for grant in account.grants)
    assert all(grant.amount > 0 for grant in account.grants)
    assert all(hold.amount == sum(part.amount for part in hold.slices) > 0 for hold in account.holds.values())
    assert account.free >= 0
    assert account.owed >= 0
    assert account.overdraft_held >= 0
