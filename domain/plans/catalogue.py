"""What an installation starts with: the plans, token types and features of S3, and packages to buy."""

from domain.credits.events import Paid
from domain.plans.events import Feature, Package, PlanPublished

# S3: what one use of each token type costs. `general` has no allowance in any plan.
TOKEN_COSTS = {"lead_generation": 5, "goal_generation": 3, "strategy_analysis": 2, "forecast": 4, "general": 1}


def _plan(plan: str, name: str, *allowances: int, price_micros: int) -> PlanPublished:
    tokens = dict(zip(TOKEN_COSTS, allowances, strict=False))  # in the order of the types, `general` left out
    return PlanPublished(
        plan=plan,
        version=0,
        name=name,
        tokens=tokens,
        price=Paid(price_micros, "USD") if price_micros else None,
        annual_percent_off=20 if price_micros else 0,
    )


PLANS = (
    _plan("starter", "Starter", 0, 0, 0, 0, price_micros=0),
    _plan("pro", "Pro", 50, 20, 100, 30, price_micros=29_000_000),
    _plan("enterprise", "Enterprise", 500, 200, 1000, 200, price_micros=199_000_000),
)

FEATURES = (
    Feature(name="generate_leads", token_type="lead_generation", cost=5),  # noqa: S106 - a kind of token, no password
    Feature(name="generate_goal", token_type="goal_generation", cost=3),  # noqa: S106 - as above
    Feature(name="analyse_strategy", token_type="strategy_analysis", cost=2),  # noqa: S106 - as above
    Feature(name="analyze_strategy", token_type="strategy_analysis", cost=2),  # noqa: S106 - S3's own spelling
    Feature(name="forecast", token_type="forecast", cost=4),  # noqa: S106 - as above
    Feature(name="general", token_type="general", cost=1),  # noqa: S106 - as above
)

PACKAGES = (
    Package(id="credits_1000", name="1,000 credits", unit="credits", amount=1_000, price=Paid(10_000_000, "USD")),
    Package(id="credits_5000", name="5,000 credits", unit="credits", amount=5_000, price=Paid(45_000_000, "USD")),
    Package(id="tokens_1000", name="1,000 tokens", unit="tokens", amount=1_000, price=Paid(5_000_000, "USD")),
    Package(id="leads_50", name="50 lead generation tokens", unit="tokens.lead_generation", amount=50,
            price=Paid(15_000_000, "USD")),
)  # fmt: skip
