"""One decision holds everything that a generation needs, or nothing of it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from domain.credits.refusals import AlreadyExists
from domain.generations.create import CreateGeneration
from domain.generations.events import GenerationRefused, Held, Quoted
from domain.generations.refusals import NothingToCheck, ResourcesShort, TokensNeeded, UnknownParent
from domain.generations.request import Request
from domain.groups.events import GroupDeleted, GroupLeft
from domain.periods import Every
from domain.plans.state import UnknownTokenUse
from domain.prices.events import PriceEntry
from domain.prices.refusals import Unpriced, UnpricedScale, UnsizedHold
from domain.quotas.events import PeriodStarted, UseCounted
from domain.refusal import Refusal
from domain.storage.events import ContentStored, StorageLimitSet
from tests.domain.credits.facts import CLOSED, FROZEN, granted, part
from tests.domain.credits.facts import reserved as plainly_reserved
from tests.domain.credits.test_reserve import reserve
from tests.domain.generations.facts import (
    BUDGET,
    CHAT_QUOTE,
    FLUX,
    FORECAST,
    GROUP,
    HOLDS,
    JOB,
    MARCH,
    MB,
    QUOTE,
    SHARED,
    STORAGE,
    TOKENS,
    account_hold,
    chat,
    create,
    everything,
    group,
    held,
    joins,
    reserved,
    running,
    settings,
    shop,
    use_held,
    without,
)
from tests.domain.scenario import ALICE, NOW, Scenario, after, given
from tests.resource_names import Resource

ON_CREDITS = (account_hold(Resource.CREDITS, ALICE, 50),)


def refused(scenario: Scenario, request: Request, id_: str = "j1") -> ResourcesShort:
    """The refusal; nothing but the fact that it was refused is stored."""
    decided = scenario.when(create(request, id_)).decided
    assert isinstance(decided.refusal, ResourcesShort), decided.refusal
    ((stream, event),) = decided.events[decided.due :]
    assert stream == f"generation/{id_}"
    assert isinstance(event, GenerationRefused)
    assert event.reason == decided.refusal.reason == decided.refusal.code
    return decided.refusal


def failed(refusal: ResourcesShort) -> dict[str, tuple[int, int | None, int | None, int]]:
    """Of each check that failed: needed, available, limit, deficit."""
    return {
        check["resource"]: (check["needed"], check["available"], check["limit"], check["deficit"])
        for check in refusal.told["checks"]
        if not check["ok"]
    }


def accepted(scenario: Scenario, request: Request) -> None:
    """It is held."""
    decided = scenario.when(create(request)).decided
    assert decided.refusal is None, decided.refusal


def holds(scenario: Scenario) -> tuple[Held, ...]:
    """What the generation holds."""
    found: tuple[Held, ...] = scenario.ledger.state(JOB).holds
    return found


def test_everything_that_applies_is_held_at_once() -> None:
    """S0-1, S1-3, S2-3, S3-6, S4-1: one decision over all resources; the budget's month begins with the hold."""
    shop().when(create()).then(
        (JOB, held()),
        (BUDGET, MARCH),
        (FORECAST, reserved(4)),
        (GROUP, use_held(image=1, forecast=4)),
        (BUDGET, use_held(usd=40_000)),
        (STORAGE, use_held(bytes=5 * MB)),
        (TOKENS, reserved(7)),
        (ALICE, reserved(100)),
    )


def test_what_does_not_apply_is_not_held() -> None:
    """S0-2: a chat message takes credits alone, and no estimate beside its price."""
    shop().when(create(chat())).then(
        (JOB, held(chat(), CHAT_QUOTE, ON_CREDITS)),
        (ALICE, reserved(50, item="gpt")),
    )


LACKS: dict[str, Callable[[int], Scenario]] = {
    "credits": lambda less: shop(credits=100 - less),
    "tokens": lambda less: shop(tokens=7 - less),
    "plan": lambda less: shop(forecast=4 - less),
    "groups": lambda less: shop(image=1 - less),
    "team quota": lambda less: shop(forecast=40, image=1).given(group(forecast=4 - less), of=GROUP),
    "storage": lambda less: shop().given(StorageLimitSet(limit=5 * MB - less), of=STORAGE),
    "budget": lambda less: shop().given(MARCH, UseCounted(amounts={"usd": 10_000_000 - 40_000 + less}), of=BUDGET),
}


@pytest.mark.parametrize("lack", LACKS)
def test_exactly_enough_passes_and_one_less_does_not(lack: str) -> None:
    """S0-6, S1-3, S2-3, S3-6, S4-3: nothing is held of what there would be enough of."""
    accepted(LACKS[lack](0), everything())
    scenario = LACKS[lack](1)
    refusal = refused(scenario, everything())
    resource = "groups" if lack == "team quota" else lack
    assert {name: row[3] for name, row in failed(refusal).items()} == {resource: 1}
    assert [check["ok"] for check in refusal.told["checks"]].count(False) == 1


def test_the_refusal_names_everything_that_is_short() -> None:
    """S0-3, S4-3: needed, available, limit, deficit and a sentence of each; the reason is the first of the order."""
    scenario = shop(credits=40, tokens=5, forecast=3, image=0)
    scenario.given(MARCH, UseCounted(amounts={"usd": 9_970_000}), of=BUDGET)
    scenario.given(ContentStored(content_id="old", bytes=3 * MB), StorageLimitSet(limit=5 * MB), of=STORAGE)
    refusal = refused(scenario, everything())
    assert failed(refusal) == {
        "plan": (4, 3, 0, 1),
        "groups": (1, 0, 0, 1),
        "budget": (40_000, 30_000, 10_000_000, 10_000),
        "storage": (5 * MB, 2 * MB, 5 * MB, 3 * MB),
        "tokens": (7, 5, None, 2),
        "credits": (100, 40, None, 60),
    }
    told = refusal.told
    assert (told["can_proceed"], told["reason"]) == (False, "group_limit")
    assert (told["tokens_needed"], told["storage_needed"]) == (2, 3 * MB)
    assert (told["current_tokens"], told["current_storage"], told["storage_limit"]) == (5, 3 * MB, 5 * MB)
    assert str(refusal) == (
        "The group g1 has reached its limit: 0 of 0 images are used or held, and this needs 1. "
        "Insufficient tokens. You need 4 forecast tokens but only have 3. You're 1 tokens short. "
        "Monthly budget exceeded. This costs $0.04, but only $0.03 of $10.00 is left this month. "
        "Not enough storage. This needs 5 MB, but only 2 MB of 5 MB is free. You're 3 MB short. "
        "Insufficient tokens. You need 7 tokens but only have 5. You're 2 tokens short. "
        "Insufficient credits. You need 100 credits but only have 40. You're 60 credits short."
    )


def test_a_refusal_is_a_fact_on_the_generations_own_stream_and_holds_nothing() -> None:
    """S0-10: operation, model, reason and what was short are in the log."""
    scenario = shop(credits=99)
    states = dict(scenario.ledger.states)
    decided = scenario.when(create(chat(options={"count": 2}), "j2")).decided
    assert isinstance(decided.refusal, ResourcesShort)
    assert decided.refusal.told["quote"] == {**CHAT_QUOTE._asdict(), "credits": 100}
    ((stream, event),) = decided.events
    assert (stream, event.operation, event.model, event.count) == ("generation/j2", "chat", "gpt", 2)
    assert [(check.resource, check.needed, check.available) for check in event.checks] == [("credits", 100, 99)]
    assert {name: state for name, state in scenario.ledger.states.items() if name != stream} == states


def test_where_the_last_hold_fails_nothing_is_left_of_the_others() -> None:
    """A plain reservation has taken the id, which shows only when the credits are held, after all else."""
    scenario = shop(credits=500).done(reserve(1, "j1"))
    states, tags = dict(scenario.ledger.states), dict(scenario.ledger.memory.tags)
    command = replace(create(), own_id=False)
    scenario.when(command).then_refused(AlreadyExists(field="id", value="j1"))
    assert (scenario.ledger.states, scenario.ledger.memory.tags) == (states, tags)
    scenario.done(replace(command, generation_id="j2"))


def test_reasons_come_in_the_contracts_order() -> None:
    """S0-3: the first of them is the reason, also where another comes first in the checks."""
    scenario = shop(credits=1, tokens=1, forecast=0, image=0)
    scenario.given(MARCH, UseCounted(amounts={"usd": 10_000_000}), of=BUDGET)
    scenario.given(StorageLimitSet(limit=0), of=STORAGE)
    found = []
    for number, (mend, of) in enumerate(
        (
            (granted(4, "more"), FORECAST),
            (group(image=1), GROUP),
            (UseCounted(amounts={"usd": -40_000}), BUDGET),
            (StorageLimitSet(limit=5 * MB), STORAGE),
            (granted(6, "more"), TOKENS),
            (granted(99, "more"), ALICE),
        )
    ):
        found.append(refused(scenario, everything(), f"r{number}").reason)
        scenario.given(mend, of=of)
    assert found == [
        "plan_blocked",
        "group_limit",
        "budget_exceeded",
        "insufficient_storage",
        "insufficient_tokens",
        "insufficient_credits",
    ]
    accepted(scenario, everything())


def test_the_worked_example_of_tokens() -> None:
    """S0-6: a balance of 50, an image needs 100: insufficient tokens, 50 missing."""
    told = refused(Scenario().given(granted(50), of=TOKENS), Request(user="alice", operation="image")).told
    assert (told["reason"], told["tokens_needed"], told["current_tokens"], told["storage_needed"]) == (
        "insufficient_tokens",
        50,
        50,
        0,
    )


def test_the_worked_example_of_storage() -> None:
    """S0-5, S0-6, S0-8: 195 of 200 MB (97.5 %), a video needs 10 MB: 5 MB are missing."""
    scenario = Scenario().given(granted(500), of=TOKENS)
    scenario.given(ContentStored(content_id="c", bytes=195 * MB), StorageLimitSet(limit=200 * MB), of=STORAGE)
    told = refused(scenario, Request(user="alice", operation="video")).told
    assert (told["reason"], told["storage_needed"], told["tokens_needed"]) == ("insufficient_storage", 5 * MB, 0)
    assert (told["storage_percent"], told["storage_formatted"]) == (97.5, "195 MB of 200 MB (97.5 %)")
    storage = next(check for check in told["checks"] if check["resource"] == "storage")
    assert storage["formatted"] == {"needed": "10 MB", "available": "5 MB", "limit": "200 MB", "deficit": "5 MB"}


def test_the_worked_example_where_both_suffice_and_the_edges() -> None:
    """S0-6: both enough proceeds; 0 tokens, and storage that is exactly full, do not."""
    image = Request(user="alice", operation="image")
    accepted(Scenario().given(granted(100), of=TOKENS), image)
    assert refused(Scenario(), image).told["tokens_needed"] == 100
    full = Scenario().given(granted(100), of=TOKENS)
    full.given(ContentStored(content_id="c", bytes=200 * MB), StorageLimitSet(limit=200 * MB), of=STORAGE)
    assert refused(full, image).told["storage_needed"] == 5 * MB


@pytest.mark.parametrize(
    ("operation", "options", "tokens"),
    [
        ("image", {}, 100),
        ("image", {"complexity": "simple"}, 100),
        ("image", {"complexity": "complex"}, 200),
        ("image", {"complexity": "complex", "count": 3}, 600),
        ("video", {}, 500),
        ("video", {"duration": 6}, 500),
        ("video", {"duration": 7}, 1000),
        ("chat", {}, 50),
    ],
)
def test_default_estimates_where_nothing_is_priced(operation: str, options: dict[str, str | int], tokens: int) -> None:
    """S0-4."""
    scenario = Scenario().given(granted(10_000), of=TOKENS)
    scenario.when(create(Request(user="alice", operation=operation, options=options)))
    assert next(held.amounts for held in holds(scenario) if held.resource == Resource.TOKENS) == {"tokens": tokens}


@pytest.mark.parametrize(
    ("operation", "declared", "needed"),
    [
        ("image", None, 5), ("image", 3, 5), ("image", 6, 6), ("studio", None, 5), ("marketing", 1, 5),
        ("video", None, 10), ("video", 12, 12), ("upload", 7, 7), ("chat", 2, 2),
    ],
)  # fmt: skip
def test_the_space_that_each_operation_needs(operation: str, declared: int | None, needed: int) -> None:
    """S0-1, S0-2, S0-9: image-like 5 MB, video 10 MB, others as given; what is declared only raises it."""
    scenario = Scenario().given(granted(10_000), of=TOKENS)
    size = declared * MB if declared else None
    scenario.when(create(Request(user="alice", operation=operation, bytes=size, tokens=1)))
    assert Held(Resource.STORAGE, STORAGE, {"bytes": needed * MB}) in holds(scenario)


def test_nobody_can_lower_an_estimate() -> None:
    """S0-1, S4-1: what the caller declares below the price, or the estimate, changes nothing."""
    scenario = shop().done(create(everything(tokens=0, bytes=0)))
    assert [held.amounts for held in holds(scenario)][-2:] == [{"bytes": 5 * MB}, {"credits": 100}]
    cheap = Scenario().given(granted(100), of=TOKENS).done(create(Request(user="alice", operation="image", tokens=1)))
    assert cheap.account(TOKENS).reserved == 100


def test_count_multiplies_price_space_plan_tokens_and_places() -> None:
    """S4-1: three images in one generation."""
    scenario = shop().done(create(everything(options={"count": 3})))
    assert [next(iter(held.amounts.values())) for held in holds(scenario)] == [12, 3, 120_000, 15 * MB, 7, 300]
    assert scenario.ledger.state(JOB).asked.count == 3


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        (Request(user="alice", operation="image", model="none"), Unpriced(asked="none", priced=("flux", "gpt"))),
        (
            chat(options={"count": 0}),
            UnpricedScale(asked="count 0", priced=("whole numbers from 1 to 1000000",)),
        ),
        (
            Request(user="alice", operation="image", options={"complexity": "odd"}),
            UnpricedScale(asked="complexity odd", priced=("simple", "complex")),
        ),
        (Request(user="alice", operation="playground"), TokensNeeded(operation="playground")),
        (Request(user="alice", operation="playground", tokens=0), NothingToCheck(operation="playground")),
        (
            chat(token_type="odd"),
            UnknownTokenUse(
                "token_type", "odd", ("lead_generation", "goal_generation", "strategy_analysis", "forecast", "general")
            ),
        ),
        (
            chat(feature="odd"),
            UnknownTokenUse(
                "feature",
                "odd",
                ("generate_leads", "generate_goal", "analyse_strategy", "analyze_strategy", "forecast", "general"),
            ),
        ),
    ],
    ids=["model", "count", "complexity", "tokens missing", "tokens 0", "token type", "feature"],
)
def test_what_has_no_price_is_refused_and_not_free(request_: Request, refusal: Refusal) -> None:
    """S4-2: with what is priced; nothing is stored of an invalid question."""
    shop().when(create(request_)).then_refused(refusal)


# ---- own ids and sub-tasks


def test_the_callers_id_is_used_once() -> None:
    """S4-1: by whatever generation or reservation, of whatever outcome."""
    used = AlreadyExists(field="id", value="j1")
    running().when(create(chat())).then_refused(used)
    given(granted(9), plainly_reserved(part(1), reservation="j1")).when(create(chat(model=None))).then_refused(used)


def test_the_id_of_a_refused_generation_may_be_used_again() -> None:
    """S4-1: the same job may be tried once more when there is enough."""
    scenario = shop(credits=49)
    refused(scenario, chat())
    scenario.given(granted(1, "g2"), of=ALICE).when(create(chat())).then(
        (JOB, held(chat(), CHAT_QUOTE, ON_CREDITS)),
        (ALICE, reserved(50, part(49), part(1, "g2"), item="gpt")),
    )


def test_the_id_of_a_refused_generation_that_a_reservation_has_taken_since() -> None:
    """S4-1: one id never stands for two holds."""
    scenario = shop(credits=49)
    refused(scenario, chat())
    scenario.given(granted(100, "g2")).done(reserve(10, "j1", own_id=True))
    scenario.when(create(chat())).then_refused(AlreadyExists(field="id", value="j1"))
    assert scenario.account().reserved == 10


def test_a_sub_task_names_a_generation_of_the_same_user() -> None:
    """S4-1."""
    scenario = running()
    child = scenario.when(create(chat(), "j2", parent_id="j1")).decided
    assert child.refusal is None
    assert scenario.ledger.state("generation/j2").asked.parent_id == "j1"
    unknown = UnknownParent(value="j9")
    scenario.when(create(chat(), "j3", parent_id="j9")).then_refused(unknown)
    foreign = CreateGeneration(generation_id="j3", request=Request(user="bob", operation="chat"), parent_id="j1")
    scenario.when(foreign).then_refused(UnknownParent(value="j1"))


# ---- settings


@pytest.mark.parametrize("off", [each for each in Resource if each is not Resource.RUNNING])  # it is counted always
def test_a_resource_that_is_not_enforced_is_neither_checked_nor_held(off: Resource) -> None:
    """S0-1, S1-3, S2-3, S3-6, S4-1: each by itself; there is nothing of it, and still the rest is held."""
    lacks = {
        Resource.CREDITS: shop(credits=0),
        Resource.TOKENS: shop(tokens=0),
        Resource.PLAN: shop(forecast=0),
        Resource.GROUPS: shop(image=0),
        Resource.BUDGET: shop().given(MARCH, UseCounted(amounts={"usd": 10_000_000}), of=BUDGET),
        Resource.STORAGE: shop().given(StorageLimitSet(limit=0), of=STORAGE),
    }
    refused(lacks[off], everything(), "r1")
    scenario = lacks[off].given(without(off), of="organisation").done(create())
    assert holds(scenario) == tuple(held for held in HOLDS if held.resource is not off)


def test_payers_pay_in_order_and_may_split() -> None:
    """S4-1: first the user, then the organisation."""
    both = settings(pay_from=("user:{user}", "org:{org}"))
    scenario = shop(credits=60).given(granted(500), of=SHARED).given(both, of="organisation")
    scenario.when(create(everything(tokens=0, token_type=None))).then(
        (
            JOB,
            held(
                everything(tokens=0, token_type=None),
                QUOTE._replace(tokens=0, token_type=None, plan_tokens=0),
                (
                    Held(Resource.GROUPS, GROUP, {"image": 1}),
                    *HOLDS[2:4],
                    account_hold(Resource.CREDITS, ALICE, 60),
                    account_hold(Resource.CREDITS, SHARED, 40),
                ),
            ),
        ),
        (BUDGET, MARCH),
        (GROUP, use_held(image=1)),
        (BUDGET, use_held(usd=40_000)),
        (STORAGE, use_held(bytes=5 * MB)),
        (ALICE, reserved(60)),
        (SHARED, reserved(40)),
    )


def test_what_all_payers_have_together_is_available() -> None:
    """S4-3."""
    both = settings(pay_from=("user:{user}", "org:{org}"))
    scenario = shop(credits=20).given(granted(29), of=SHARED).given(both, of="organisation")
    assert failed(refused(scenario, chat())) == {"credits": (50, 49, None, 1)}


@pytest.mark.parametrize("switch", [FROZEN, CLOSED])
def test_a_payer_that_is_frozen_or_closed_pays_nothing(switch: object) -> None:
    """S4-3: the next one pays; without one it is refused."""
    scenario = shop().given(switch).given(granted(500), of=SHARED)
    assert failed(refused(scenario, chat(), "r1")) == {"credits": (50, 0, None, 50)}
    scenario.given(settings(pay_from=("user:{user}", "org:{org}")), of="organisation").done(create(chat()))
    assert holds(scenario) == (account_hold(Resource.CREDITS, SHARED, 50),)


# ---- plan tokens and groups


def test_a_plan_without_the_tokens_blocks_and_one_that_has_used_them_is_short() -> None:
    """S3-2, S3-6: starter has none; a feature stands for its token type."""
    scenario = shop(forecast=0)
    assert refused(scenario, chat(feature="forecast"), "r1").reason == "plan_blocked"
    scenario.given(granted(3), of=FORECAST)
    refusal = refused(scenario, chat(feature="forecast"), "r2")
    assert (refusal.reason, failed(refusal)) == ("insufficient_tokens", {"plan": (4, 3, 0, 1)})
    scenario.given(granted(1, "g2"), of=FORECAST).done(create(chat(feature="forecast")))
    assert holds(scenario)[0] == account_hold(Resource.PLAN, FORECAST, 4)


def test_a_team_quota_is_a_limit_of_its_own() -> None:
    """S3-9: the organisation has 40, the team may use 6."""
    scenario = shop(forecast=40).given(group(forecast=6), of=GROUP).done(create(chat(token_type="forecast")))
    refusal = refused(scenario, chat(token_type="forecast"), "j2")
    assert (refusal.reason, failed(refusal)) == ("group_limit", {"groups": (4, 2, 6, 2)})


def test_every_group_of_the_user_must_have_room() -> None:
    """S1-1, S1-3: in two groups, one of which is full; images and videos have limits of their own."""
    scenario = joins(shop(image=5, video=5), group("g2", image=0, video=1))
    refusal = refused(scenario, everything())
    groups = [(check["subject"], check["ok"]) for check in refusal.told["checks"] if check["resource"] == "groups"]
    assert groups == [("g1", True), ("g1", True), ("g2", False), ("g2", True)]
    scenario.given(granted(500, "t2"), of=TOKENS).done(create(Request(user="alice", operation="video")))
    assert [held.stream for held in holds(scenario) if held.resource == Resource.GROUPS] == [GROUP, "group/g2"]
    assert failed(refused(scenario, Request(user="alice", operation="video"), "j2"))["groups"] == (1, 0, 1, 1)


def test_what_others_hold_in_the_group_counts() -> None:
    """S1-3: members share the limits."""
    scenario = joins(Scenario(), group(image=1), "alice", "bob")
    scenario.given(granted(1000), of=TOKENS).given(granted(1000), of="user:bob:tokens")
    scenario.done(create(Request(user="bob", operation="image")))
    assert failed(refused(scenario, Request(user="alice", operation="image"), "j2")) == {"groups": (1, 0, 1, 1)}


def test_no_limit_is_unlimited_and_no_group_is_no_limit() -> None:
    """S1-3: null is unlimited, also for who is in no group, or in one that was deleted."""
    image = Request(user="alice", operation="image", options={"count": 10})
    accepted(joins(Scenario(), group(video=0)).given(granted(1000), of=TOKENS), image)
    accepted(Scenario().given(granted(1000), of=TOKENS), image)
    scenario = joins(Scenario(), group(image=0)).given(granted(1000), of=TOKENS)
    scenario.given(GroupLeft(group_id="g1"), of="memberships/alice").given(GroupDeleted(group_id="g1"), of=GROUP)
    accepted(scenario, image)


def test_the_period_of_a_group_begins_with_the_first_hold_in_it() -> None:
    """S1-4, S2-4: in the organisation's time zone, decided once; the next day has all of its limit again."""
    scenario = joins(Scenario(), group(every=Every.DAY, image=1)).given(granted(1000), of=TOKENS)
    scenario.given(settings(time_zone="America/New_York"), of="organisation")
    request = Request(user="alice", operation="image")
    tokens, space = account_hold(Resource.TOKENS, TOKENS, 100), Held(Resource.STORAGE, STORAGE, {"bytes": 5 * MB})
    quote = Quoted(tokens=100, bytes=5 * MB)
    start = NOW.replace(hour=5)
    day = PeriodStarted(key="2026-03-01", start=start, end=start.replace(day=2))
    scenario.when(create(request)).then(
        (JOB, held(request, quote, (Held(Resource.GROUPS, GROUP, {"image": 1}), space, tokens))),
        (GROUP, day),
        (GROUP, use_held(image=1)),
        (STORAGE, use_held(bytes=5 * MB)),
        (TOKENS, reserved(100, item=None)),
    )
    assert refused(scenario, request, "j2").reason == "group_limit"
    scenario.at(after(17 * 3600)).done(create(request, "j3"))
    assert scenario.ledger.state(GROUP).quota.key == "2026-03-02"


def test_the_default_storage_limit_is_that_of_the_deployment() -> None:
    """S0-5: 1 GB where neither the user nor the plan has one."""
    accepted(Scenario(), Request(user="alice", operation="upload", bytes=1024 * MB, tokens=0))
    assert failed(refused(Scenario(), Request(user="alice", operation="upload", bytes=1024 * MB + 1))) == {
        "storage": (1024 * MB + 1, 1024 * MB, 1024 * MB, 1)
    }


def test_a_price_by_rates_alone_of_an_older_book_is_refused_rather_than_free() -> None:
    """S4-2: nothing says how much to hold, unless the request does."""
    old = PriceEntry(model="meter", operation="chat", rates={"input": 10})
    scenario = shop().given_prices(FLUX, old)
    asked = Request(user="alice", operation="chat", model="meter")
    scenario.when(create(asked)).then_refused(UnsizedHold(asked="meter", priced=("input",)))
    told = scenario.done(create(replace(asked, estimate={"input": 1500}))).account()
    assert (told.reserved, told.debited) == (15, 0)
