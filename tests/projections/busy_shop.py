"""Random lives of all systems together: generations of every kind over few users, groups, budgets and plans."""

import json
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

from domain.budgets.commands import RecordCost, SetBudget
from domain.credits.commands import Grant, WriteOffShortfall
from domain.credits.events import Paid
from domain.generations.commands import (
    CancelGeneration,
    ConfirmGeneration,
    ExtendGeneration,
    FailGeneration,
    StartGeneration,
)
from domain.generations.create import CreateGeneration
from domain.generations.events import Content
from domain.generations.refund import RefundGeneration
from domain.generations.request import Request
from domain.generations.settlement import Reported
from domain.groups.commands import AddMembers, CreateGroup, DeleteGroup, EditGroup, RemoveMembers, TrackGeneration
from domain.kernel.domain import LetTimePass
from domain.organisations.commands import ChoosePlan, ConfigureOrganisation
from domain.organisations.events import Billing, Outcome
from domain.periods import Every
from domain.plans.catalogue import FEATURES, PACKAGES, TOKEN_COSTS
from domain.plans.deduct import DeductTokens
from domain.plans.publish import PublishFeatures, PublishPackages, PublishPlan
from domain.plans.purchases import CompletePurchase, FailPurchase, StartPurchase
from domain.prices.catalogue import CATALOGUE
from domain.prices.events import PriceEntry
from domain.prices.publish import PublishPrices
from domain.storage.commands import DeleteContent, SetStorageLimit
from infra.partitions import PLATFORM
from tests.projections.log_builder import LogBuilder
from tests.resource_names import Resource

MB = 1_048_576
USERS = ("ann", "bob", "cem", "dee")
PAUSES = (*[0] * 24, *[1] * 10, *[60] * 3, 3_600, 86_400)  # seconds


class Shop:
    """One organisation's random commands. The same seed gives the same log."""

    def __init__(self, log: LogBuilder, org: str, seed: int) -> None:
        self.log = log
        self.org = org
        self.random = Random(f"{org} {seed}")
        self.number = 0
        self.generations: list[str] = []
        self.purchases: list[str] = []

    def step(self, *, passes: bool = True) -> None:
        """Do one command, then let a while pass."""
        self.number += 1
        make: Callable[[], Any] = self.random.choices(*zip(*self._choices(), strict=True))[0]
        self.log.do(make(), self.org)
        if passes:
            self.log.now += timedelta(seconds=self.random.choice(PAUSES))

    def _choices(self) -> tuple[tuple[Callable[[], Any], int], ...]:
        """What may be done, and how often."""
        return (
            (self._create, 30), (self._confirm, 24), (self._fail, 5), (self._refund, 5), (self._start, 5),
            (self._cancel, 3), (self._extend, 4), (self._delete_content, 3), (self._group, 6), (self._members, 6),
            (self._money, 6), (self._plan, 5), (self._deduct, 6), (self._purchase, 4), (self._settings, 2),
            (self._grant, 6),
        )  # fmt: skip

    def _user(self) -> str:
        return self.random.choice(USERS)

    def _known(self) -> str:
        return self.random.choice(self.generations[-6:]) if self.generations else "none"

    def _create(self) -> Any:
        id_ = f"{self.org}-{self.number}" if self.random.random() < 0.9 else self._known()
        if id_ not in self.generations:
            self.generations.append(id_)
        user, count = self._user(), self.random.choice((1, 1, 2, 3))
        priced: dict[str, Any] = self.random.choice((
            {"operation": "image", "provider": "BFL", "model": "FLUX.1 [dev]"},
            {"operation": "video", "provider": "Runway", "model": "Gen-4 Turbo", "options": {"duration": 5}},
            {"operation": "image", "options": {"size": "1024x1024", "quality": "hd"}},
            {"operation": "image", "feature": "generate_leads", "options": {"complexity": "complex"}},
            {"operation": "chat", "token_type": "forecast"},
            {"operation": "upload", "bytes": 3 * MB},
        ))  # fmt: skip
        options = {**priced.get("options", {}), "count": count}
        request = Request(user=user, **priced | {"options": options})
        parent = self._known() if self.random.random() < 0.05 else None
        return CreateGeneration(
            generation_id=id_, request=request, own_id=True, parent_id=parent,
            ttl_s=self.random.choice((60, 900, 90_000)), sealed="prompt",
        )  # fmt: skip

    def _confirm(self) -> Any:
        id_, final = self._known(), self.random.random() < 0.75
        contents = tuple(
            Content(f"c{self.number}.{number}", self.random.randrange(1, 8 * MB))
            for number in range(self.random.choice((0, 1, 2)))
        )
        reported = Reported(
            credits=self.random.choice((None, None, 0, 50, 700)),
            tokens=self.random.choice((None, None, 10, 300)),
            usd=self.random.choice((None, None, 30_000)),
            contents=contents,
            succeeded=self.random.choice((None, None, 1)),
            provider_cost=self.random.choice((None, Paid(12_000, "USD"))),
            generation_time_ms=self.random.choice((None, 1500)),
        )
        return ConfirmGeneration(generation_id=id_, reported=reported, final=final, sealed="done")

    def _fail(self) -> Any:
        reported = Reported(provider_cost=Paid(500, "EUR"), generation_time_ms=20)
        outcome = self.random.choice(tuple(Outcome))
        return FailGeneration(generation_id=self._known(), outcome=outcome, reported=reported, sealed="error")

    def _refund(self) -> Any:
        return RefundGeneration(
            generation_id=self._known(), refund_id=f"f{self.number}", amount=self.random.choice((None, 1, 40))
        )

    def _start(self) -> Any:
        return StartGeneration(generation_id=self._known())

    def _cancel(self) -> Any:
        return CancelGeneration(generation_id=self._known())

    def _extend(self) -> Any:
        return ExtendGeneration(generation_id=self._known(), ttl_s=900, grow=self.random.choice((0, 25)))

    def _delete_content(self) -> Any:
        limit = self.random.choice((None, 0, 25 * MB))
        if self.random.random() < 0.15:
            return SetStorageLimit(user=self._user(), limit=limit)
        stored = [row for row in self.log.events[-300:] if (row.org, row.type) == (self.org, "content-stored.v1")]
        if not stored:
            return DeleteContent(user=self._user(), content_id="none")
        chosen = self.random.choice(stored)
        return DeleteContent(
            user=chosen.stream.partition("/")[2], content_id=json.loads(chosen.data)["data"]["content_id"]
        )

    def _group(self) -> Any:
        group_id, limits = f"g{self.random.randrange(3)}", self.random.choice(({}, {"image": 6}, {"video": 3}))
        every = self.random.choice(tuple(Every))
        match self.random.randrange(6):
            case 0:
                return DeleteGroup(group_id=f"g{self.random.randrange(2, 5)}")
            case 1 | 2:
                return CreateGroup(group_id=f"g{self.random.randrange(5)}", name="Team", limits=limits, every=every)
            case 3:
                return EditGroup(group_id=group_id, limits={"image": self.random.randrange(4, 30)}, every=every)
            case 4:
                return EditGroup(group_id=group_id, limits={"tokens.lead_generation": 40}, description="short")
            case _:
                return TrackGeneration(user=self._user(), what=self.random.choice(("image", "video")))

    def _members(self) -> Any:
        users = tuple(self.random.sample(USERS, self.random.randrange(1, 3)))
        group_id = f"g{self.random.randrange(5)}"
        return (AddMembers if self.random.random() < 0.7 else RemoveMembers)(group_id=group_id, users=users)

    def _money(self) -> Any:
        user = self._user()
        if self.random.random() < 0.3:
            monthly = self.random.choice((1_000_000, 5_000_000))
            return SetBudget(user=user, monthly=monthly, ceiling=self.random.choice((None, 9_000_000)), by_user=False)
        return RecordCost(
            user=user, cost_id=f"cost{self.random.randrange(self.number + 1)}", usd=40_000,
            success=self.random.random() < 0.7, size="1024x1024", quality="hd", generation_time_ms=900, sealed="x",
        )  # fmt: skip

    def _plan(self) -> Any:
        plan, billing = self.random.choice(("starter", "pro", "enterprise")), self.random.choice(tuple(Billing))
        return ChoosePlan(plan=plan, billing=billing)

    def _deduct(self) -> Any:
        token_type = self.random.choice(("lead_generation", "strategy_analysis", "general"))
        feature, quantity = self.random.choice((None, "generate_leads")), self.random.choice((1, 1, 4))
        return DeductTokens(
            token_type=token_type, feature=feature, quantity=quantity, user=self._user(),
            debit_id=f"d{self.org}{self.number}", sealed="meta",
        )  # fmt: skip

    def _purchase(self) -> Any:
        if self.purchases and self.random.random() < 0.6:
            id_ = self.random.choice(self.purchases)
            if self.random.random() < 0.3:
                return FailPurchase(purchase_id=id_, reason="expired")
            started = self.log.stream_state(self.org, f"purchase/{id_}").started
            return CompletePurchase(
                purchase_id=id_, payment_ref=f"pay-{id_}", paid=started.price if started else Paid(1, "USD")
            )
        id_ = f"p{self.number}"
        self.purchases.append(id_)
        what: dict[str, Any] = self.random.choice(({"package": "credits_1000"}, {"plan": "pro"}))
        return StartPurchase(purchase_id=id_, user=self._user(), provider="manual", **what)

    def _settings(self) -> Any:
        return ConfigureOrganisation(
            time_zone=self.random.choice(("UTC", "America/New_York", "Pacific/Auckland")),
            over_actual=self.random.choice(("refuse", "available")),
            pay_from=self.random.choice((("user:{user}",), ("user:{user}", "org:{org}"))),
            settlement_policy=self.random.choice(({}, {"provider_error": 30})),
            enforce=self.random.choice((*[tuple(Resource)] * 5, ("credits", "tokens", "plan"))),
            alert_rules={"budget": {"warn": 75}},
        )

    def _grant(self) -> Any:
        user, unit = self._user(), self.random.choice(("credits", "tokens"))
        owner = self.random.choice((f"user:{user}", f"org:{self.org}"))
        owing = [own for org, own in self.log.accounts() if org == self.org and self.log.state(org, own).shortfall]
        if owing and self.random.random() < 0.3:
            return WriteOffShortfall(address=owing[0], amount=self.random.choice((None, 1)))
        if owing:
            return Grant(address=owing[0], grant_id=f"{self.org}{self.number}", amount=50, source="gift")
        amount = self.random.randrange(100, 2500)
        return Grant(address=f"{owner}:{unit}", grant_id=f"{self.org}{self.number}", amount=amount, source="gift")


def busy_shop(
    log: LogBuilder,
    commands: int,
    seed: int = 1,
    orgs: int = 2,
    prices: tuple[PriceEntry, ...] = CATALOGUE,
    make: type[Shop] = Shop,
) -> LogBuilder:
    """Run random commands of all systems, let a month pass over all streams, and leave some work open."""
    log.do(PublishPrices(entries=prices, first=True), PLATFORM)
    pro = PublishPlan(
        plan="pro", name="Pro", tokens={"lead_generation": 60}, credits=900, storage_limit=90 * MB,
        price=Paid(29_000_000, "USD"), annual_percent_off=20,
    )  # fmt: skip
    log.do(pro, PLATFORM)
    log.do(PublishFeatures(features=FEATURES, token_costs=TOKEN_COSTS), PLATFORM)
    log.do(PublishPackages(packages=PACKAGES), PLATFORM)
    shops = [make(log, f"shop-{number}", seed) for number in range(orgs)]
    for number in range(commands):
        shops[number % orgs].step()
    for shop in shops:  # paid for one cycle, so that it ends
        log.do(StartPurchase(purchase_id="last", user="ann", provider="manual", plan="pro"), shop.org)
        log.do(CompletePurchase(purchase_id="last", payment_ref="pay-last", paid=Paid(29_000_000, "USD")), shop.org)
    for days in (1, 40):
        log.now += timedelta(days=days)
        for org, stream in log.streams():
            if org != PLATFORM:
                log.do(LetTimePass(stream=stream), org)
    for number in range(40 * orgs):
        shops[number % orgs].step(passes=False)
    return log
