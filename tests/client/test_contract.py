"""What the client promises, on the real service and on its fake alike, blocking and async alike."""

import secrets
from decimal import Decimal
from typing import Any

import pytest
from scrip_client import (
    Conflict,
    Forbidden,
    InputBlocked,
    InsufficientResources,
    InvalidValue,
    NotFound,
    OutputBlocked,
    Unauthenticated,
)

from tests.client.places import Opened, Place

MB = 1_048_576
FILM = {
    "operation": "video",
    "model": "MiniMax-Hailuo-02",
    "options": {"resolution": "1080P", "duration": 6},
}  # 1100 credits
PICTURE = {"operation": "image", "model": "FLUX.1 [dev]"}  # 90 credits
CHAT = {"operation": "chat", "model": "chatty"}  # 100 credits held, settled by usage


def credits_of(scrip: Any, user: str) -> tuple[int, int, int]:
    """What is available, held and charged after refunds."""
    found = scrip.balance(f"user:{user}:credits")
    return found.available, found.reserved, found.debited - found.refunded


def test_held_while_it_runs_and_charged_when_it_has(place: Place, scrip: Any, user: str) -> None:
    place.give(user, credits=1_500)
    with scrip.generation(user=user, **FILM) as g:
        assert g.quote.credits == 1_100
        assert {held.resource for held in g.holds} == {"credits", "storage"}
        assert credits_of(scrip, user) == (400, 1_100, 0)
        g.confirm(content_bytes=7 * MB, provider_cost=Decimal("0.28"), generation_time_ms=41_000)
    assert g.settled
    assert (g.receipt.status, g.receipt.charged.credits, g.receipt.returned.get("credits")) == (
        "completed",
        1_100,
        None,
    )
    assert credits_of(scrip, user) == (400, 0, 1_100)
    place.project()
    seen = scrip.generation_of(g.id)
    assert (seen.status, seen.charged.credits, [each.bytes for each in seen.stored]) == ("completed", 1_100, [7 * MB])


def test_left_without_a_word_the_whole_hold_is_charged(place: Place, scrip: Any, user: str) -> None:
    """The model has run."""
    place.give(user, credits=100)
    with scrip.generation(user=user, **PICTURE) as g:
        pass
    assert g.receipt.charged.credits == 90
    assert credits_of(scrip, user) == (10, 0, 90)


def test_what_is_short_is_one_typed_error(place: Place, scrip: Any, user: str) -> None:
    place.give(user, credits=500)
    with pytest.raises(InsufficientResources) as refused, scrip.generation(user=user, **FILM):
        pytest.fail("nothing may run")
    error = refused.value
    assert (error.reason, error.code, error.status) == ("insufficient_credits", "insufficient_credits", 402)
    assert error.detail == ("Insufficient credits. You need 1100 credits but only have 500. You're 600 credits short.")
    (short,) = error.short
    assert (short.resource, short.needed, short.available, short.deficit) == ("credits", 1_100, 500, 600)
    assert [check.resource for check in error.checks] == ["storage", "credits"]
    assert ("MiniMax-Hailuo-02", 420) in [(each.model, each.credits) for each in error.alternatives]
    assert [action.href for action in error.actions] == ["/settings/tokens", "/settings/subscription"]
    assert error.quote is not None
    assert error.quote.credits == 1_100
    assert credits_of(scrip, user) == (500, 0, 0)


def test_both_short_names_both_the_reason_first(place: Place, scrip: Any, user: str) -> None:
    place.limit_storage(user, 5 * MB)
    with pytest.raises(InsufficientResources) as refused:
        scrip.create(user=user, **FILM)
    assert [check.reason for check in refused.value.short] == ["insufficient_storage", "insufficient_credits"]
    told = scrip.check(user=user, **FILM)
    assert (told.can_proceed, told.reason, told.storage_needed) == (False, "insufficient_storage", 5 * MB)


class Broken(Exception):
    """The provider's."""


def fails(_after: Any, error: BaseException | None = None) -> None:
    """The model's run, ending badly."""
    raise error or Broken


def fails_late(place: Place) -> None:
    """The same, after the hold's end."""
    place.advance(61)
    raise Broken


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Broken("no answer"), "provider_error"),
        (TimeoutError(), "timed_out"),
        (InputBlocked("the prompt"), "input_blocked"),
        (OutputBlocked(), "output_blocked"),
        (KeyboardInterrupt(), "cancelled"),
    ],
)
def test_an_exception_gives_everything_back_and_goes_on(
    place: Place, scrip: Any, user: str, error: BaseException, outcome: str
) -> None:
    place.give(user, credits=100)
    with pytest.raises(type(error)) as raised, scrip.generation(user=user, **PICTURE) as g:
        fails(g.confirm(content_bytes=5), error)  # said too early
    assert raised.value is error
    assert (g.receipt.status, g.receipt.outcome, g.receipt.returned["credits"]) == ("failed", outcome, 90)
    assert credits_of(scrip, user) == (100, 0, 0)


def test_a_failure_may_be_said_without_an_exception(place: Place, scrip: Any, user: str) -> None:
    place.give(user, credits=100)
    with scrip.generation(user=user, **PICTURE) as g:
        g.fail("output_blocked", "withheld\x00 by the provider", provider_cost="0.01")
    assert (g.receipt.status, g.receipt.outcome) == ("failed", "output_blocked")
    assert credits_of(scrip, user) == (100, 0, 0)


def test_parts_are_charged_at_once(place: Place, scrip: Any, user: str) -> None:
    place.give(user, credits=400)
    with scrip.generation(user=user, **PICTURE, options={"count": 4}) as g:
        part = g.part(succeeded=1, content_bytes=MB)
        assert (part.status, part.charged.credits) == ("running", 90)
        assert credits_of(scrip, user) == (40, 270, 90)
        g.confirm(succeeded=2, contents=[{"bytes": MB}, {"bytes": MB, "url": "https://cdn.example/2"}])
    assert (g.receipt.charged.credits, g.receipt.returned["credits"]) == (180, 90)
    assert len(g.receipt.contents) == 2
    assert credits_of(scrip, user) == (130, 0, 270)


def test_an_exception_after_a_part_returns_the_rest(place: Place, scrip: Any, user: str) -> None:
    place.give(user, credits=180)
    with pytest.raises(Broken), scrip.generation(user=user, **PICTURE, options={"count": 2}) as g:
        fails(g.part(succeeded=1))
    assert credits_of(scrip, user) == (90, 0, 90)


def test_settled_by_measured_use_and_by_what_it_really_cost(place: Place, scrip: Any, user: str) -> None:
    place.give(user, credits=200)
    with scrip.generation(user=user, **CHAT) as g:
        g.confirm(usage={"input_tokens": 1_000, "output_tokens": 500})
    assert (g.receipt.charged.credits, g.receipt.returned["credits"]) == (50, 50)
    with scrip.generation(user=user, **CHAT) as g:
        g.confirm(actual={"credits": 130})
    assert (g.receipt.charged.credits, g.receipt.uncharged) == (100, {"credits": 30})


def test_a_price_by_use_alone_is_held_by_expected_use(place: Place, scrip: Any, user: str) -> None:
    """A hold of nothing would have been free: the rest of the estimate comes back with the outcome."""
    asked = {"operation": "chat", "model": "by-use"}
    with pytest.raises(InsufficientResources):
        scrip.create(user=user, **asked)
    place.give(user, credits=100)
    assert scrip.quote(**asked).credits == 30
    assert scrip.check(user=user, **asked, estimate={"out": 1_000}).quote.credits == 60
    with scrip.generation(user=user, **asked, estimate={"in": 2_000}) as g:
        assert credits_of(scrip, user) == (60, 40, 0)
        g.confirm(usage={"in": 700, "out": 100})
    assert (g.receipt.charged.credits, g.receipt.returned["credits"]) == (12, 28)
    for wrong in ({"seconds": 1}, {"in": 0, "out": 0}):
        with pytest.raises(InvalidValue) as refused:
            scrip.quote(**asked, estimate=wrong)
        assert refused.value.code == "unpriced"


def test_a_late_completion_has_its_own_lane(place: Place, scrip: Any, user: str) -> None:
    place.give(user, credits=100)
    with scrip.generation(user=user, **PICTURE, ttl_seconds=60) as g:
        place.advance(61)
        assert credits_of(scrip, user) == (100, 0, 0)
        g.confirm(content_bytes=1)
    assert (g.receipt.status, g.receipt.charged.credits) == ("settled_late", 90)


def test_a_failure_after_expiry_has_nothing_left_to_return(place: Place, scrip: Any, user: str) -> None:
    place.give(user, credits=100)
    with pytest.raises(Broken), scrip.generation(user=user, **PICTURE, ttl_seconds=60) as g:
        fails_late(place)
    assert g.receipt is None
    assert credits_of(scrip, user) == (100, 0, 0)


def test_extended_holds_outlive_their_first_end(place: Place, scrip: Any, user: str) -> None:
    place.give(user, credits=200)
    made = scrip.create(user=user, **PICTURE, ttl_seconds=60)
    longer = scrip.extend(made.generation_id, ttl_seconds=600, grow=10)
    assert longer.expires_at > made.expires_at
    place.advance(61)
    assert credits_of(scrip, user) == (100, 100, 0)
    assert scrip.confirm(made.generation_id).charged.credits == 100


def test_one_worker_takes_what_the_application_created(place: Place, scrip: Any, user: str) -> None:
    place.give(user, credits=200)
    made = scrip.create(user=user, **PICTURE, id=f"job-{user}", prompt="a cat")
    with scrip.work_on(made.generation_id) as g:
        with pytest.raises(Conflict) as taken, scrip.work_on(made.generation_id):
            pytest.fail("two workers")
        assert taken.value.code == "already_started"
        with pytest.raises(Conflict):
            scrip.cancel(made.generation_id)
        g.confirm()
    assert credits_of(scrip, user) == (110, 0, 90)
    called_off = scrip.create(user=user, **PICTURE)
    assert scrip.cancel(called_off.generation_id).returned["credits"] == 90
    with pytest.raises(Conflict) as ended, scrip.work_on(called_off.generation_id):
        pytest.fail("it was called off")
    assert ended.value.facts["outcome"] == "cancelled"


def test_a_key_stands_for_one_request(place: Place, scrip: Any, user: str) -> None:
    place.give(user, credits=300)
    key = secrets.token_hex(8)
    first = scrip.create(user=user, **PICTURE, idempotency_key=key)
    assert scrip.create(user=user, **PICTURE, idempotency_key=key) == first
    assert credits_of(scrip, user) == (210, 90, 0)
    with pytest.raises(InvalidValue) as reused:
        scrip.create(user=user, **PICTURE, options={"count": 2}, idempotency_key=key)
    assert reused.value.code == "idempotency_key_reused"
    refused = secrets.token_hex(8)
    for _ in range(2):  # a refusal is an answer as well
        with pytest.raises(InsufficientResources):
            scrip.create(user=user, **FILM, idempotency_key=refused)
        place.give(user, credits=2_000)


def test_ids_of_ones_own_are_used_once(place: Place, scrip: Any, user: str) -> None:
    place.give(user, credits=300)
    content = {"id": f"c-{user}", "bytes": 10}
    with scrip.generation(user=user, **PICTURE, id=f"job-{user}") as g:
        g.confirm(contents=[content])
    assert (g.id, g.receipt.contents) == (f"job-{user}", (f"c-{user}",))
    with pytest.raises(Conflict) as taken, scrip.generation(user=user, **PICTURE, id=f"job-{user}"):
        pytest.fail("the id is taken")
    assert taken.value.code == "exists"
    with pytest.raises(Conflict), scrip.generation(user=user, **PICTURE) as other:
        other.confirm(contents=[content])


def test_every_kind_of_refusal_has_its_type(place: Place, scrip: Any, form: str, user: str) -> None:
    with pytest.raises(NotFound):
        scrip.start("no-such-generation")
    with pytest.raises(InvalidValue) as unpriced:
        scrip.create(
            user=user, operation="video", model="MiniMax-Hailuo-02", options={"resolution": "1080P", "duration": 10}
        )
    assert unpriced.value.code == "unpriced"
    with pytest.raises(InvalidValue) as ttl:
        scrip.create(user=user, **PICTURE, ttl_seconds=604_801)
    assert (ttl.value.field, ttl.value.limit) == ("ttl_seconds", 604_800)
    with Opened(form, **{**place.arguments(), "token": "nobody"}) as stranger, pytest.raises(Unauthenticated):
        stranger.balance(f"user:{user}:credits")
    place.give(user, credits=100)
    with Opened(form, **place.arguments("user", user)) as own:
        made = own.create(user=None, **PICTURE)
        with pytest.raises(Forbidden):
            own.confirm(made.generation_id)
        with pytest.raises(Forbidden):
            own.balance(f"user:{user}x:credits")


def test_prices_are_told_without_charging(scrip: Any, user: str) -> None:
    priced = scrip.quote(**FILM)
    assert (priced.credits, priced.item) == (1_100, "MiniMax-Hailuo-02 1080P 6s")
    told = scrip.check(user=user, **PICTURE)
    assert (told.can_proceed, told.quote.credits, told.quote.bytes) == (False, 90, 5 * MB)
    assert scrip.balance(f"user:{user}:credits").exists is False


def test_accounts_without_generations(admin: Any, user: str) -> None:
    account = f"user:{user}:credits"
    granted = admin.grant(account, 1_000, source="purchase", reason="pack")
    held = admin.reserve(account, 300, ttl_seconds=60)
    assert admin.extend_reservation(account, held.reservation_id, ttl_seconds=3_600, grow=100).grown == 100
    assert admin.capture(account, held.reservation_id, amount=50, final=False).returned == 0
    with pytest.raises(InvalidValue) as more:
        admin.capture(account, held.reservation_id, amount=351)
    assert more.value.code == "exceeds_hold"
    rest = admin.capture(account, held.reservation_id, amount=150)
    assert (rest.amount, rest.returned, rest.final) == (150, 200, True)
    with pytest.raises(Conflict):
        admin.release(account, held.reservation_id)
    other = admin.reserve(account, 10, id=f"r-{user}")
    assert admin.release(account, other.reservation_id).returned == 10
    debit = admin.debit(account, 100, reason="by hand")
    assert admin.refund(account, debit.debit_id, amount=30).amount == 30
    assert admin.refund(account, debit.debit_id).amount == 70
    with pytest.raises(InsufficientResources) as short:
        admin.reserve(account, 801)
    (check,) = short.value.short
    assert (check.resource, check.needed, check.available, check.deficit) == ("credits", 801, 800, 1)
    assert admin.void(account, granted.grant_id).voided == 800
    assert credits_of(admin, user) == (0, 0, 200)


def test_a_refund_and_an_explanation(place: Place, scrip: Any, user: str) -> None:
    place.give(user, credits=100)
    with scrip.generation(user=user, **PICTURE) as g:
        g.confirm()
    back = scrip.refund_generation(g.id, reason="it was a dog", amount=40)
    assert back.returned == {"credits": 40}
    assert scrip.refund_generation(g.id, reason="all of it").returned == {"credits": 50}
    with pytest.raises(Conflict):
        scrip.refund_generation(g.id, reason="again")
    told = scrip.explain(g.id)
    assert (told.allowed, told.status, told.user_id, len(told.history) > 2) == (True, "completed", user, True)


def test_lists_go_on_over_their_pages(place: Place, scrip: Any, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scrip_client.calls.PAGE", 2)
    place.give(user, credits=500)
    made = []
    for number in range(5):
        with scrip.generation(user=user, **PICTURE) as g:
            g.confirm(content_bytes=number + 1)
        made.append(g.id)
    place.project()
    assert [one.generation_id for one in scrip.generations(user=user)] == made[::-1]
    assert list(scrip.generations(user=user, status="failed")) == []
    assert sorted(one.bytes for one in scrip.contents(user=user)) == [1, 2, 3, 4, 5]
    assert sum(one.amount for one in scrip.transactions(f"user:{user}:credits") if one.type == "grant") in (0, 500)


def test_a_name_that_no_call_has_is_refused(scrip: Any, user: str) -> None:
    for wrong in ({"user_id": "somebody"}, {"ttl_second": 60}, {"resolution": "1080P"}):
        with pytest.raises(TypeError, match=next(iter(wrong))):
            scrip.create(user=user, **PICTURE, **wrong)
    with pytest.raises(TypeError, match="never a float"):
        scrip.confirm("g", provider_cost=0.1)
