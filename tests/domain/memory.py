"""The log of one organisation in a few dicts: what the domain's `View` needs, and nothing more."""

from collections import defaultdict
from typing import Any

from domain.credits.account import Account
from domain.registry import kind_of


class MemoryView:
    """States of streams and events by tag; every event that is applied is kept in `log`, in order."""

    def __init__(self) -> None:
        self.org = "acme"
        self.states: dict[str, Any] = {}
        self.tags: dict[str, tuple[tuple[str, Any], ...]] = defaultdict(tuple)
        self.log: list[tuple[str, Any]] = []

    def state(self, stream: str) -> Any:
        """The stream's state, the kind's initial one where it has no events."""
        return self.states.get(stream, kind_of(stream).initial)

    def tagged(self, tag: str) -> tuple[tuple[str, Any], ...]:
        """All events with this tag, oldest first."""
        return self.tags.get(tag, ())

    def platform(self, stream: str) -> Any:
        """The platform's streams live in the same dict here."""
        return self.state(stream)

    def apply(self, stream: str, event: Any) -> None:
        """Fold one event in and check that the books still balance."""
        self.states[stream] = kind_of(stream).evolve(self.state(stream), event)
        self.log.append((stream, event))
        if event.tag is not None:
            self.tags[event.tag] = (*self.tags[event.tag], (stream, event))
        if isinstance(self.states[stream], Account):
            check_books(self.states[stream])

    def refresh(self, stream: str) -> None:
        """Make the hint of what is next due exact."""
        self.states[stream] = kind_of(stream).refresh(self.state(stream))


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
