"""What time does to a generation: it expires as a whole, and may be completed late."""

from datetime import timedelta
from typing import Any

import pytest

from domain.credits.events import CreditsDebited, ShortfallRecorded
from domain.generations.commands import ExtendGeneration, FailGeneration
from domain.generations.events import (
    Charge,
    GenerationExpired,
    GenerationSettledLate,
)
from domain.generations.refusals import GenerationEnded
from domain.generations.settlement import Reported
from domain.kernel.domain import LetTimePass
from domain.organisations.events import Outcome
from domain.quotas.events import UseCounted
from domain.storage.events import ContentStored
from tests.domain.credits.facts import FROZEN, part
from tests.domain.credits.test_reserve import reserve
from tests.domain.generations.facts import (
    APRIL_1,
    BUDGET,
    ENDS,
    FORECAST,
    GROUP,
    JOB,
    MB,
    STORAGE,
    TOKENS,
    charge,
    chat,
    confirm,
    content,
    create,
    everything,
    expired,
    running,
    shop,
    use_expired,
)
from tests.domain.scenario import ALICE
from tests.resource_names import Resource

EXPIRED = (JOB, GenerationExpired(generation_id="j1"))
STREAMS = (JOB, f"account/{FORECAST}", GROUP, BUDGET, STORAGE, f"account/{TOKENS}", f"account/{ALICE}")


def late(charges: tuple[Charge, ...], **more: Any) -> GenerationSettledLate:
    """The end of one that a worker completed after it had expired."""
    terms: dict[str, Any] = {"succeeded": 1} | more
    return GenerationSettledLate(generation_id="j1", user="alice", charges=charges, **terms)


# ---- expiry


@pytest.mark.parametrize("first", STREAMS)
def test_all_holds_end_together_whichever_stream_is_looked_at_first(first: str) -> None:
    """S4-1: a hold that is never settled returns; the sweeper, or anybody's decision, writes it once."""
    scenario = running().at(ENDS)
    events = list(scenario.when(LetTimePass(stream=first)).decided.events)
    ended = [
        EXPIRED,
        ("account/" + FORECAST, expired(4)),
        (GROUP, use_expired(image=1, forecast=4)),
        (BUDGET, use_expired(usd=40_000)),
        (STORAGE, use_expired(bytes=5 * MB)),
        ("account/" + TOKENS, expired(7)),
        ("account/" + ALICE, expired(100)),
    ]
    assert sorted(events, key=str) == sorted(ended, key=str)
    assert events[0][0] == first
    for stream in STREAMS:
        scenario.when(LetTimePass(stream=stream)).then_nothing()


def test_a_moment_before_its_end_it_has_not_expired() -> None:
    """S4-1."""
    scenario = running().at(ENDS - timedelta(microseconds=1))
    scenario.when(LetTimePass(stream=JOB)).then_nothing()
    scenario.done(confirm())


def test_two_that_expire_in_one_account_take_all_their_other_holds_with_them() -> None:
    """S4-1."""
    scenario = running().done(create(everything(), "j2", ttl_s=60)).at(ENDS)
    scenario.done(reserve(1, "plain"))
    for stream in (GROUP, BUDGET, STORAGE):
        assert scenario.ledger.state(stream).quota[:3] == ({}, {}, scenario.ledger.state("group/none").quota.holds)
    assert scenario.account().reserved == 1


@pytest.mark.parametrize(
    "command",
    [FailGeneration(generation_id="j1", outcome=Outcome.OTHER), ExtendGeneration(generation_id="j1", ttl_s=900)],
)
def test_nothing_but_a_late_completion_settles_it_now(command: object) -> None:
    """S4-1."""
    scenario = running(request=chat()).at(ENDS)
    refusal = GenerationEnded(generation_id="j1", status="expired")
    scenario.when(command).then_refused(refusal, due=(EXPIRED, (ALICE, expired(50))))
    scenario.when(confirm(unstarted=True)).then_refused(refusal)


# ---- completed late


def test_late_it_is_charged_from_what_is_available() -> None:
    """S0-5, S1-3, S2-3, S4-1: up to the former hold; money and bytes as they are."""
    made = Reported(credits=120, usd=50_000, contents=(content("c1", 2),))
    scenario = running().at(ENDS).done(LetTimePass(stream=JOB))
    scenario.when(confirm(reported=made)).then(
        (
            JOB,
            late(
                (
                    charge(Resource.CREDITS, ALICE, 100, 1),
                    charge(Resource.TOKENS, TOKENS, 7, 2),
                    charge(Resource.PLAN, FORECAST, 4, 3),
                    Charge(Resource.GROUPS, GROUP, {"image": 1, "tokens.forecast": 4}),
                    Charge(Resource.BUDGET, BUDGET, {"usd": 50_000}, period="2026-03"),
                ),
                usd=50_000,
                uncharged={"credits": 20},
                contents=made.contents,
            ),
        ),
        (ALICE, CreditsDebited(debit_id="j1.1", amount=100, slices=(part(100),), user="alice")),
        (TOKENS, CreditsDebited(debit_id="j1.2", amount=7, slices=(part(7),), user="alice")),
        (FORECAST, CreditsDebited(debit_id="j1.3", amount=4, slices=(part(4),), user="alice")),
        (GROUP, UseCounted(amounts={"image": 1, "tokens.forecast": 4}, user="alice", ref="j1")),
        (BUDGET, UseCounted(amounts={"usd": 50_000}, user="alice", ref="j1")),
        (STORAGE, ContentStored(content_id="c1", bytes=2 * MB, generation_id="j1")),
    )
    scenario.when(confirm()).then_refused(GenerationEnded(generation_id="j1", status="settled_late"))


def test_late_what_is_not_there_any_more_is_a_shortfall() -> None:
    """S4-1: spent by others, or frozen; nothing is dropped in silence."""
    scenario = running(shop(credits=60), chat()).at(ENDS).done(reserve(40, "other"))
    scenario.when(confirm()).then(
        (JOB, late((charge(Resource.CREDITS, ALICE, 20, 1),), shortfall={"credits": 30})),
        (ALICE, CreditsDebited(debit_id="j1.1", amount=20, slices=(part(20),), user="alice")),
        (ALICE, ShortfallRecorded(generation_id="j1", amount=30)),
    )
    frozen = running(request=chat()).at(ENDS).given(FROZEN)
    frozen.done(confirm())
    assert (frozen.account().debited, frozen.account().shortfall) == (0, 50)


def test_late_a_group_counts_only_as_far_as_it_has_room() -> None:
    """S1-3: no limit is passed by a completion that comes too late."""
    scenario = running(shop(image=3), everything(options={"count": 2}, token_type=None, tokens=0)).at(ENDS)
    scenario.done(create(everything(options={"count": 2}, token_type=None, tokens=0), "j2"))
    scenario.done(confirm())
    assert scenario.ledger.state(GROUP).quota[:2] == ({"image": 1}, {"image": 2})


def test_late_in_the_next_month_it_counts_in_that() -> None:
    """S2-4: nothing was held any more when the month ended; the new month begins with the record."""
    scenario = running().at(APRIL_1).done(confirm())
    quota = scenario.ledger.state(BUDGET).quota
    assert (quota.key, quota.used) == ("2026-04", {"usd": 40_000})
    assert scenario.ledger.state(JOB).charges[-1].period == "2026-04"


def test_late_after_a_part_only_the_rest_is_charged() -> None:
    """S4-1: nothing is charged twice."""
    scenario = running(shop(), everything(options={"count": 2}))
    scenario.done(confirm(reported=Reported(succeeded=1), final=False)).at(ENDS).done(confirm())
    assert (scenario.account().debited, scenario.account().reserved) == (200, 0)
    assert scenario.ledger.state(GROUP).quota.used == {"image": 2, "tokens.forecast": 8}
    assert scenario.ledger.state(BUDGET).quota.used == {"usd": 80_000}
