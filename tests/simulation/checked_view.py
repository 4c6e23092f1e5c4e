"""A ledger in memory that checks everything that must hold after every single event."""

import json
from typing import Any

from domain.credits.account import Account
from domain.credits.address import address_of
from domain.credits.burn import burn_key
from domain.credits.due import next_due, refresh
from domain.registry import kind_of
from infra.audit.expected import Expected, Stored
from infra.audit.reference import Account as Reference
from infra.audit.rules import apply as apply_to_reference
from infra.audit.rules import tag_of
from infra.codec import Codec
from infra.snapshots import decode_state, encode_state
from tests.domain.memory import MemoryView, check_books
from tests.domain.scenario import NOW

CODEC = Codec()
ORG = "acme"


class CheckedView(MemoryView):
    """`MemoryView` whose every event goes through the codec, the snapshots and the auditor's reference as well."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.references: dict[str, Reference] = {}
        self.rows: dict[str, Expected] = {}
        self.terminal: set[str] = set()  # reservations that have ended

    def apply(self, stream: str, event: Any) -> None:
        """Fold one event in and check the account after it."""
        before = self.state(stream)
        super().apply(stream, event)
        after = self.state(stream)
        if isinstance(after, Account):
            check_account(before, after)
            self._stored(stream, event, before, after)
            self._ends_once(event)

    def refresh(self, stream: str) -> None:
        """Making the hint exact changes nothing else."""
        before = self.state(stream)
        super().refresh(stream)
        assert self.state(stream) == before._replace(next_due=next_due(before))

    def _stored(self, stream: str, event: Any, before: Account, after: Account) -> None:
        """What a reader of the stored bytes makes of the event."""
        type_, data = CODEC.encode(event, "user:tester", "key")
        assert CODEC.decode(type_, data) == event
        assert kind_of(stream).evolve(before, CODEC.decode(type_, data)) == after
        assert decode_state(stream, encode_state(after)) == after

        said = json.loads(data)["data"]
        assert tag_of(type_, said) == event.tag
        reference = self.references.setdefault(stream, Reference())
        apply_to_reference(reference, type_, said, self.now)
        assert_same(reference, after)

        address, count = address_of(stream), len(self.log)
        rows = self.rows.setdefault(stream, Expected(ORG, address))
        stored = Stored(0, count, ORG, stream, count, type_, event.tag, "user:tester", self.now, said)
        rows.apply(stored, after.available)

    def _ends_once(self, event: Any) -> None:
        """A reservation ends exactly once: captured, released or expired."""
        kind = type(event).__name__
        ended = kind in ("ReservationReleased", "ReservationExpired") or getattr(event, "final", False)
        if ended:
            assert event.reservation_id not in self.terminal
            self.terminal.add(event.reservation_id)


def check_account(before: Account, after: Account) -> None:
    """What holds for every account after every event, and what no event may do."""
    check_books(after)
    keys = [burn_key(grant) for grant in after.grants]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)
    below = after.owed + after.overdraft_held
    assert below <= max(before.owed + before.overdraft_held, after.credit_limit)
    assert after.available >= -below
    assert after.refunded <= after.debited
    assert after.next_due <= next_due(after), "a hint that is too late would let something pass unseen"
    assert refresh(after)._replace(next_due=after.next_due) == after


def assert_same(reference: Reference, account: Account) -> None:
    """The auditor's account and the ledger's are one."""
    assert {name: getattr(account, name) for name in reference.totals} == reference.totals
    assert (reference.available, reference.held) == (account.available, account.reserved)
    assert (reference.owed, reference.held_below_zero) == (account.owed, account.overdraft_held)
    assert [(lot, reference.free[lot]) for lot in reference.order] == [
        (burn_key(grant), grant.amount) for grant in account.grants
    ]
    assert {name: hold.amount for name, hold in reference.holds.items()} == {
        name: hold.amount for name, hold in account.holds.items()
    }
    assert (reference.frozen, reference.closed) == (account.frozen, account.closed)
    assert reference.credit_limit == account.credit_limit
