"""Two accounts, every command, time that moves by milliseconds and by months: the invariants at every prefix.

hypothesis chooses the commands; what it finds it shrinks to the shortest story. `SIMULATION_EXAMPLES` sets how many
stories are told.
"""

import os
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.credits.account import Account
from domain.credits.address import stream_of
from domain.credits.commands import (
    Capture,
    ConfigureAccount,
    Debit,
    DebitPriced,
    Extend,
    Grant,
    Refund,
    Release,
    Reserve,
    ReservePriced,
    Transfer,
    VoidGrant,
)
from domain.credits.events import (
    CreditsDebited,
    CreditsGranted,
    CreditsRefunded,
    GrantScheduled,
    ReservationCaptured,
    Slice,
)
from domain.kernel.domain import LetTimePass
from domain.kernel.execution import Decided
from domain.prices.events import PriceEntry
from domain.prices.publish import PublishPrices
from domain.prices.quote import Ask
from domain.refusal import Refusal
from domain.registry import SCRIP
from tests.domain.scenario import ALICE, BOB, NOW
from tests.simulation.checked_ledger import CheckedLedger

STORIES = int(os.environ.get("SIMULATION_EXAMPLES", "200"))
accounts = st.sampled_from([ALICE, BOB])
amounts = st.one_of(st.integers(1, 60), st.sampled_from([1, 100, 1000]))
few = st.integers(0, 3)  # which of the last entities, so that stories meet the same ones again
begins_in = st.sampled_from([None, None, None, 1, 60, 86_400])
ends_in = st.sampled_from([None, 0.001, 30, 60, 3600, 86_400, 3 * 86_400, 30 * 86_400])
steps = st.sampled_from([0.000001, 0.001, 1, 29.999, 30, 60, 900, 3600, 86_400, 7 * 86_400, 31 * 86_400, 180 * 86_400])
rarely = st.sampled_from([None, False, False, False, False, True])


def parts_of(event: Any, grant: str) -> list[Slice]:
    """The parts of a grant that an event moves: an account that has seen one knows the grant."""
    moved = (*getattr(event, "slices", ()), *getattr(event, "returned", ()))
    if isinstance(event, CreditsGranted | GrantScheduled):
        moved = (*moved, event.grant)
    return [part for part in moved if part.grant == grant]


class CreditsMachine(RuleBasedStateMachine):
    """The ledger as the writer runs it: every command is executed at the clock's time, whatever it comes to."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = CheckedLedger()
        self.now = NOW
        self.number = 0
        # What there is, last first: commands on what never was are few enough in the tests of each command.
        self.grants: list[tuple[str, str]] = []
        self.reservations: list[tuple[str, str]] = []
        self.debits: list[tuple[str, str]] = []
        self.last: Any = LetTimePass(stream=stream_of(ALICE))

    @initialize()
    def open(self) -> None:
        """Prices, and something to spend."""
        chat = PriceEntry(operation="chat", credits=7, bulk=((5, 10),))
        self.run(PublishPrices(entries=(chat,), first=True))
        self.run(Grant(address=ALICE, grant_id="g0", amount=200, source="plan"))
        self.run(ConfigureAccount(address=BOB, credit_limit=300))

    def run(self, command: Any) -> Decided:
        """Execute a command; whatever it is answered, the books balance and a second look changes nothing."""
        self.last = command
        states = dict(self.ledger.states)
        logged = len(self.ledger.log)
        decided = self.ledger.run(command, self.now)
        assert tuple(self.ledger.log[logged:]) == decided.events
        for stream in SCRIP.deciders[type(command)].streams(command):
            self.nothing_spoiled_is_free(self.ledger.state(stream))
        if decided.refusal is not None:
            assert isinstance(decided.refusal, Refusal)
            assert str(decided.refusal)
            assert len(decided.events) == decided.due
            if not decided.due:
                self.same_states(states)
        return decided

    def nothing_spoiled_is_free(self, account: Any) -> None:
        """After a decision nothing that has ended or was voided can be spent, and no hold is past its end."""
        if isinstance(account, Account):
            assert all(grant.expires_at is None or grant.expires_at > self.now for grant in account.grants)
            assert not {grant.grant for grant in account.grants} & account.voided_grants
            assert all(hold.expires_at > self.now for hold in account.holds.values())

    def same_states(self, before: dict[str, Any]) -> None:
        """A refusal changes nothing."""
        for stream, state in before.items():
            after = self.ledger.states[stream]
            assert after == state

    def new(self, kind: str) -> str:
        """An id that was never used."""
        self.number += 1
        return f"{kind}{self.number}"

    def later(self, seconds: float | None) -> datetime | None:
        """A moment from now on."""
        return None if seconds is None else self.now + timedelta(seconds=seconds)

    def made(self, kind: list[tuple[str, str]], address: str, command: Any) -> None:
        """Run a command that makes something, and remember it where it was accepted."""
        if self.run(command).refusal is None:
            name = command.grant_id if isinstance(command, Grant) else getattr(command, "debit_id", None)
            kind.insert(0, (address, name or command.reservation_id))

    @rule(address=accounts, amount=amounts, priority=st.integers(0, 2), begins=begins_in, expires=ends_in)
    def grant(self, address: str, amount: int, priority: int, begins: float | None, expires: float | None) -> None:
        name = self.new("g")
        both = (begins or 0) + expires if expires else None
        command = Grant(
            address=address,
            grant_id=name,
            amount=amount,
            source="gift",
            priority=priority,
            effective_at=self.later(begins),
            expires_at=self.later(both),
            external_ref=name if amount % 2 else None,
        )
        self.made(self.grants, address, command)

    @rule(address=accounts, amount=amounts, ttl_s=st.sampled_from([1, 30, 900, 604_800]), own_id=st.booleans())
    def reserve(self, address: str, amount: int, ttl_s: int, own_id: bool) -> None:
        name = self.new("r")
        command = Reserve(address=address, reservation_id=name, amount=amount, ttl_s=ttl_s, own_id=own_id)
        self.made(self.reservations, address, command)

    @rule(address=accounts, count=st.integers(0, 6))
    def reserve_priced(self, address: str, count: int) -> None:
        ask = Ask(operation="chat", options={"count": count})
        self.made(self.reservations, address, ReservePriced(address=address, reservation_id=self.new("r"), ask=ask))

    @precondition(lambda self: self.reservations)
    @rule(which=few, ttl_s=st.sampled_from([1, 900, 604_800]), grow=st.sampled_from([0, 0, 1, 40]))
    def extend(self, which: int, ttl_s: int, grow: int) -> None:
        address, reservation = self.reservations[which % len(self.reservations)]
        self.run(Extend(address=address, reservation_id=reservation, ttl_s=ttl_s, grow=grow))

    @precondition(lambda self: self.reservations)
    @rule(which=few, amount=st.one_of(st.none(), amounts), final=st.booleans())
    def capture(self, which: int, amount: int | None, final: bool) -> None:
        address, reservation = self.reservations[which % len(self.reservations)]
        name = self.new("d")
        command = Capture(address=address, reservation_id=reservation, debit_id=name, amount=amount, final=final)
        self.made(self.debits, address, command)

    @precondition(lambda self: self.reservations)
    @rule(which=few)
    def release(self, which: int) -> None:
        address, reservation = self.reservations[which % len(self.reservations)]
        self.run(Release(address=address, reservation_id=reservation))

    @rule(address=accounts, amount=amounts)
    def debit(self, address: str, amount: int) -> None:
        self.made(self.debits, address, Debit(address=address, debit_id=self.new("d"), amount=amount))

    @rule(address=accounts)
    def debit_priced(self, address: str) -> None:
        ask = Ask(operation="chat")
        self.made(self.debits, address, DebitPriced(address=address, debit_id=self.new("d"), ask=ask))

    @precondition(lambda self: self.debits)
    @rule(which=few, amount=st.one_of(st.none(), amounts))
    def refund(self, which: int, amount: int | None) -> None:
        address, debit = self.debits[which % len(self.debits)]
        self.run(Refund(address=address, refund_id=self.new("f"), debit_id=debit, amount=amount))

    @rule(sender=accounts, amount=amounts)
    def transfer(self, sender: str, amount: int) -> None:
        to = BOB if sender == ALICE else ALICE
        self.run(Transfer(address=sender, to=to, transfer_id=self.new("t"), amount=amount))

    @precondition(lambda self: self.grants)
    @rule(address=accounts, which=few)
    def void(self, address: str, which: int) -> None:
        name = self.grants[which % len(self.grants)][1]
        stream = stream_of(address)
        known = next(
            (part for home, event in self.ledger.log if home == stream for part in parts_of(event, name)), None
        )
        void = self.ledger.state(stream).voided_grants
        decided = self.run(VoidGrant(address=address, grant_id=name, known=known))
        assert (decided.refusal is None) == (known is not None and name not in void), decided.refusal

    @rule(address=accounts, frozen=rarely, closed=rarely, limit=st.sampled_from([None, 0, 50, 500]))
    def configure(self, address: str, frozen: bool | None, closed: bool | None, limit: int | None) -> None:
        self.run(ConfigureAccount(address=address, frozen=frozen, closed=closed, credit_limit=limit))

    @rule()
    def retry(self) -> None:
        """The same command once more, where no new id is made that the idempotency key would have kept from it."""
        if isinstance(self.last, Release | Extend | VoidGrant | ConfigureAccount | LetTimePass):
            self.run(self.last)

    @rule(seconds=steps)
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(address=accounts)
    def sweep(self, address: str) -> None:
        self.run(LetTimePass(stream=stream_of(address)))
        account = self.ledger.state(stream_of(address))
        assert account.next_due > self.now
        assert not SCRIP.kind_of(stream_of(address)).due(account, self.now)

    @invariant()
    def never_more_is_refunded_than_was_charged(self) -> None:
        charged: dict[str, int] = {}
        for _, event in self.ledger.log:
            if isinstance(event, CreditsDebited | ReservationCaptured):
                charged[event.debit_id] = event.amount
            elif isinstance(event, CreditsRefunded):
                charged[event.debit_id] -= event.amount
                assert charged[event.debit_id] >= 0

    @invariant()
    def a_fold_of_the_log_gives_the_same_states(self) -> None:
        if len(self.ledger.log) % 10 == 0:  # the whole fold each time would be quadratic
            states: dict[str, Any] = {}
            for stream, event in self.ledger.log:
                kind = SCRIP.kind_of(stream)
                states[stream] = kind.evolve(states.get(stream, kind.initial), event)
            for stream, state in states.items():
                kind = SCRIP.kind_of(stream)
                assert state == self.ledger.states[stream]

    @invariant()
    def nothing_is_made_or_lost_between_accounts(self) -> None:
        both = [self.ledger.state(stream_of(address)) for address in (ALICE, BOB)]
        assert sum(account.transferred_in - account.transferred_out for account in both) == 0


CreditsMachine.TestCase.settings = settings(
    max_examples=STORIES,
    stateful_step_count=50,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestCredits = CreditsMachine.TestCase
