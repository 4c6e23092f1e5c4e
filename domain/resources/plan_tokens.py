"""Plan tokens: what a use of the organisation's plan takes, by token type (S3)."""

from domain.credits import address
from domain.credits.account import account_of
from domain.generations.assessment import Assessment
from domain.generations.events import Held, ResourceCheck
from domain.generations.request import Request
from domain.kernel.work import Work
from domain.organisations.state import Organisation
from domain.plans.state import catalogue_of, token_cost
from domain.resources.account import AccountResource, check_grants, spendable
from domain.resources.resource import UPGRADE, Action
from domain.resources.tokens import TOKENS


class PlanTokens(AccountResource):
    """Paid by the organisation's account of the token type. A plan that has none of the type blocks the use."""

    name = "plan"
    reason = "plan_blocked"
    short = "the plan does not include this"
    about = "the plan's tokens by feature"
    figure = "plan_tokens"
    grows = False
    buy = TOKENS.buy

    def unit_of(self, token_type: str | None) -> str:
        return f"tokens.{token_type}"

    def owns(self, unit: str) -> bool:
        return unit.startswith("tokens.")

    def payers(self, org: str, _organisation: Organisation, _user: str, unit: str) -> tuple[str, ...]:
        return (address.stream_of(f"org:{org}:{unit}"),)

    def more_streams(self, work: Work, request: Request) -> tuple[str, ...]:
        token_type = request.token_type
        if token_type is None and request.feature is not None:
            feature = catalogue_of(work).features.get(request.feature)
            token_type = feature.token_type if feature else None
        return () if token_type is None else (plan_account(work.org, token_type),)

    def settling_streams(self, _work: Work, _user: str, *, growing: bool) -> tuple[str, ...]:
        """It is never charged more than it holds."""
        del growing
        return ()

    def quote(self, assessment: Assessment) -> None:
        """Add the cost of the type or feature. Raises UnknownTokenUse."""
        request = assessment.request
        if request.token_type is None and request.feature is None:
            return
        complexity = request.options.get("complexity")
        assessment.token_type, cost = token_cost(
            catalogue_of(assessment.work),
            token_type=request.token_type,
            feature=request.feature,
            quantity=assessment.count,
            complexity=str(complexity) if complexity is not None else None,
        )
        if cost:
            assessment.amounts[self.unit_of(assessment.token_type)] = cost

    def check(self, assessment: Assessment) -> None:
        token_type, amount = assessment.token_type, assessment.plan_tokens
        if token_type is None or not amount:
            return
        stream, unit = plan_account(assessment.work.org, token_type), self.unit_of(token_type)
        account = account_of(assessment.work, stream)
        available, limit = spendable(account), assessment.organisation.tokens.get(token_type, 0)
        ok = amount <= available
        if ok:
            check_grants(account, amount)
        reason = TOKENS.reason if available or limit else self.reason
        assessment.checks.append(ResourceCheck(self.name, ok, reason, amount, available, limit, unit))
        assessment.holds.append(Held(self.name, stream, {unit: amount}))

    def sentence(self, check: ResourceCheck) -> str:
        token_type = check.subject.removeprefix("tokens.")
        if check.reason == self.reason:
            return f"The organisation's plan has no {token_type} tokens. Upgrade the plan to use this."
        available = check.available or 0
        return (
            f"Insufficient tokens. You need {check.needed} {token_type} tokens but only have {available}. "
            f"You're {check.needed - available} tokens short."
        )

    def actions(self, reason: str) -> tuple[Action, ...]:
        return (UPGRADE,) if reason == self.reason else super().actions(reason)

    def eased_by_price(self, check: ResourceCheck) -> bool:
        return check.reason != self.reason


PLAN_TOKENS = PlanTokens()


def plan_account(org: str, token_type: str) -> str:
    """The stream of the organisation's tokens of a type."""
    return address.stream_of(f"org:{org}:tokens.{token_type}")
