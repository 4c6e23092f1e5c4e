"""Publish a plan, or new terms of one."""

from dataclasses import dataclass, field

from domain.credits.events import Paid
from domain.kernel.work import Work
from domain.plans.bounds import check_count, check_id, check_name, check_price, check_range
from domain.plans.events import PlanPublished
from domain.plans.refusals import InvalidOffer
from domain.plans.state import STREAM, Catalogue, own_catalogue
from domain.refusal import StaleVersion
from domain.settings.change import Given, changed
from domain.settings.setting import Owner

MAX_PLANS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishPlan:
    """All terms of a plan for who chooses it from now on.

    `tokens`: 0 to 10^12 per token type and 30-day cycle; `credits`: 0 to 10^12 per cycle; `storage_limit`: bytes for
    each user, 0 to 10^12. `price`: of one cycle, none for a plan that is not for sale. `annual_percent_off`: 0 to 100.
    `settings`: those of the plan that resources declare. `expected`: the version that the caller has read, 0 for the
    first terms or a new plan.
    """

    plan: str
    name: str
    tokens: dict[str, int] = field(default_factory=dict)
    credits: int = 0
    storage_limit: int | None = None
    price: Paid | None = None
    annual_percent_off: int = 0
    settings: Given = field(default_factory=dict)
    expected: int | None = None


def publish_plan(work: Work, command: PublishPlan) -> None:
    """The plan in its next version. There is no way to take one away, so starter always exists.

    Raises StaleVersion, InvalidOffer, InvalidSetting.
    """
    catalogue = own_catalogue(work)
    before = catalogue.plans.get(command.plan)
    version = before.version if before else 0
    if command.expected is not None and command.expected != version:
        raise StaleVersion(what=f"plan {command.plan}", current=version)
    _check(catalogue, command)
    published = PlanPublished(
        plan=command.plan,
        version=version + 1,
        name=command.name,
        tokens=command.tokens,
        credits=command.credits,
        storage_limit=command.storage_limit,
        price=command.price,
        annual_percent_off=command.annual_percent_off,
        settings=changed(work, Owner.PLAN, {}, command.settings),
    )
    work.emit(STREAM, published)


def _check(catalogue: Catalogue, command: PublishPlan) -> None:
    check_id("plan", command.plan)
    check_name("name", command.name)
    if command.plan not in catalogue.plans:
        check_count("plans", len(catalogue.plans) + 1, MAX_PLANS)
    for token_type, amount in command.tokens.items():
        if token_type not in catalogue.token_costs:
            raise InvalidOffer(f"tokens.{token_type}", f"known are {', '.join(catalogue.token_costs)}")
        check_range(f"tokens.{token_type}", amount)
    check_range("credits", command.credits)
    if command.storage_limit is not None:
        check_range("storage_limit", command.storage_limit)
    if command.price is not None:
        check_price("price", command.price)
    check_range("annual_percent_off", command.annual_percent_off, 0, 100)
