"""A ledger in memory that counts every resource anew, from the events alone, and compares after each of them."""

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import Any

from domain.budgets import state as budgets
from domain.budgets.events import BudgetSet, CostRecorded
from domain.credits.account import Account
from domain.credits.events import CreditsDebited, CreditsRefunded, ReservationCaptured, ShortfallCollected
from domain.generations.events import (
    Charge,
    GenerationCancelled,
    GenerationCompleted,
    GenerationExpired,
    GenerationExtended,
    GenerationFailed,
    GenerationHeld,
    GenerationRefunded,
    GenerationRefused,
    GenerationSettledLate,
    Held,
    Settled,
)
from domain.generations.request import DEFAULTS
from domain.generations.state import Generation
from domain.groups.events import GroupEdited
from domain.groups.state import Group
from domain.organisations.events import OverActual
from domain.organisations.state import STREAM as ORGANISATION
from domain.quotas.events import (
    PeriodEnded,
    PeriodStarted,
    UseCounted,
    UseExpired,
    UseExtended,
    UseGivenBack,
    UseHeld,
    UseReleased,
    UseSettled,
)
from domain.quotas.quota import Quota
from domain.registry import SCRIP
from domain.storage.events import ContentDeleted, ContentStored, StorageLimitSet
from domain.storage.state import Storage, limit_of
from infra.log.mapper import LedgerMapper
from infra.log.snapshots import decode_state, encode_state
from tests.domain.memory import Ledger
from tests.simulation.checked_ledger import check_account

CODEC = LedgerMapper.of(SCRIP)
MAIN = ("credits", "tokens", "plan", "budget", "groups")  # an amount to refund is of the first that was charged
TICK = timedelta(microseconds=1)
COUNTED = ("budget", "groups")
ENDS = (GenerationCompleted, GenerationFailed, GenerationCancelled, GenerationExpired, GenerationSettledLate)
# What may be above a limit at all: a limit that was changed, and use that is recorded as it is (contract).
AS_IT_IS = (GroupEdited, BudgetSet, StorageLimitSet, ContentStored, CostRecorded)
MONEY_AS_IT_IS = (UseSettled, UseCounted)


class QuotaCount:
    """The use of one storage, group or budget, counted without the code that it checks."""

    def __init__(self) -> None:
        self.used: dict[str, Counter[str]] = defaultdict(Counter)  # by period
        self.holds: dict[str, tuple[Counter[str], str, datetime]] = {}  # amounts, period, end
        self.contents: dict[str, int] = {}
        self.started: set[str] = set()
        self.key = ""
        self.restarts = 0

    def apply(self, event: Any) -> None:  # noqa: C901 - one for each event
        """Count one event."""
        match event:
            case PeriodStarted():
                assert event.key not in self.started, "a period starts once"
                self.started.add(event.key)
                self.key = event.key
            case PeriodEnded():
                assert Counter(event.used) == self.used[self.key]
                self.restarts += event.at is not None
                self.key = f".{self.restarts}" if self.restarts else ""
            case UseHeld():
                assert event.generation_id not in self.holds
                self.holds[event.generation_id] = (Counter(event.amounts), self.key, event.expires_at)
            case UseExtended():
                amounts, period, end = self.holds[event.generation_id]
                assert event.expires_at >= end
                self.holds[event.generation_id] = (amounts + Counter(event.grown), period, event.expires_at)
            case UseSettled():
                self._settled(event)
            case UseReleased() | UseExpired():
                amounts, _, _ = self.holds.pop(event.generation_id)
                assert Counter(event.amounts) == amounts
            case UseCounted():
                self.used[self.key] += Counter(event.amounts)
            case UseGivenBack():
                self.used[event.period].subtract(event.amounts)
                assert min(self.used[event.period].values()) >= 0, "more came back than was used"
            case CostRecorded(success=True):
                self.used[self.key] += Counter({budgets.USD: event.usd})
            case ContentStored():
                self.contents[event.content_id] = event.bytes
            case ContentDeleted():
                assert self.contents.pop(event.content_id) == event.bytes

    def _settled(self, event: UseSettled) -> None:
        amounts, period, end = self.holds.pop(event.generation_id)
        used, returned = Counter(event.used), Counter(event.returned)
        assert event.period == period, "what was held in a period counts in that period"
        self.used[period] += used
        rest = amounts - used
        if event.final:
            assert returned == rest
        else:
            self.holds[event.generation_id] = (rest - returned, period, end)

    def same(self, quota: Quota) -> None:
        """The ledger's own state says the same."""
        stored = Counter({"bytes": sum(self.contents.values())})
        held: Counter[str] = Counter()
        for amounts, period, _ in self.holds.values():
            held += amounts if period == self.key else Counter()
        assert Counter(quota.used) == self.used[self.key] + stored
        assert Counter(quota.held) == held
        assert quota.key == self.key
        assert {name: (Counter(hold.amounts), hold.period, hold.expires_at) for name, hold in quota.holds.items()} == (
            self.holds
        )


class Life:
    """What one generation held, was charged and was given back in all, by resource."""

    def __init__(self) -> None:
        self.held: Counter[str] = Counter()
        self.charged: Counter[str] = Counter()
        self.returned: Counter[str] = Counter()
        self.above = False  # the organisation lets it be charged above its holds
        self.ends: list[type] = []


class GenerationsLedger(Ledger):
    """`Ledger` that checks every single event, and what belongs together after every decision."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, QuotaCount] = defaultdict(QuotaCount)
        self.lives: dict[str, Life] = defaultdict(Life)
        self.debits: dict[str, int] = {}  # what of each is not refunded
        self.charged: Counter[str] = Counter()  # on accounts, by generation

    def happened(self, stream: str, event: Any, before: Any, after: Any) -> None:
        """Check all that an event touches."""
        super().happened(stream, event, before, after)
        over, kind = self.over(before), SCRIP.kind_of(stream)
        type_, stored = CODEC.encode(event, "user:tester", "key")
        assert CODEC.decode(type_, stored) == event
        assert decode_state(kind, encode_state(after)) == after
        assert not kind.due(after, kind.next_due(after) - TICK)
        match after:
            case Account():
                check_account(before, after)
                self._debited(event)
            case Storage() | Group() | budgets.Budget():
                self.counts[stream].apply(event)
                self.counts[stream].same(after.quota)
                as_it_is = (*AS_IT_IS, *MONEY_AS_IT_IS) if isinstance(after, budgets.Budget) else AS_IT_IS
                assert isinstance(event, as_it_is) or self.over(after) <= max(0, over)
            case Generation():
                self._lived(event)

    def over(self, state: Any) -> int:
        """How far use and holds are above the limits, the farthest of them; below zero where there is room."""
        match state:
            case Storage():
                limit = limit_of(state, self.state(ORGANISATION), DEFAULTS.storage_limit)
                return state.quota.taken("bytes") - limit
            case Group():
                return max((state.quota.taken(what) - limit for what, limit in state.limits.items()), default=-1)
            case budgets.Budget():
                return state.quota.taken(budgets.USD) - state.monthly
            case _:
                return 0

    def _debited(self, event: Any) -> None:
        match event:
            case CreditsDebited() | ReservationCaptured() | ShortfallCollected():
                assert event.debit_id not in self.debits
                self.debits[event.debit_id] = event.amount
                generation, dot, _ = event.debit_id.rpartition(".")
                if dot and not isinstance(event, ShortfallCollected):
                    self.charged[generation] += event.amount
            case CreditsRefunded():
                self.debits[event.debit_id] -= event.amount
                assert self.debits[event.debit_id] >= 0, "more came back than was charged"

    def _lived(self, event: Any) -> None:
        life = self.lives[event.generation_id]
        match event:
            case GenerationHeld():
                assert not life.ends and not life.held
                life.held = _by_resource(event.holds)
            case GenerationRefused():
                assert not life.ends and not life.held
                assert any(not check.ok for check in event.checks)
            case GenerationExtended():
                kept = _by_resource(event.holds)
                spent = life.held & life.charged if not life.above else life.charged
                life.held |= kept + spent
            case Settled():
                life.above |= self.state(ORGANISATION).over_actual is OverActual.AVAILABLE
                life.charged += _by_resource(event.charges)
                if not life.above:
                    assert all(life.charged[name] <= life.held[name] for name in ("credits", "tokens", "plan"))
            case GenerationRefunded():
                life.returned += _by_resource(event.returned)
                assert life.returned <= life.charged
                main = next((name for name in MAIN if life.charged[name]), "")
                if life.returned[main] == life.charged[main]:
                    assert all(life.returned[name] == life.charged[name] for name in COUNTED), "all comes back with it"
        if isinstance(event, ENDS):
            late = isinstance(event, GenerationSettledLate)
            assert life.ends == ([GenerationExpired] if late else []), "exactly one outcome"
            life.ends.append(type(event))

    def check_holds(self) -> None:
        """A generation is open exactly as long as each of its holds is there, all with its end."""
        expected: dict[tuple[str, str], tuple[Any, ...]] = {}
        found: dict[tuple[str, str], tuple[Any, ...]] = {}
        for stream, state in self.states.items():
            if isinstance(state, Generation):
                self._check_charges(state)
                for held in state.holds if state.open and state.asked else ():
                    name = (held.stream, stream.removeprefix("generation/"))
                    assert name not in expected
                    expected[name] = (held.amounts, state.expires_at)
            elif isinstance(state, Account):
                unit = stream.rpartition(":")[2]
                for id_, hold in state.holds.items():
                    if hold.generation:
                        found[stream, id_] = ({unit: hold.amount}, hold.expires_at)
            elif isinstance(state, Storage | Group | budgets.Budget):
                for id_, use in state.quota.holds.items():
                    found[stream, id_] = (use.amounts, use.expires_at)
        assert found == expected

    def _check_charges(self, generation: Generation) -> None:
        """What the generation says that it was charged is what its accounts were."""
        if generation.asked is not None:
            on_accounts = sum(
                sum(charge.amounts.values()) for charge in generation.charges if charge.debit_id is not None
            )
            assert on_accounts == self.charged[generation.asked.generation_id]


def _by_resource(parts: tuple[Held | Charge, ...]) -> Counter[str]:
    total: Counter[str] = Counter()
    for part in parts:
        total[part.resource] += sum(part.amounts.values())
    return total
