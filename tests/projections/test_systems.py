"""The folds of storage, groups, budgets, plans and generations: rows agree with the states that decisions see."""

from collections import Counter
from datetime import timedelta
from functools import cache
from itertools import accumulate
from typing import Any

import pytest

from domain.credits.commands import Grant
from domain.generations.commands import ConfirmGeneration
from domain.generations.create import CreateGeneration
from domain.generations.events import Content
from domain.generations.refund import RefundGeneration
from domain.generations.request import Request
from domain.generations.settlement import Reported
from domain.groups.commands import AddMembers, CreateGroup
from domain.kernel.domain import LetTimePass
from domain.organisations.commands import ChoosePlan
from domain.plans.deduct import DeductTokens
from domain.registry import SCRIP
from domain.storage.commands import DeleteContent
from infra.log.mapper import LedgerMapper
from infra.partitions import PLATFORM
from projections import READ_MODELS
from projections.balances import BALANCES, Balance
from projections.budgets import BUDGETS, COSTS
from projections.catalogue import PURCHASES
from projections.contents import CONTENTS, STORAGES
from projections.facts import CannotApply, fact_of
from projections.fold import fold, fold_later
from projections.generations import GENERATIONS, REFUSALS
from projections.grants import GRANTS
from projections.groups import GROUP_USAGE, GROUPS, MEMBERS
from projections.organisations import ORGANISATIONS
from projections.read_model import State
from projections.transactions import TRANSACTIONS
from projections.usage import CHARGED, RECORDED, TOKEN_USAGE, USAGE
from projections.use_holds import USE_HOLDS
from tests.projections.busy_shop import busy_shop
from tests.projections.folding import folded
from tests.projections.log_builder import LogBuilder

SEEDS = range(3)
OPEN = {"held", "running"}
STATUSES = {"completed", "failed", "cancelled", "expired", "settled_late", "refused"} | OPEN


@cache
def _log(seed: int) -> LogBuilder:
    return busy_shop(LogBuilder(), 1500, seed)


@pytest.fixture(params=SEEDS, scope="module")
def both(request: pytest.FixtureRequest) -> tuple[LogBuilder, State]:
    """A log of all systems, and what it folds to."""
    log = _log(request.param)
    return log, folded(log.events)


def states(log: LogBuilder, kind: str) -> list[tuple[str, str, Any]]:
    """Organisation, id and state of every stream of a kind."""
    found = [(org, stream) for org, stream in log.streams() if stream.partition("/")[0] == kind and org != PLATFORM]
    return [(org, stream.partition("/")[2], log.stream_state(org, stream)) for org, stream in found]


def test_the_logs_of_this_test_are_not_tame() -> None:
    """Every outcome and every kind of event of the new systems occurs, and many refusals."""
    logs = [_log(seed) for seed in SEEDS]
    models = [folded(log.events) for log in logs]
    assert {row.status for each in models for row in each.rows(GENERATIONS).values()} == STATUSES
    types = Counter(event.type for log in logs for event in log.events)
    rare = "shortfall-recorded shortfall-collected use-given-back generation-part-completed use-extended plan-ended"
    assert all(types[f"{name}.v1"] for name in rare.split()), types


def test_generations(both: tuple[LogBuilder, State]) -> None:
    log, models = both
    for org, id_, state in states(log, "generation"):
        row = models.rows(GENERATIONS)[org, id_]
        assert (row.status, row.succeeded) == (state.status, state.succeeded)
        charged = {name: getattr(row, f"charged_{name}") for name in ("credits", "tokens", "plan_tokens")}
        returned = {name: getattr(row, f"refunded_{name}") for name in ("credits", "tokens", "plan_tokens", "usd")}
        assert charged == _amounts(state.charges, "credits", "tokens", "plan_tokens")
        assert returned == _amounts(state.refunded, "credits", "tokens", "plan_tokens", "usd")
        assert [each["stream"] for each in row.holds] == [held.stream for held in state.holds]
        assert (row.contents, row.content_bytes) == (len(state.contents), sum(each.bytes for each in state.contents))


def _amounts(charges: Any, *names: str) -> dict[str, int]:
    resources = {"plan_tokens": "plan", "usd": "budget"}
    return {
        name: sum(sum(each.amounts.values()) for each in charges if each.resource == resources.get(name, name))
        for name in names
    }


def test_storages_groups_and_budgets(both: tuple[LogBuilder, State]) -> None:
    """S0-5, S1-4, S2-1: used, held and limits are those that decisions see."""
    log, models = both
    for org, user, storage in states(log, "storage"):
        row = models.rows(STORAGES)[org, user]
        used, held = storage.quota.used.get("bytes", 0), storage.quota.held.get("bytes", 0)
        assert (row.used, row.held, row.storage_limit) == (used, held, storage.limit)
        live = [each for each in models.rows(CONTENTS).values() if (each.org, each.user_id) == (org, user)]
        assert sum(each.bytes for each in live if each.deleted_at is None) == used
    for org, id_, group in states(log, "group"):
        shown = models.rows(GROUPS)[org, id_]
        assert (shown.used, shown.held, shown.limits) == (group.quota.used, group.quota.held, group.limits)
        assert (shown.period_key, shown.every, shown.deleted_at is not None) == (
            group.quota.key, group.every, group.deleted,
        )  # fmt: skip
        assert shown.member_count == len(group.members)
    for org, user, budget in states(log, "budget"):
        money = models.rows(BUDGETS)[org, user]
        assert (money.used, money.held) == (budget.quota.used.get("usd", 0), budget.quota.held.get("usd", 0))
        assert (money.monthly, money.ceiling, money.period_key) == (budget.monthly, budget.ceiling, budget.quota.key)


def test_holds_and_members(both: tuple[LogBuilder, State]) -> None:
    log, models = both
    held = {
        (org, f"{kind}/{id_}", generation): hold.amounts
        for kind in ("storage", "group", "budget")
        for org, id_, state in states(log, kind)
        for generation, hold in state.quota.holds.items()
    }
    assert {key: row.amounts for key, row in models.rows(USE_HOLDS).items()} == held
    members = {(org, group, user) for org, group, state in states(log, "group") for user in state.members}
    assert set(models.rows(MEMBERS)) == members


def test_the_history_of_a_group_adds_up(both: tuple[LogBuilder, State]) -> None:
    """S1-4: what a group used in its current period is the sum of its days."""
    _, models = both
    for row in models.rows(GROUPS).values():
        days = [each for each in models.sums(GROUP_USAGE).values() if (each.org, each.group_id) == (row.org, row.id)]
        for what, used in row.used.items():
            assert sum(each.amount for each in days if (each.period, each.what) == (row.period_key, what)) == used


def test_organisations_allowances_and_purchases(both: tuple[LogBuilder, State]) -> None:
    """S3-2, S3-4: settings, plan and what it grants in the cycle."""
    log, models = both
    assert set(models.rows(ORGANISATIONS)) == {(org,) for org, _ in log.streams() if org != PLATFORM}
    for org, _, state in states(log, "organisation"):
        row = models.rows(ORGANISATIONS)[org,]
        for name in ("time_zone", "plan", "plan_version", "tokens", "credits", "storage_limit", "anchor", "paid_until"):
            assert getattr(row, name) == getattr(state, name)
        assert (row.enforce, row.pay_from, row.over_actual) == ([*state.enforce], [*state.pay_from], state.over_actual)
    for org, address in log.accounts():
        account, balance = log.state(org, address), models.rows(BALANCES)[org, address]
        assert (balance.available, balance.shortfall) == (account.available, account.shortfall)
        if account.allowance is not None:
            seen = (balance.allowance, balance.allowance_granted, balance.allowance_cycle, balance.refresh_at)
            kept = account.allowance
            assert seen == (kept.amount, kept.granted, kept.cycle, kept.refresh_at)
    for org, id_, purchase in states(log, "purchase"):
        bought = models.rows(PURCHASES)[org, id_]
        assert (bought.status, bought.payment_ref) == (purchase.status, purchase.payment_ref)


def test_use_adds_up_to_the_ledger(both: tuple[LogBuilder, State]) -> None:
    """S4-5: each attempt counts once, under its last outcome; every debit counts, and refunds are taken off."""
    _, models = both
    rows, days = models.rows(GENERATIONS).values(), models.sums(USAGE).values()
    again = len(models.log(REFUSALS)) - sum(row.status == "refused" for row in rows)  # refused, and asked for again
    over = [row for row in rows if row.status not in OPEN]
    ended = Counter(row.status for row in over) + Counter({"refused": again})
    made = [day for day in days if day.operation != RECORDED]
    assert Counter({day.outcome: 0 for day in made if day.outcome != CHARGED}) | _by(made, "generations") == ended
    for unit in ("credits", "tokens", "plan_tokens", "other"):
        accounts = [each for each in models.rows(BALANCES).values() if _column(each) == unit]
        assert sum(getattr(day, unit) for day in days) == sum(each.debited - each.refunded for each in accounts)
    assert sum(day.usd for day in days) == sum(cost.usd for cost in models.log(COSTS) if cost.success)
    assert sum(day.usd for day in made) == sum(row.charged_usd - row.refunded_usd for row in rows)
    own = [cost.usd for cost in models.log(COSTS) if cost.kind != "recorded"]
    assert sum(own) == sum(row.charged_usd - row.refunded_usd for row in over)


def _column(balance: Balance) -> str:
    if balance.unit in ("credits", "tokens"):
        return balance.unit
    return "plan_tokens" if balance.address.startswith("org:") and balance.unit.startswith("tokens.") else "other"


def _by(days: Any, name: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for day in days:
        total[day.outcome] += getattr(day, name)
    return +total


def test_the_usage_log_of_plan_tokens(both: tuple[LogBuilder, State]) -> None:
    """S3-5: every token that was used or came back is a row, with the user and what was left."""
    _, models = both
    for balance in models.rows(BALANCES).values():
        if balance.unit.startswith("tokens."):
            rows = [row for row in models.log(TOKEN_USAGE) if (row.org, row.address) == (balance.org, balance.address)]
            assert sum(row.tokens for row in rows) == balance.debited - balance.refunded
            assert [row.total for row in rows] == list(accumulate(row.tokens for row in rows))
            assert all(row.user_id for row in rows if row.tokens > 0 and not row.debit_id.startswith("shortfall."))


def generated(**given: Any) -> LogBuilder:
    """One user with credits, in a group, and a generation `g` of two leads on the way."""
    log = LogBuilder()
    log.do(Grant(address="user:ann:credits", grant_id="c", amount=1000, source="gift"))
    log.do(ChoosePlan(plan="pro"))
    log.do(CreateGroup(group_id="team", name="Team", limits={"image": 5}))
    log.do(AddMembers(group_id="team", users=("ann",)))
    request = Request(user="ann", operation="image", feature="generate_leads", options={"count": 2, "size": "large"})
    log.do(CreateGeneration(generation_id="g", request=request, **given))
    assert log.refused == 1, "an estimate in tokens needs tokens"
    log.do(Grant(address="user:ann:tokens", grant_id="t", amount=1000, source="gift"))
    log.do(CreateGeneration(generation_id="g", request=request, sealed="prompt", own_id=True, **given))
    assert log.refused == 1
    return log


def test_a_generation_that_was_refused_first() -> None:
    """S0-10: a refusal is counted by operation and reason, and stays when the id is used again."""
    models = folded(generated().events)
    (refusal,) = models.log(REFUSALS)
    assert (refusal.operation, refusal.reason, refusal.deficit) == ("image", "insufficient_tokens", 200)
    assert [check["resource"] for check in refusal.checks if not check["ok"]] == ["tokens"]
    row = models.rows(GENERATIONS)["acme", "g"]
    assert (row.status, row.reason, row.sealed, row.version) == ("held", None, "prompt", 2)
    assert models.rows(USE_HOLDS)["acme", "group/team", "g"].amounts == {"image": 2, "tokens.lead_generation": 10}


def test_the_whole_life_of_a_generation() -> None:
    log = generated()
    contents = (Content("c1", 100), Content("c2", 50))
    log.do(ConfirmGeneration(generation_id="g", reported=Reported(contents=contents, succeeded=1), sealed="done"))
    log.do(RefundGeneration(generation_id="g", refund_id="f", contents=("c2",)))
    models = folded(log.events)
    row = models.rows(GENERATIONS)["acme", "g"]
    assert (row.status, row.charged_tokens, row.charged_plan_tokens) == ("completed", 100, 5)
    assert (row.refunded_tokens, row.refunded_plan_tokens, row.sealed_end) == (50, 2, "done")
    assert models.rows(STORAGES)["acme", "ann"].used == 150
    first, second = (each for each in models.log(TOKEN_USAGE))
    assert (first.user_id, first.feature, first.tokens, first.generation_id) == ("ann", "generate_leads", 5, "g")
    assert (second.tokens, second.remaining) == (-2, first.remaining + 2)
    moved = {(each.type, each.generation_id) for each in models.log(TRANSACTIONS) if each.address == "user:ann:tokens"}
    assert moved == {("granted", None), ("reserved", "g"), ("returned", "g"), ("captured", "g"), ("refunded", "g")}
    assert {(day.outcome, day.size, day.generations, day.tokens) for day in models.sums(USAGE).values()} == {
        ("refused", "large", 1, 0), ("completed", "large", 1, 50),
    }  # fmt: skip


def test_a_generation_that_expires_and_is_completed_late() -> None:
    log = generated()
    log.now += timedelta(hours=1)
    log.do(LetTimePass(stream="generation/g"))
    early = folded(log.events)
    assert {(day.outcome, day.generations) for day in early.sums(USAGE).values()} >= {("expired", 1)}
    log.do(ConfirmGeneration(generation_id="g"))
    late = folded(log.events)
    assert late.rows(GENERATIONS)["acme", "g"].status == "settled_late"
    counted = {(day.outcome, day.generations, day.tokens) for day in late.sums(USAGE).values()}
    assert counted == {("refused", 1, 0), ("expired", 0, 0), ("settled_late", 1, 200)}
    assert not late.rows(USE_HOLDS)


def test_deductions_are_logged_with_their_user() -> None:
    """S3-5: the usage log has user, type, feature, tokens and what remains."""
    log = LogBuilder()
    log.do(ChoosePlan(plan="pro"))
    log.do(DeductTokens(feature="generate_goal", user="ann", debit_id="d", sealed="meta"))
    (row,) = folded(log.events).log(TOKEN_USAGE)
    assert (row.token_type, row.user_id, row.feature, row.tokens, row.remaining, row.sealed) == (
        "goal_generation", "ann", "generate_goal", 3, 17, "meta",
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["generation", "storage", "group", "budget", "organisation"])
def test_a_missing_event_is_found_by_the_version(kind: str) -> None:
    events = _log(0).events
    counts = Counter((event.org, event.stream) for event in events)
    place = next(key for key, count in counts.items() if count > 2 and key[1].partition("/")[0] == kind)
    own = [event for event in events if (event.org, event.stream) == place]
    with pytest.raises(CannotApply, match="is at version 1, the event is version 3|is unknown"):
        fold(State(READ_MODELS), [fact_of(event, LedgerMapper.of(SCRIP).decode) for event in (own[0], own[2])])


def test_an_event_on_a_stream_of_another_kind_stops_the_partition() -> None:
    event = generated().events[0]
    assert event.type == "credits-granted.v1"
    for stream in ("generation/g", "storage/ann", "group/g", "budget/ann", "organisation", "purchase/p"):
        with pytest.raises(CannotApply):
            folded([event._replace(stream=stream)])


def test_what_misses_its_row_is_left_for_later_as_a_whole() -> None:
    """A rebuild has written such rows: each read model says so before it changes anything, and the others go on."""
    log = generated()
    contents = (Content("c1", 100), Content("c2", 50))
    log.do(ConfirmGeneration(generation_id="g", reported=Reported(contents=contents, succeeded=1)))
    whole = len(log.events)
    log.do(RefundGeneration(generation_id="g", refund_id="f", contents=("c2",)))
    log.do(DeleteContent(user="ann", content_id="c1"))
    facts = [fact_of(event, LedgerMapper.of(SCRIP).decode) for event in log.events]
    state = State(READ_MODELS, rebuilding=True)
    fold(state, facts[:whole])
    written = {model: rows.written(state) for model, rows in state.all_rows.items()}
    gone = {model.name for model, rows in written.items() if rows}
    assert gone == {"generations", "reservations", "debits", "contents"}
    used = {**state.sums(USAGE)}
    fold(state, facts[whole:])
    late = {(model.name, type(fact.event).__name__) for model, fact in state.later}
    assert late == {
        ("generations", "GenerationRefunded"), ("usage", "GenerationRefunded"), ("costs", "GenerationRefunded"),
        ("debits", "CreditsRefunded"), ("usage", "CreditsRefunded"), ("contents", "ContentDeleted"),
    }  # fmt: skip
    ended = [model for model in READ_MODELS if model.name in gone - {"reservations"}]
    assert not any(state.rows(model) for model in ended)
    assert state.sums(USAGE) == used
    assert state.rows(STORAGES)["acme", "ann"].used == 50

    later = State(READ_MODELS)
    for model, rows in written.items():
        for row in rows:
            later.rows(model)[model.table.key_of(row)] = row
    later.rows(BALANCES).update(state.rows(BALANCES))
    later.rows(GRANTS).update(state.rows(GRANTS))
    fold_later(later, state.later)
    expected = folded(log.events)
    assert [later.rows(model) for model in ended] == [expected.rows(model) for model in ended]
    for use in later.sums(USAGE).values():
        state.sums(USAGE).add(use)
    assert state.sums(USAGE) == expected.sums(USAGE)
