"""A shop in which one generation needs every resource, and short names for what its tests expect."""

from datetime import UTC, datetime
from typing import Any

from domain.credits.events import CreditsReserved, ReservationCaptured, ReservationExpired, ReservationReleased, Slice
from domain.generations.commands import ConfirmGeneration
from domain.generations.create import CreateGeneration
from domain.generations.events import Charge, Content, GenerationHeld, Held, Quoted
from domain.generations.request import Request
from domain.groups.events import GroupCreated, GroupJoined, MembersAdded
from domain.organisations.events import OrganisationConfigured
from domain.organisations.state import Organisation
from domain.periods import Every
from domain.prices.events import PriceEntry
from domain.quotas.events import PeriodStarted, UseExpired, UseHeld, UseReleased, UseSettled
from tests.domain.credits.facts import granted, part
from tests.domain.scenario import ALICE, Scenario, after
from tests.resource_names import Resource

MB = 1_048_576
TTL_S = 900
ENDS = after(TTL_S)

JOB = "generation/j1"
TOKENS = "user:alice:tokens"
FORECAST = "org:acme:tokens.forecast"
SHARED = "org:acme:credits"
STORAGE, BUDGET, GROUP = "storage/alice", "budget/alice", "group/g1"

FLUX = PriceEntry(provider="BFL", model="flux", operation="image", credits=100, usd_micros=40_000)
GPT = PriceEntry(provider="Open", model="gpt", operation="chat", credits=50, rates={"input": 10, "output": 30})

MARCH = PeriodStarted(key="2026-03", start=datetime(2026, 3, 1, tzinfo=UTC), end=datetime(2026, 4, 1, tzinfo=UTC))
APRIL_1 = datetime(2026, 4, 1, tzinfo=UTC)

QUOTE = Quoted(
    credits=100,
    tokens=7,
    usd=40_000,
    bytes=5 * MB,
    token_type="forecast",
    plan_tokens=4,
    item="flux",
    price_version=1,
)
CHAT_QUOTE = Quoted(credits=50, item="gpt", price_version=1)


def everything(**more: Any) -> Request:
    """An image that costs credits, tokens, money, space, plan tokens and a place in the group."""
    terms: dict[str, Any] = {"operation": "image", "model": "flux", "tokens": 7, "token_type": "forecast"} | more
    return Request(user="alice", **terms)


def chat(**more: Any) -> Request:
    """A message that costs 50 credits and nothing else."""
    terms: dict[str, Any] = {"operation": "chat", "model": "gpt"} | more
    return Request(user="alice", **terms)


def create(request: Request | None = None, id_: str = "j1", **more: Any) -> CreateGeneration:
    """Ask for it."""
    return CreateGeneration(generation_id=id_, request=request or everything(), own_id=True, **more)


def confirm(**more: Any) -> ConfirmGeneration:
    """It succeeded."""
    return ConfirmGeneration(generation_id="j1", **more)


def group(name: str = "g1", *, every: Every = Every.TOTAL, **limits: int) -> GroupCreated:
    """A group with its limits; `forecast` is a team quota."""
    named = {"tokens.forecast" if what == "forecast" else what: limit for what, limit in limits.items()}
    return GroupCreated(group_id=name, name=name, description="", limits=named, every=every)


def joins(scenario: Scenario, created: GroupCreated, *users: str) -> Scenario:
    """The group exists and the users, alice unless others are named, are in it."""
    members = users or ("alice",)
    stream = f"group/{created.group_id}"
    scenario.given(created, MembersAdded(group_id=created.group_id, users=members), of=stream)
    for user in members:
        scenario.given(GroupJoined(group_id=created.group_id), of=f"memberships/{user}")
    return scenario


def settings(**changed: Any) -> OrganisationConfigured:
    """The organisation's settings, the defaults but for those named."""
    default = Organisation()
    terms: dict[str, Any] = {
        name: getattr(default, name)
        for name in ("time_zone", "enforce", "pay_from", "over_actual", "settlement_policy", "alert_rules")
    }
    return OrganisationConfigured(**(terms | changed))


def without(*resources: Resource) -> OrganisationConfigured:
    """Settings that have these resources not checked."""
    return settings(enforce=tuple(resource for resource in Resource if resource not in resources))


def shop(*, credits: int = 1000, tokens: int = 70, forecast: int = 40, **limits: int) -> Scenario:  # noqa: A002 - as they are called everywhere
    """Alice can pay for ten of everything, and her group allows ten images unless `limits` say otherwise."""
    scenario = Scenario().given_prices(FLUX, GPT)
    for address, amount in ((ALICE, credits), (TOKENS, tokens), (FORECAST, forecast)):
        if amount:
            scenario.given(granted(amount), of=address)
    allowed = limits or {"image": 10, "forecast": 40}
    return joins(scenario, group("g1", every=Every.TOTAL, **allowed))


def account_hold(resource: Resource, address: str, amount: int) -> Held:
    """What the generation holds on an account."""
    return Held(resource, f"account/{address}", {address.rpartition(":")[2]: amount})


def charge(resource: Resource, address: str, amount: int, number: int) -> Charge:
    """What the generation was charged on an account."""
    return Charge(resource, f"account/{address}", {address.rpartition(":")[2]: amount}, f"j1.{number}")


HOLDS = (
    account_hold(Resource.PLAN, FORECAST, 4),
    Held(Resource.GROUPS, GROUP, {"image": 1, "tokens.forecast": 4}),
    Held(Resource.BUDGET, BUDGET, {"usd": 40_000}),
    Held(Resource.STORAGE, STORAGE, {"bytes": 5 * MB}),
    account_hold(Resource.TOKENS, TOKENS, 7),
    account_hold(Resource.CREDITS, ALICE, 100),
)


def held(request: Request | None = None, quote: Quoted = QUOTE, holds: tuple[Held, ...] = HOLDS, **more: Any) -> Any:
    """The generation's own event."""
    asked = request or everything()
    terms: dict[str, Any] = {"generation_id": "j1", "expires_at": ENDS} | more
    return GenerationHeld(
        user=asked.user,
        operation=asked.operation,
        provider=asked.provider or {"flux": "BFL", "gpt": "Open"}.get(asked.model or ""),  # as the price book spells it
        model=asked.model,
        options=asked.options,
        feature=asked.feature,
        quote=quote,
        holds=holds,
        **terms,
    )


def reserved(amount: int, *slices: Slice, item: str | None = "flux", expires_at: datetime = ENDS) -> CreditsReserved:
    """Its hold on an account, of the grant g1 unless slices are given."""
    return CreditsReserved(
        reservation_id="j1",
        amount=amount,
        expires_at=expires_at,
        slices=slices or (part(amount),),
        item=item,
        price_version=1 if item else None,
        generation=True,
    )


def captured(amount: int, number: int, *, of: int | None = None, final: bool = True) -> ReservationCaptured:
    """The hold `of` so much was charged; the rest went back."""
    rest = (of or amount) - amount
    return ReservationCaptured(
        reservation_id="j1",
        debit_id=f"j1.{number}",
        amount=amount,
        slices=(part(amount),),
        final=final,
        returned=(part(rest),) if rest and final else (),
    )


def released(amount: int) -> ReservationReleased:
    """The whole hold on an account went back."""
    return ReservationReleased(reservation_id="j1", amount=amount, returned=(part(amount),))


def expired(amount: int) -> ReservationExpired:
    """The hold on an account was never settled."""
    return ReservationExpired(reservation_id="j1", amount=amount, returned=(part(amount),), generation=True)


def use_held(expires_at: datetime = ENDS, **amounts: int) -> UseHeld:
    """Its hold in a quota."""
    return UseHeld(generation_id="j1", amounts=_dotted(amounts), expires_at=expires_at)


def use_released(**amounts: int) -> UseReleased:
    """The hold in a quota went back."""
    return UseReleased(generation_id="j1", amounts=_dotted(amounts))


def use_expired(**amounts: int) -> UseExpired:
    """The hold in a quota was never settled."""
    return UseExpired(generation_id="j1", amounts=_dotted(amounts))


def use_settled(
    used: dict[str, int], returned: dict[str, int] | None = None, *, period: str = "", final: bool = True
) -> UseSettled:
    """The hold in a quota came about."""
    return UseSettled(generation_id="j1", used=used, returned=returned or {}, final=final, period=period)


def content(name: str, megabytes: int) -> Content:
    """Something that was made."""
    return Content(name, megabytes * MB)


def running(scenario: Scenario | None = None, request: Request | None = None, **more: Any) -> Scenario:
    """A shop in which the generation holds what it needs."""
    return (scenario or shop()).done(create(request, **more))


def _dotted(amounts: dict[str, int]) -> dict[str, int]:
    return {"tokens.forecast" if what == "forecast" else what: amount for what, amount in amounts.items()}
