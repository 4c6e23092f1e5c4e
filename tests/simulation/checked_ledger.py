"""A ledger in memory that checks everything that must hold after every single event."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

from domain.credits.account import Account
from domain.credits.address import address_of
from domain.credits.burn import burn_key
from domain.kernel.execution import Decided
from domain.organisations.state import STREAM as ORGANISATION
from domain.periods import NEVER
from domain.registry import SCRIP
from infra.audit.expected import Expected, Stored
from infra.audit.generations import Generation
from infra.audit.reference import Account as Reference
from infra.audit.rules import apply as apply_to_reference
from infra.audit.rules import tag_of
from infra.audit.together import Together
from infra.audit.use import Budget, Group, Storage
from infra.log.mapper import LedgerMapper
from infra.log.snapshots import decode_state, encode_state
from tests.domain.memory import Ledger, check_books
from tests.domain.scenario import NOW

CODEC = LedgerMapper.of(SCRIP)
ORG = "acme"
OTHERS: dict[str, Callable[[], Any]] = {
    "storage": Storage,
    "group": Group,
    "budget": Budget,
    "generation": Generation,
}


class CheckedLedger(Ledger):
    """`Ledger` whose every event goes through the codec, the snapshots and the auditor's reference as well."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.references: dict[str, Reference] = {}
        self.rows: dict[str, Expected] = {}
        self.others: dict[str, Any] = {}  # references of storages, groups, budgets and generations
        self.stored: list[Stored] = []
        self.versions: Counter[str] = Counter()
        self.of_generations: set[str] = set()
        self.terminal: set[str] = set()  # plain reservations that have ended

    def happened(self, stream: str, event: Any, before: Any, after: Any) -> None:
        """Check one event and its stream after it."""
        super().happened(stream, event, before, after)
        stored = self._stored(stream, event, before, after)
        kind = stream.partition("/")[0]
        if isinstance(after, Account):
            check_account(before, after)
            self._check_account(stream, stored, after)
            self._ends_once(event)
        elif kind in OTHERS:
            reference = self.others.setdefault(stream, OTHERS[kind]())
            if isinstance(reference, Storage):
                reference.apply(stored, self.state(ORGANISATION).storage_limit)
            else:
                reference.apply(stored)
            assert_agrees(reference, after)

    def run(self, command: Any, now: datetime) -> Decided:
        """Decide and check."""
        self.now = now
        return super().run(command, now)

    def check_together(self) -> None:
        """All that generations say they moved was moved, and nothing else in their name. Takes time for every event."""
        told = Together({}, exact=True)
        for event in sorted(self.stored, key=lambda event: (event.stream, event.version)):
            told.see(event)
        assert told.difference() is None

    def _stored(self, stream: str, event: Any, before: Any, after: Any) -> Stored:
        """What a reader of the stored bytes makes of the event."""
        type_, data = CODEC.encode(event, "user:tester", "key")
        assert CODEC.decode(type_, data) == event
        assert SCRIP.kind_of(stream).evolve(before, CODEC.decode(type_, data)) == after
        assert decode_state(SCRIP.kind_of(stream), encode_state(after)) == after
        said = json.loads(data)["data"]
        assert tag_of(type_, said) == event.tag
        self.versions[stream] += 1
        count, version = len(self.log), self.versions[stream]
        self.stored.append(Stored(0, count, ORG, stream, version, type_, event.tag, "user:tester", self.now, said))
        return self.stored[-1]

    def _check_account(self, stream: str, stored: Stored, after: Account) -> None:
        reference = self.references.setdefault(stream, Reference())
        apply_to_reference(reference, stored.type, stored.data, self.now)
        assert_same(reference, after)
        rows = self.rows.setdefault(stream, Expected(ORG, address_of(stream)))
        rows.apply(stored, after.available)

    def _ends_once(self, event: Any) -> None:
        """A reservation ends exactly once: captured, released or expired."""
        if getattr(event, "reservation_id", None) in self.of_generations or getattr(event, "generation", False):
            self.of_generations.add(event.reservation_id)  # the generation's own end is checked by its reference
            return
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
    assert after.next_due == next_due(after)


def next_due(account: Account) -> datetime:
    """When something will next become due, found by a walk; NEVER where nothing will."""
    allowance = account.allowance
    return min(
        [hold.expires_at for hold in account.holds.values()]
        + [grant.expires_at for grant in account.grants if grant.expires_at]
        + [waiting.effective_at for waiting in account.scheduled.values()]
        + [allowance.refresh_at if allowance and allowance.amount else NEVER]
    )


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
    assert reference.shortfall == account.shortfall
    known = reference.allowance
    assert (known is None) == (account.allowance is None)
    if known is not None and account.allowance is not None:
        kept = account.allowance
        assert (known.amount, known.cycle, known.granted) == (kept.amount, kept.cycle, kept.granted)


def assert_agrees(reference: Any, state: Any) -> None:
    """The auditor's storage, group, budget or generation and that of decisions are one."""
    if isinstance(reference, Generation):
        row = reference.row
        assert (row["status"], row["succeeded"]) == (state.status, state.succeeded)
        assert [held["stream"] for held in row["holds"]] == [held.stream for held in state.holds]
        return
    use, quota = reference.use, state.quota
    assert (use.used, use.held, use.key) == (quota.used, quota.held, quota.key)
    assert {name: hold["amounts"] for name, hold in use.holds.items()} == {
        name: hold.amounts for name, hold in quota.holds.items()
    }
