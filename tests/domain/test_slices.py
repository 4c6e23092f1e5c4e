"""Much that falls due at once is worked off in slices: nothing is lost, doubled or torn apart."""

from collections import Counter
from typing import Any

import pytest

from domain.credits.account import Account, Hold, Promised
from domain.credits.address import stream_of
from domain.credits.burn import Grants
from domain.credits.commands import Grant
from domain.credits.due import due
from domain.credits.events import GrantExpired, GrantScheduled, ReservationExpired, ShortfallCollected
from domain.generations.events import GenerationExpired
from domain.generations.state import stream_of as generation
from domain.kernel.domain import LetTimePass
from domain.kernel.execution import Decided, MoreDue, ask, execute, let_time_pass
from domain.kernel.holds import Holds
from domain.kernel.work import SLICE
from domain.plans.deduct import TokensNow
from domain.quotas.events import PeriodEnded, UseExpired
from domain.quotas.quota import Quota, UseHold
from domain.quotas.quota import due as quota_due
from domain.registry import SCRIP
from domain.storage.state import Storage
from tests.domain.credits.facts import part
from tests.domain.generations.facts import ENDS, FORECAST, GROUP, STORAGE, TOKENS, create, shop
from tests.domain.memory import check_books
from tests.domain.scenario import ALICE, NOW, Scenario, after

ACCOUNT = stream_of(ALICE)
MANY = 1_000


def crowded(count: int = MANY, **changed: Any) -> Account:
    """An account with so many holds that all end after a minute."""
    holds = Holds.of({f"h{number:05}": Hold(1, after(60), (part(1),)) for number in range(count)})
    account = Account(exists=True, granted=2 * count, free=count, reserved=count, holds=holds, next_due=after(60))
    return account._replace(grants=Grants.of([part(count)]))._replace(**changed)


def slices(scenario: Scenario, command: Any, most: int = 10_000) -> list[Decided]:
    """What a command comes to as the writer runs it: a decision, its events kept, and the next one."""
    found: list[Decided] = []
    while not found or found[-1].unfinished is not None:
        assert len(found) < most
        work = scenario.ledger.work(scenario.now)
        found.append(execute(work, SCRIP, command))
        scenario.ledger._keep(work, found[-1].events)
    return found


def test_holds_that_end_together_are_worked_off_slice_by_slice_and_then_the_command_is_decided() -> None:
    scenario = Scenario().given_state(crowded()).at(after(60))
    *before, last = slices(scenario, Grant(address=ALICE, grant_id="n", amount=1, source="gift"))
    assert [len(decided.events) for decided in before] == [SLICE] * (MANY // SLICE - 1)
    assert all(decided.due == len(decided.events) and decided.unfinished == ACCOUNT for decided in before)
    assert (last.due, len(last.events), last.refusal) == (SLICE, SLICE + 1, None)
    ended = [event.reservation_id for _, event in scenario.ledger.log if isinstance(event, ReservationExpired)]
    assert ended == sorted(ended) == [f"h{number:05}" for number in range(MANY)]
    assert (scenario.account().available, scenario.account().reserved) == (2 * MANY + 1, 0)


def test_a_slice_looks_at_no_more_than_it_works_off() -> None:
    looks = 0

    class Counted(Hold):
        @property
        def expires_at(self) -> Any:
            nonlocal looks
            looks += 1
            return self[1]

    holds: Holds[Hold] = Holds.of({f"h{number}": Counted(1, after(60), (part(1),)) for number in range(100_000)})
    account = crowded(100_000, holds=holds)
    looks = 0
    work = Scenario().given_state(account).ledger.work(after(60))
    assert execute(work, SCRIP, LetTimePass(stream=ACCOUNT)).unfinished == ACCOUNT
    assert looks < 10 * SLICE


def test_in_one_batch_only_one_slice_of_a_stream_is_taken_whoever_waits_for_it() -> None:
    scenario = Scenario().given_state(crowded()).at(after(60))
    work = scenario.ledger.work(scenario.now)
    assert len(execute(work, SCRIP, LetTimePass(stream=ACCOUNT)).events) == SLICE
    for _ in range(3):
        work.begin("acme", scenario.now)
        again = execute(work, SCRIP, Grant(address=ALICE, grant_id="n", amount=1, source="gift"))
        assert (again.events, again.unfinished) == ((), ACCOUNT)


def test_a_question_about_it_waits() -> None:
    scenario = Scenario().given_state(crowded(), of=TOKENS).at(after(60))
    question = TokensNow(token_type="forecast", user="alice")
    scenario.given_state(crowded(), of=FORECAST)
    work = scenario.ledger.work(scenario.now)
    with pytest.raises(MoreDue, match=stream_of(FORECAST)):
        ask(work, SCRIP, question)
    assert work.emitted == []
    assert scenario.ask(question).balance == 2 * MANY


def torn(scenario: Scenario) -> list[str]:
    """The generations of which something has ended and something has not."""
    found = []
    for stream, state in scenario.ledger.states.items():
        if stream.startswith("generation/"):
            id_ = stream.removeprefix("generation/")
            for held in state.holds:
                there = scenario.ledger.state(held.stream)
                holds = there.holds if isinstance(there, Account) else there.quota.holds
                if (id_ in holds) != state.open:
                    found.append(f"{id_} {held.stream}")
    return found


@pytest.mark.parametrize("stream", [ACCOUNT, GROUP, STORAGE, stream_of(TOKENS), generation("j005")])
def test_what_a_generation_holds_ends_together_and_the_end_is_that_of_one_go(stream: str) -> None:
    """Whichever of its streams is looked at first."""
    count = 120
    scenario, whole = (shop(credits=20_000, tokens=2_000, forecast=1_000, image=500) for _ in range(2))
    for each in (scenario, whole):
        each.given_state(Storage(limit=10**12), of=STORAGE)
        each.done(*(create(id_=f"j{number:03}") for number in range(count))).at(ENDS)
    sizes = []
    while True:
        work = scenario.ledger.work(scenario.now)
        decided = execute(work, SCRIP, LetTimePass(stream=stream))
        scenario.ledger._keep(work, decided.events)
        assert torn(scenario) == []
        if decided.unfinished is None:
            break
        sizes.append(len(decided.events))
        assert 0 < sizes[-1] <= SLICE
    for other in (ACCOUNT, GROUP):
        slices(scenario, LetTimePass(stream=other))
    work = whole.ledger.work(whole.now)
    assert let_time_pass(work, (ACCOUNT,), most=10**6) is None
    whole.ledger._keep(work, tuple(work.emitted))
    assert Counter(map(repr, whole.ledger.log)) == Counter(map(repr, scenario.ledger.log))
    assert whole.ledger.states == scenario.ledger.states
    assert sum(isinstance(event, GenerationExpired) for _, event in scenario.ledger.log) == count


def test_grants_that_end_and_begin_in_slices_pay_a_shortfall_only_with_what_is_left() -> None:
    """One by one or all at once: the same credits are there at the end, and none that had expired has paid."""
    ended = Grants.of(part(3, f"old{number}", expires_at=after(number % 7 + 1)) for number in range(20))
    begun = [
        GrantScheduled(
            grant=part(5, f"new{number}", expires_at=after(50) if number % 2 else None), effective_at=after(9)
        )
        for number in range(8)
    ]
    account = Account(
        exists=True, granted=60, free=60, grants=ended, shortfall=13,
        scheduled=Promised.of_plain(begun), next_due=after(1),
    )  # fmt: skip
    outcomes = set()
    for most in (1, 2, 3, 7, 28, 1_000):
        state = account
        while events := due(state, after(60), most):
            assert len(events) <= 2 * most + 1, "each that begins may end at once"
            for event in events:
                state = SCRIP.kind_of(ACCOUNT).evolve(state, event)
                if isinstance(event, ShortfallCollected):
                    assert all(slice_.expires_at is None for slice_ in event.slices)
                check_books(state)
        outcomes.add((state.available, state.expired, state.shortfall, state.debited, state.next_due > after(60)))
    assert len(outcomes) == 1, outcomes


def test_a_hold_of_many_expired_grants_counts_as_all_that_follows_from_it() -> None:
    parts = tuple(part(1, f"g{number:03}", expires_at=after(10)) for number in range(400))
    holds = Holds.of({f"h{number}": Hold(400, after(60), parts) for number in range(5)})
    account = Account(exists=True, granted=2_000, reserved=2_000, holds=holds, next_due=after(60))
    found = due(account, after(60))
    assert [type(event) for event in found] == [ReservationExpired, *[GrantExpired] * 400]


def test_a_quota_ends_its_holds_before_its_period() -> None:
    holds = Holds.of({f"h{number}": UseHold({"usd": 1}, after(60), "2026-03") for number in range(5)})
    quota = Quota(held={"usd": 5}, holds=holds, next_due=after(60))
    assert [type(event) for event in quota_due(quota, after(60), 3)] == [UseExpired] * 3
    assert [event.generation_id for event in quota_due(quota, after(60), 9, ("h4", "none", "h2"))] == ["h4", "h2"]  # type: ignore[union-attr]
    assert PeriodEnded not in map(type, quota_due(quota, after(60), 5))


def test_an_account_ends_only_what_is_named() -> None:
    account = crowded(5, grants=Grants.of([part(5, expires_at=after(10))]), next_due=after(10))
    found = due(account, after(60), 9, ("h00003", "none"))
    assert [type(event) for event in found] == [ReservationExpired]
    assert GrantExpired in map(type, due(account, after(60), 9))
    assert due(account, NOW) == ()
