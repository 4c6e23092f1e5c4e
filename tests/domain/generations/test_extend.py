"""A generation that takes longer than it was thought to, or costs more."""

from datetime import timedelta

from domain.credits.events import ReservationExtended
from domain.credits.refusals import InsufficientCredits
from domain.generations.commands import ExtendGeneration
from domain.generations.events import (
    GenerationExtended,
)
from domain.generations.refusals import InsufficientTokens, NoSuchGeneration
from domain.generations.settlement import Reported
from domain.kernel.domain import LetTimePass
from domain.quotas.events import UseExtended
from tests.domain.credits.facts import granted, part
from tests.domain.generations.facts import (
    BUDGET,
    ENDS,
    FORECAST,
    GROUP,
    HOLDS,
    JOB,
    SHARED,
    STORAGE,
    TOKENS,
    account_hold,
    chat,
    confirm,
    everything,
    reserved,
    running,
    settings,
    shop,
    without,
)
from tests.domain.scenario import ALICE, after
from tests.resource_names import Resource


def extend(ttl_s: int = 900, grow: int = 0) -> ExtendGeneration:
    """It takes longer."""
    return ExtendGeneration(generation_id="j1", ttl_s=ttl_s, grow=grow)


def test_all_holds_get_the_same_later_end() -> None:
    """S4-1: a long job."""
    ends = after(100 + 900)
    longer = ReservationExtended(reservation_id="j1", expires_at=ends, grown=0, slices=())
    later = UseExtended(generation_id="j1", expires_at=ends)
    scenario = running().at(after(100))
    scenario.when(extend()).then(
        (JOB, GenerationExtended(generation_id="j1", expires_at=ends, holds=HOLDS)),
        (FORECAST, longer),
        (GROUP, later),
        (BUDGET, later),
        (STORAGE, later),
        (TOKENS, longer),
        (ALICE, longer),
    )
    scenario.at(ends - timedelta(microseconds=1)).when(LetTimePass(stream=GROUP)).then_nothing()
    assert scenario.at(ends).when(LetTimePass(stream=GROUP)).decided.due == 7


def test_an_end_never_comes_earlier() -> None:
    """S4-1."""
    scenario = running(request=chat()).done(extend(1))
    assert scenario.ledger.state(JOB).expires_at == scenario.account().holds["j1"].expires_at == ENDS


def test_it_grows_in_what_it_costs_over_all_payers() -> None:
    """S4-1: an account that held nothing so far holds the rest."""
    both = settings(pay_from=("user:{user}", "org:{org}"))
    scenario = running(shop(credits=60).given(granted(99), of=SHARED).given(both, of="organisation"), chat())
    scenario.when(extend(grow=25)).then(
        (
            JOB,
            GenerationExtended(
                generation_id="j1",
                expires_at=ENDS,
                holds=(account_hold(Resource.CREDITS, ALICE, 60), account_hold(Resource.CREDITS, SHARED, 15)),
            ),
        ),
        (ALICE, ReservationExtended(reservation_id="j1", expires_at=ENDS, grown=10, slices=(part(10),))),
        (SHARED, reserved(15, item="gpt")),
    )
    scenario.done(confirm())
    assert (scenario.account().debited, scenario.account(SHARED).debited) == (60, 15)


def test_it_grows_no_further_than_there_is() -> None:
    """S4-3: and then nothing changes."""
    scenario = running(shop(credits=60), chat())
    scenario.when(extend(grow=11)).then_refused(InsufficientCredits(required=11, available=10))
    assert scenario.account().reserved == 50


def test_what_costs_tokens_grows_in_tokens_also_when_all_were_charged() -> None:
    """S4-1."""
    scenario = running(shop(tokens=60), chat(model=None))
    scenario.when(extend(grow=11)).then_refused(short := InsufficientTokens(required=11, available=10))
    assert str(short) == "Insufficient tokens. You need 11 tokens but only have 10. You're 1 tokens short."
    scenario.done(confirm(reported=Reported(tokens=50), final=False), extend(grow=10))
    assert scenario.account(TOKENS).reserved == 10
    assert scenario.ledger.state(JOB).holds == (account_hold(Resource.TOKENS, TOKENS, 10),)


def test_what_is_not_checked_does_not_grow() -> None:
    """S4-1: setting `enforce`."""
    scenario = running(shop().given(without(Resource.CREDITS), of="organisation"), everything())
    scenario.done(extend(grow=10))
    assert scenario.account().reserved == 0


def test_one_that_never_was() -> None:
    """S4-1."""
    shop().when(extend()).then_refused(NoSuchGeneration(generation_id="j1"))
