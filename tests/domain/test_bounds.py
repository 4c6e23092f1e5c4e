"""Sums and parts end below what the stores can hold, and who is refused for it can go on another way."""

from typing import Any

import pytest

from domain.bounds import MAX_AMOUNT, MAX_SLICES, MAX_TOTAL, TotalTooLarge
from domain.budgets.commands import RecordCost
from domain.budgets.state import Budget
from domain.credits.account import Account, Hold
from domain.credits.burn import Grants
from domain.credits.commands import Debit, Grant, Reserve, Transfer
from domain.credits.events import ShortfallCollected
from domain.credits.refusals import TooManyGrantsAtOnce
from domain.generations.commands import ConfirmGeneration
from domain.generations.events import GenerationHeld
from domain.generations.refusals import InvalidSettlement
from domain.generations.settlement import Reported, check_reported
from domain.generations.state import MAX_PARTS, Generation, Status
from domain.groups.commands import TrackGeneration
from domain.groups.state import Group, Memberships
from domain.kernel.holds import Holds
from domain.periods import NEVER
from domain.quotas.quota import Quota
from domain.refusal import EventTooLarge
from tests.domain.credits.facts import below_zero, part
from tests.domain.scenario import ALICE, BOB, NOW, Scenario, after

FULL = part(2 * MAX_AMOUNT)


def rich(**totals: Any) -> Account:
    """An account with something to spend, and books that agree."""
    account = Account(exists=True, free=FULL.amount, grants=Grants.of([FULL]))._replace(**totals)
    if account.reserved:
        held = part(account.reserved, "g2")
        account = account._replace(holds=Holds.of({"r2": Hold(account.reserved, after(900), (held,))}))
    came_in = account.granted + account.transferred_in
    there = account.free + account.reserved + account.debited + account.transferred_out
    more = there - came_in
    return account._replace(granted=account.granted + more) if more > 0 else account._replace(expired=-more)


def crowd(count: int, **changed: Any) -> Account:
    """So many grants of one credit."""
    grants = tuple(part(1, f"g{number:05}") for number in range(count))
    return Account(exists=True, granted=count, free=count, grants=Grants.of(grants))._replace(**changed)


@pytest.mark.parametrize(
    ("total", "what", "command"),
    [
        ("granted", "granted to the account", Grant(address=ALICE, grant_id="g", amount=2, source="gift")),
        ("debited", "charged to the account or held", Debit(address=ALICE, debit_id="d", amount=2)),
        ("reserved", "charged to the account or held", Reserve(address=ALICE, reservation_id="r", amount=2)),
        (
            "transferred_out",
            "transferred from the account",
            Transfer(address=ALICE, to=BOB, transfer_id="t", amount=2),
        ),
        ("transferred_in", "transferred to the account", Transfer(address=BOB, to=ALICE, transfer_id="t", amount=2)),
    ],
)
def test_no_sum_of_an_account_passes_its_bound(total: str, what: str, command: Any) -> None:
    one_left = Scenario().given_state(rich(**{total: MAX_TOTAL - 1})).given_state(rich(), BOB)
    one_left.when(command).then_refused(TotalTooLarge(what=what, limit=MAX_TOTAL))
    two_left = Scenario().given_state(rich(**{total: MAX_TOTAL - 2})).given_state(rich(), BOB)
    assert two_left.when(command).decided.refusal is None


def test_no_sum_of_a_limit_passes_its_bound() -> None:
    full = Quota(used={"image": MAX_TOTAL, "usd": MAX_TOTAL})
    group = Group(exists=True, name="g", quota=full)
    scenario = Scenario().given_state(group, "group/g").given_state(Memberships(("g",)), "memberships/ann")
    scenario.given_state(Budget(quota=full), "budget/ann")
    track = TrackGeneration(user="ann", what="image")
    assert isinstance(scenario.when(track).decided.refusal, TotalTooLarge)
    cost = RecordCost(user="ann", cost_id="c", usd=1, success=True)
    assert isinstance(scenario.when(cost).decided.refusal, TotalTooLarge)


def test_a_movement_takes_parts_of_so_many_grants_and_no_more() -> None:
    reserve = Reserve(address=ALICE, reservation_id="r", amount=MAX_SLICES + 1)
    refused = TooManyGrantsAtOnce(limit=MAX_SLICES, possible=MAX_SLICES)
    scenario = Scenario().given_state(crowd(9_990)).when(reserve).then_refused(refused)
    scenario.done(Reserve(address=ALICE, reservation_id="r", amount=MAX_SLICES))
    assert len(scenario.account().holds["r"].slices) == MAX_SLICES


def test_what_is_below_zero_counts_as_a_grant() -> None:
    postpaid = crowd(MAX_SLICES, credit_limit=10)
    refused = TooManyGrantsAtOnce(limit=MAX_SLICES, possible=MAX_SLICES)
    debit = Debit(address=ALICE, debit_id="d", amount=MAX_SLICES + 1)
    Scenario().given_state(postpaid).when(debit).then_refused(refused)
    scenario = Scenario().given_state(crowd(MAX_SLICES - 1, credit_limit=10))
    charged = scenario.when(Debit(address=ALICE, debit_id="d", amount=MAX_SLICES)).decided.events[0][1]
    assert charged.slices[-1] == below_zero(1)


def test_a_shortfall_is_paid_from_so_many_grants_at_a_time() -> None:
    scenario = Scenario().given_state(crowd(2_000, shortfall=5_000))
    for left in (5_000 - MAX_SLICES, 5_000 - 2 * MAX_SLICES):
        events = scenario.when(Grant(address=ALICE, grant_id=f"n{left}", amount=1, source="gift")).decided.events
        assert [type(event) for _, event in events][1:] == [ShortfallCollected]
        assert scenario.account().shortfall == left


def test_a_generation_is_settled_in_so_many_parts_and_can_then_still_be_ended() -> None:
    asked = GenerationHeld(
        generation_id="gen", user="ann", operation="image", expires_at=after(900), holds=(), count=100_000
    )
    state = Generation(Status.RUNNING, asked, (), after(900), parts=MAX_PARTS)
    scenario = Scenario().given_state(state, "generation/gen")
    part_ = ConfirmGeneration(generation_id="gen", final=False)
    refused = scenario.when(part_).decided.refusal
    assert isinstance(refused, InvalidSettlement)
    assert (refused.field, refused.limit) == ("final", MAX_PARTS)
    assert scenario.when(ConfirmGeneration(generation_id="gen")).decided.refusal is None


def test_money_is_reported_in_amounts_that_add_up() -> None:
    check_reported(Reported(usd=MAX_AMOUNT))
    with pytest.raises(InvalidSettlement, match="actual.usd"):
        check_reported(Reported(usd=MAX_AMOUNT + 1))


def test_all_that_ends_at_once_is_many_small_events() -> None:
    """No one fact grows with how much is due."""
    account = crowd(1_000, next_due=NOW)
    ended = Grants.of(grant._replace(expires_at=after(60)) for grant in account.grants)
    scenario = Scenario().given_state(account._replace(grants=ended)).at(after(60))
    due = scenario.when(Grant(address=ALICE, grant_id="n", amount=1, source="gift", expires_at=NEVER)).decided
    assert due.due == 1_000


def test_an_event_that_is_too_large_is_told_with_its_size() -> None:
    """Only the writer knows how large an event is (tests/infra/writer/test_event_size.py)."""
    refused = EventTooLarge(size=1_190_000, limit=900_000)
    assert refused.facts() == {"size": 1_190_000, "limit": 900_000}
    assert str(refused) == (
        "This would be one event of 1190000 bytes; the limit is 900000. Ask for less at a time, for example a smaller"
        " amount."
    )
