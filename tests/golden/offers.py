"""The examples of organisations, plans, purchases, allowances and shortfalls, and newer forms of older events."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.credits.events import (
    AllowanceGranted,
    AllowanceSet,
    CreditsDebited,
    CreditsReserved,
    Paid,
    ReservationExpired,
    ShortfallCollected,
    ShortfallRecorded,
    ShortfallWrittenOff,
    Slice,
    Work,
)
from domain.organisations.events import (
    FIRST_RESOURCES,
    Billing,
    OrganisationConfigured,
    Outcome,
    OverActual,
    PlanChosen,
    PlanEnded,
)
from domain.plans.events import (
    Feature,
    FeaturesPublished,
    Package,
    PackagesPublished,
    PlanPublished,
    PurchaseCompleted,
    PurchaseFailed,
    PurchaseStarted,
)
from domain.prices.events import PriceEntry, PricesPublished
from tests.resource_names import Resource

ANCHOR = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
REFRESH = ANCHOR + timedelta(days=30)
YEAR = ANCHOR + timedelta(days=360)
CYCLE = Slice("plan.tokens.forecast.0.0", 30, "plan", 50, REFRESH, ANCHOR)
SEALED = "k1.c2VhbGVk"
TERMS = PlanPublished(
    plan="pro",
    version=2,
    name="Pro",
    tokens={"forecast": 30, "general": 0},
    credits=700,
    storage_limit=5_000_000,
    price=Paid(29_000_000, "USD"),
    annual_percent_off=20,
)
PACKAGE = Package(
    id="leads_50", name="50 leads", unit="tokens.lead_generation", amount=50, price=Paid(15_000_000, "USD"),
    expires_after_days=90,
)  # fmt: skip

OFFERS: dict[str, Any] = {
    "organisation-configured.v1": OrganisationConfigured(
        time_zone="Pacific/Auckland",
        enforce=(Resource.CREDITS, Resource.PLAN),
        pay_from=("user:{user}", "group:g1", "org:{org}"),
        over_actual=OverActual.AVAILABLE,
        settlement_policy={Outcome.OUTPUT_BLOCKED: 50, Outcome.TIMED_OUT: 0},
        alert_rules={"budget": {"warning": 75, "on": True}},
    ),
    "plan-chosen.v1": PlanChosen(
        plan="pro",
        plan_version=2,
        tokens={"forecast": 30},
        credits=700,
        storage_limit=5_000_000,
        anchor=ANCHOR,
        billing=Billing.ANNUAL,
        paid_until=YEAR,
    ),
    "plan-ended.v1": PlanEnded(plan="pro"),
    "plan-published.v1": TERMS,
    "features-published.v1": FeaturesPublished(
        version=1,
        features=(
            Feature(name="song", token_type="music", cost=2, complexity={"opera": 250}, bulk=((2, 0), (10, 99))),
        ),
        token_costs={"forecast": 4, "music": 9},
    ),
    "packages-published.v1": PackagesPublished(version=3, packages=(PACKAGE,)),
    "purchase-started.v1": PurchaseStarted(
        purchase_id="0190a1b9",
        user="u_42",
        provider="manual",
        price=Paid(278_400_000, "USD"),
        package=PACKAGE,
        address="org:acme:tokens.lead_generation",
        plan=TERMS,
        billing=Billing.ANNUAL,
    ),
    "purchase-completed.v1": PurchaseCompleted(purchase_id="0190a1b9", payment_ref="pi_3Nx"),
    "purchase-failed.v1": PurchaseFailed(purchase_id="0190a1b9", reason="declined"),
    "allowance-set.v1": AllowanceSet(
        id="plan.tokens.forecast", plan="pro", amount=30, anchor=ANCHOR, cycle=0, until=YEAR
    ),
    "allowance-granted.v1": AllowanceGranted(grant=CYCLE, cycle=7, skipped=6, repaid=20),
    "prices-published.v1.2": PricesPublished(
        version=4,
        effective_at=ANCHOR,
        entries=(
            PriceEntry(model="gpt", operation="chat", rates={"in": 10}, expected_usage={"in": 800}),
            PriceEntry(operation="chat", credits=0, free=True),
        ),
    ),
    "shortfall-recorded.v1": ShortfallRecorded(generation_id="job-7", amount=30),
    "shortfall-collected.v1": ShortfallCollected(debit_id="shortfall.0190a1b3.0", amount=30, slices=(CYCLE,)),
    "shortfall-written-off.v1": ShortfallWrittenOff(amount=30, sealed=SEALED),
    "shortfall-written-off.v1.2": ShortfallWrittenOff(amount=30, generation_id="job-7"),
    "credits-reserved.v1.2": CreditsReserved(
        reservation_id="job-7",
        amount=30,
        expires_at=datetime(2026, 1, 20, 12, 15, tzinfo=UTC),
        slices=(CYCLE,),
        item="forecast",
        price_version=3,
        sealed=SEALED,
        generation=True,
    ),
    "reservation-expired.v1.2": ReservationExpired(
        reservation_id="job-7", amount=30, returned=(CYCLE,), generation=True
    ),
    "credits-debited.v1.2": CreditsDebited(
        debit_id="0190a1b6",
        amount=30,
        slices=(CYCLE,),
        item="spring campaign",
        price_version=3,
        sealed=SEALED,
        user="u_42",
    ),
    "credits-reserved.v1.3": CreditsReserved(
        reservation_id="0190a1b4",
        amount=30,
        expires_at=datetime(2026, 1, 20, 12, 15, tzinfo=UTC),
        slices=(CYCLE,),
        item="MiniMax-Hailuo-02 768P 6s",
        price_version=3,
        work=Work("video", "MiniMax", "MiniMax-Hailuo-02"),
    ),
    "credits-debited.v1.3": CreditsDebited(
        debit_id="0190a1b6",
        amount=30,
        slices=(CYCLE,),
        item="FLUX.1 [dev]",
        price_version=3,
        work=Work(None, "BFL", "FLUX.1 [dev]"),
    ),
}
OFFERS |= {
    "organisation-configured.v1.2": replace(
        OFFERS["organisation-configured.v1"], known=(*FIRST_RESOURCES, "running"), settings={"running_limit": 50}
    ),
    "plan-chosen.v1.2": replace(OFFERS["plan-chosen.v1"], settings={"user_running_limit": 3}),
    "plan-published.v1.2": replace(TERMS, settings={"user_running_limit": 3}),
    "purchase-started.v1.2": replace(
        OFFERS["purchase-started.v1"], plan=replace(TERMS, settings={"user_running_limit": 3})
    ),
}
