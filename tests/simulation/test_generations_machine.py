"""All resources together: users, groups, budgets, storage, plans, plain reservations, settings that change, and time.

hypothesis chooses the commands; what it finds it shrinks to the shortest story. `SIMULATION_EXAMPLES` sets how many
stories are told. S1-3, S4-1: no history passes a limit, and all that a generation holds ends together.
"""

import os
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.budgets.commands import RecordCost, SetBudget
from domain.credits.account import Account
from domain.credits.commands import (
    Capture,
    ConfigureAccount,
    Grant,
    Refund,
    Release,
    Reserve,
    Transfer,
    VoidGrant,
    WriteOffShortfall,
)
from domain.credits.events import CreditsGranted, Slice
from domain.generations.commands import (
    CancelGeneration,
    ConfirmGeneration,
    ExtendGeneration,
    FailGeneration,
    StartGeneration,
)
from domain.generations.create import CreateGeneration
from domain.generations.events import Content
from domain.generations.handlers import AssessGeneration
from domain.generations.refund import RefundGeneration, shortfalls
from domain.generations.refusals import ResourcesShort
from domain.generations.request import MB, Request
from domain.generations.settlement import Reported
from domain.generations.state import Status
from domain.groups.commands import AddMembers, CreateGroup, DeleteGroup, EditGroup, RemoveMembers, TrackGeneration
from domain.kernel.domain import LetTimePass
from domain.kernel.execution import Decided
from domain.organisations.commands import ChoosePlan, ConfigureOrganisation
from domain.organisations.events import Billing, Outcome
from domain.periods import NEVER, Every
from domain.plans.deduct import DeductTokens
from domain.plans.publish import PublishPlan
from domain.prices.events import PriceEntry
from domain.prices.publish import PublishPrices
from domain.refusal import Refusal
from domain.registry import SCRIP
from domain.storage.commands import DeleteContent, SetStorageLimit
from tests.domain.scenario import NOW
from tests.resource_names import Resource
from tests.simulation.generations_ledger import GenerationsLedger

STORIES = int(os.environ.get("SIMULATION_EXAMPLES", "200"))

USERS, GROUPS = ("alice", "bob"), ("g1", "g2")
FORECAST = "org:acme:tokens.forecast"
ADDRESSES = (
    "user:alice:credits",
    "user:bob:credits",
    "user:alice:tokens",
    "user:bob:tokens",
    "org:acme:credits",
    FORECAST,
)

PRICES = (
    PriceEntry(model="flux", operation="image", credits=10, usd_micros=700_000, rates={"steps": 500}),
    PriceEntry(model="clip", operation="video", credits=25, tokens=9),
    PriceEntry(operation="studio", tokens=6, usd_micros=300_000),
    PriceEntry(model="meter", operation="chat", rates={"steps": 500}, expected_usage={"steps": 40}),
)
WANTED: tuple[dict[str, Any], ...] = (
    {"operation": "image", "model": "flux", "token_type": "forecast", "tokens": 5},
    {"operation": "image", "model": "flux"},
    {"operation": "video", "model": "clip"},
    {"operation": "studio"},
    {"operation": "chat", "model": "meter"},
    {"operation": "chat", "model": "meter", "estimate": {"steps": 80}},
    {"operation": "chat", "feature": "forecast"},
    {"operation": "upload", "bytes": 3 * MB},
)

users, groups, addresses = st.sampled_from(USERS), st.sampled_from(GROUPS), st.sampled_from(ADDRESSES)
few = st.sampled_from([0, 0, 0, 1, 1, 2, 3])  # which of the last ones, so that stories meet the same ones again
rarely = st.sampled_from([False] * 7 + [True])
amounts = st.sampled_from([1, 3, 10, 24, 60, 400])
limits = st.sampled_from([None, None, 0, 2, 5, 40, 40])
ttls = st.sampled_from([1, 60, 900, 900, 604_800])
steps = st.sampled_from(
    [0.000001, 0.000001, 1, 1, 30, 59, 60, 60, 300, 300, 899, 900, 86_400, 31 * 86_400, 200 * 86_400]
)
usages = st.sampled_from([None, None, None, {"steps": 9}, {"steps": 40}])
reports = st.builds(
    Reported,
    usage=usages,
    credits=st.sampled_from([None, None, 0, 4, 33, 150]),
    tokens=st.sampled_from([None, None, 0, 2, 30]),
    usd=st.sampled_from([None, None, 0, 250_000, 3_000_000]),
    succeeded=st.sampled_from([None, None, 0, 1, 2]),
)


on_accounts = st.one_of(
    st.builds(Grant, address=addresses, grant_id=st.just(""), amount=amounts, source=st.just("gift"),
              priority=st.sampled_from([0, 0, 1, 20])),
    st.builds(Reserve, address=addresses, reservation_id=st.just(""), amount=amounts, own_id=st.booleans()),
    st.builds(Release, address=addresses, reservation_id=st.just("none")),
    st.builds(Capture, address=addresses, reservation_id=st.just("none"), debit_id=st.just(""), final=st.booleans()),
    st.builds(WriteOffShortfall, address=addresses),
    st.builds(VoidGrant, address=addresses, grant_id=st.just("none")),
    st.builds(Refund, address=addresses, refund_id=st.just(""), debit_id=st.just(""), amount=amounts),
    st.builds(Transfer, address=st.just(ADDRESSES[1]), to=st.just(ADDRESSES[0]), transfer_id=st.just(""),
              amount=amounts),
    st.builds(ConfigureAccount, address=addresses, frozen=rarely, credit_limit=st.sampled_from([0, 0, 15])),
)  # fmt: skip
on_limits = st.one_of(
    st.builds(TrackGeneration, user=users, what=st.sampled_from(["image", "video"])),
    st.builds(RecordCost, user=users, cost_id=st.just(""), usd=st.integers(0, 3_000_000), success=st.booleans()),
    st.builds(SetBudget, user=users, monthly=st.sampled_from([1_000_000, 9_000_000]), by_user=st.just(False)),
    st.builds(SetStorageLimit, user=users, limit=st.sampled_from([None, 0, 12 * MB, 100 * MB, 100 * MB])),
    st.builds(DeleteContent, user=users, content_id=st.just("none")),
    st.builds(DeductTokens, user=users, token_type=st.just("forecast"), quantity=st.integers(1, 3),
              debit_id=st.just("")),
)  # fmt: skip
changes = st.fixed_dictionaries({"image": limits, "video": limits, "tokens.forecast": limits})
on_groups = st.one_of(
    st.builds(CreateGroup, group_id=groups, name=groups, every=st.sampled_from(Every)),
    st.builds(EditGroup, group_id=groups, limits=changes, every=st.sampled_from([None, None, *Every])),
    st.builds(AddMembers, group_id=groups, users=st.sampled_from([USERS, USERS[:1]])),
    st.builds(RemoveMembers, group_id=groups, users=st.sampled_from([USERS[1:], USERS[:1]])),
    st.builds(DeleteGroup, group_id=groups),
)
on_organisation = st.one_of(
    st.builds(
        ConfigureOrganisation,
        enforce=st.one_of(st.none(), st.none(), st.none(), st.sets(st.sampled_from(Resource), min_size=3).map(tuple)),
        pay_from=st.sampled_from([None, ("user:{user}",), ("user:{user}", "org:{org}"), ("org:{org}", "user:{user}")]),
        over_actual=st.sampled_from([None, "refuse", "available", "available"]),
        time_zone=st.sampled_from([None, None, "UTC", "Asia/Tokyo", "America/New_York"]),
        settlement_policy=st.sampled_from([None, {"provider_error": 50, "input_blocked": 100}]),
    ),
    st.builds(ChoosePlan, plan=st.sampled_from(["starter", "pro", "team", "team"]), billing=st.sampled_from(Billing)),
)

NEW_IDS = {
    Capture: "debit_id",
    Refund: "refund_id",
    RecordCost: "cost_id",
    Transfer: "transfer_id",
    DeductTokens: "debit_id",
}


class GenerationsMachine(RuleBasedStateMachine):
    """The ledger as the writer runs it: every command at the clock's time, whatever it comes to."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = GenerationsLedger()
        self.now = NOW
        self.number = 0
        self.generations: list[str] = []  # last first
        self.grants: list[tuple[str, str]] = []
        self.terms: dict[str, Slice] = {}  # of the grants, also of those that are spent
        self.contents: list[tuple[str, str]] = []
        self.plain: list[tuple[str, str]] = [(ADDRESSES[0], "j1")]

    @initialize(first=on_organisation, second=on_organisation)
    def open(self, first: Any, second: Any) -> None:
        """Prices, and something of everything."""
        self.run(PublishPrices(entries=PRICES, first=True))
        self.run(PublishPlan(plan="team", name="Team", tokens={"forecast": 20}, credits=90, storage_limit=40 * MB))
        self.run(first)
        self.run(second)
        for address in ADDRESSES:
            self.run(Grant(address=address, grant_id=self.new("g"), amount=70, source="gift"))
        self.run(CreateGroup(group_id="g1", name="One", limits={"image": 6, "tokens.forecast": 40}))
        self.run(AddMembers(group_id="g1", users=USERS))
        self.make(self.new("j"), Request(user="alice", options={"count": 2}, **WANTED[0]))
        self.make(self.new("j"), Request(user="bob", **WANTED[2]), ttl_s=60)

    def run(self, command: Any) -> Decided:
        """Execute a command; whatever it is answered, what belongs together is together and nothing is due."""
        decider, ledger, logged = SCRIP.deciders[type(command)], self.ledger, len(self.ledger.log)
        decided = ledger.run(command, self.now)
        assert tuple(ledger.log[logged:]) == decided.events
        self.terms |= {
            event.grant.grant: event.grant for _, event in decided.events if isinstance(event, CreditsGranted)
        }
        if decided.refusal is not None:
            assert isinstance(decided.refusal, Refusal)
            assert str(decided.refusal)
            assert decided.refusal.facts() is not None
        for stream in (*decider.streams(command), *decider.streams_from_state(ledger.work(self.now), command)):
            kind, state = SCRIP.kind_of(stream), ledger.state(stream)
            assert not kind.due(state, self.now)
            assert kind.next_due(state) > self.now
        ledger.check_holds()
        return decided

    def new(self, kind: str) -> str:
        """An id that was never used."""
        self.number += 1
        return f"{kind}{self.number}"

    def one(self, which: int) -> str:
        """One of the last generations, those that are open first."""
        last = sorted(self.generations[:8], key=lambda name: not self.ledger.state(f"generation/{name}").open)
        return last[which % len(last)]

    # ---- generations

    @rule(
        user=users,
        wanted=st.sampled_from(WANTED),
        count=st.sampled_from([1, 1, 1, 2, 4]),
        ttl_s=ttls,
        again=st.sampled_from([None] * 7 + [0, 1]),
        child=rarely,
    )
    def create(self, user: str, wanted: dict[str, Any], count: int, ttl_s: int, again: int | None, child: bool) -> None:
        name = self.new("j") if again is None else self.one(again)
        parent = self.one(0) if child else None
        self.make(name, Request(user=user, options={"count": count}, **wanted), ttl_s, parent)

    def make(self, name: str, request: Request, ttl_s: int = 900, parent: str | None = None) -> None:
        """Create it; the check has said the same."""
        told = self.checked(request)
        command = CreateGeneration(generation_id=name, request=request, ttl_s=ttl_s, own_id=True, parent_id=parent)
        refusal = self.run(command).refusal
        if refusal is None or isinstance(refusal, ResourcesShort):
            assert told["can_proceed"] is (refusal is None)
            if name not in self.generations:
                self.generations.insert(0, name)

    def checked(self, request: Request) -> dict[str, Any]:
        """What the check says, which changes nothing."""
        told: dict[str, Any] = self.ledger.ask(AssessGeneration(request=request), self.now)
        return told

    @rule(which=few, cancel=rarely)
    def start_or_cancel(self, which: int, cancel: bool) -> None:
        self.run((CancelGeneration if cancel else StartGeneration)(generation_id=self.one(which)))

    @rule(which=few, ttl_s=ttls, grow=st.sampled_from([0, 0, 1, 30]))
    def extend(self, which: int, ttl_s: int, grow: int) -> None:
        self.run(ExtendGeneration(generation_id=self.one(which), ttl_s=ttl_s, grow=grow))

    @rule(which=few, reported=reports, sizes=st.lists(st.sampled_from([1, 4, 30]), max_size=2))
    def confirm(self, which: int, reported: Reported, sizes: list[int]) -> None:
        self.settle(self.one(which), reported, sizes, final=True)

    @rule(which=few, reported=reports, sizes=st.lists(st.sampled_from([1, 4, 30]), max_size=2))
    def confirm_a_part(self, which: int, reported: Reported, sizes: list[int]) -> None:
        self.settle(self.one(which), reported, sizes, final=False)

    @precondition(lambda self: self.expired())
    @rule(which=few, reported=reports)
    def confirm_late(self, which: int, reported: Reported) -> None:
        expired = self.expired()
        self.settle(expired[which % len(expired)], reported, [], final=True)

    def expired(self) -> list[str]:
        """Generations that nobody has settled in time."""
        return [name for name in self.generations if self.ledger.state(f"generation/{name}").status is Status.EXPIRED]

    def settle(self, name: str, reported: Reported, sizes: list[int], *, final: bool) -> None:
        made = tuple(Content(self.new("c"), size * MB) for size in sizes)
        command = ConfirmGeneration(generation_id=name, reported=reported._replace(contents=made), final=final)
        if self.run(command).refusal is None:
            user = self.ledger.state(f"generation/{name}").asked.user
            self.contents = [*((user, content.id) for content in made), *self.contents]

    @rule(which=few, outcome=st.sampled_from(Outcome), usage=usages)
    def fail(self, which: int, outcome: Outcome, usage: dict[str, int] | None) -> None:
        self.run(FailGeneration(generation_id=self.one(which), outcome=outcome, reported=Reported(usage=usage)))

    @precondition(lambda self: self.charged())
    @rule(which=few, amount=st.one_of(st.none(), amounts), content=st.booleans())
    def refund(self, which: int, amount: int | None, content: bool) -> None:
        charged = self.charged()
        name = charged[which % len(charged)]
        made = self.ledger.state(f"generation/{name}").contents
        contents = (made[0].id,) if content and made else ()
        self.run(
            RefundGeneration(
                generation_id=name,
                refund_id=self.new("f"),
                amount=None if contents else amount,
                contents=contents,
            )
        )

    def charged(self) -> list[str]:
        """Generations that something may be refunded of, or that owe something."""
        return [
            name
            for name in self.generations
            if self.ledger.state(f"generation/{name}").charges or shortfalls(self.ledger.work(self.now), name)
        ]

    # ---- what happens beside them

    @rule(command=on_accounts)
    def account(self, command: Any) -> None:
        self.run(self.named(command))

    @rule(command=on_limits)
    def limit(self, command: Any) -> None:
        self.run(self.named(command))

    @rule(command=on_groups)
    def group(self, command: Any) -> None:
        self.run(command)

    @rule(command=on_organisation)
    def organisation(self, command: Any) -> None:
        self.run(self.named(command))

    def named(self, command: Any) -> Any:
        """The command with an id that is new, or that of one of the last things where it needs one that there is."""
        more: dict[str, Any] = {}
        if type(command) in NEW_IDS:
            more = {NEW_IDS[type(command)]: self.new("n")}
        match command:
            case Grant(priority=days):
                more = {"grant_id": self.new("g"), "expires_at": self.now + timedelta(days=days) if days else None}
                self.grants.insert(0, (command.address, more["grant_id"]))
            case VoidGrant() if self.grants:
                address, name = self.grants[0]
                more = {"address": address, "grant_id": name, "known": self.terms.get(name)}
            case Reserve():
                more = {"reservation_id": self.one(0) if command.own_id else self.new("r")}
                self.plain.insert(0, (command.address, more["reservation_id"]))
            case Release():
                more = dict(zip(("address", "reservation_id"), self.plain[0], strict=True))
            case Capture():
                address, name = self.plain[0]
                more |= {"address": address, "reservation_id": name}
            case Refund():
                more |= {"debit_id": f"{self.one(0)}.1"}
            case DeleteContent() if self.contents:
                more = dict(zip(("user", "content_id"), self.contents.pop(0), strict=True))
        return replace(command, **more)

    # ---- time

    @rule(seconds=steps)
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(which=few)
    def until_something_is_due(self, which: int) -> None:
        """To the very moment, so that whoever looks at whichever stream first meets it."""
        due = sorted({SCRIP.kind_of(stream).next_due(state) for stream, state in self.ledger.states.items()} - {NEVER})
        ahead = [moment for moment in due if moment > self.now]
        if ahead:
            self.now = ahead[which % len(ahead)]

    @rule(which=st.integers(0, 30))
    def sweep(self, which: int) -> None:
        streams = sorted(self.ledger.states)
        stream = streams[which % len(streams)]
        self.run(LetTimePass(stream=stream))
        assert SCRIP.kind_of(stream).next_due(self.ledger.state(stream)) > self.now

    # ---- what holds at every prefix, beside what the view checks

    @invariant()
    def nothing_is_made_or_lost_between_accounts(self) -> None:
        states = [state for state in self.ledger.states.values() if isinstance(state, Account)]
        assert sum(account.transferred_in - account.transferred_out for account in states) == 0

    def teardown(self) -> None:
        """A fold of the log gives the same states; and long after the end nothing is held any more."""
        states: dict[str, Any] = {}
        for stream, event in self.ledger.log:
            kind = SCRIP.kind_of(stream)
            states[stream] = kind.evolve(states.get(stream, kind.initial), event)
        for stream, state in states.items():
            kind = SCRIP.kind_of(stream)
            assert state == self.ledger.states[stream]
        self.now += timedelta(days=8)
        for stream in sorted(self.ledger.states):
            self.run(LetTimePass(stream=stream))
        assert not any(
            getattr(state, "holds", ()) for state in self.ledger.states.values() if isinstance(state, Account)
        )
        self.ledger.check_holds()


GenerationsMachine.TestCase.settings = settings(
    max_examples=STORIES,
    stateful_step_count=50,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestGenerations = GenerationsMachine.TestCase
