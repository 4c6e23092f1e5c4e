"""Groups: limits on images, videos and plan tokens of their members (S1)."""

from collections.abc import Iterable

from domain.generations.assessment import Assessment
from domain.generations.events import ResourceCheck
from domain.generations.request import IMAGE_LIKE, VIDEO, Request
from domain.groups.now import group_streams
from domain.groups.state import GENERATIONS, PREFIX, Group, group_on, memberships_of
from domain.kernel.work import Work
from domain.periods import Every
from domain.quotas.events import Amounts
from domain.resources.quota import QuotaResource
from domain.resources.resource import ASK_ADMIN


class Groups(QuotaResource):
    """Every live group that the user is in must have room. Team quotas of plan tokens are limits like the others."""

    name = "groups"
    reason = "group_limit"
    short = "a group's limit is reached"
    about = "limits on images and videos"
    kind = PREFIX
    owner = "group"
    ways_out = (ASK_ADMIN,)

    def limit(self, _work: Work, state: Group, unit: str) -> int | None:
        return state.limit(unit) if state.live else 0

    def period(self, state: Group) -> Every:
        return state.every

    def subject(self, stream: str, unit: str) -> str:
        return f"{unit}/{stream.removeprefix(self.kind)}"

    def first_streams(self, request: Request) -> tuple[str, ...]:
        return (memberships_of(request.user),)

    def more_streams(self, work: Work, request: Request) -> tuple[str, ...]:
        return group_streams(work, request.user)

    def quote(self, assessment: Assessment) -> None:
        operation = assessment.request.operation
        if operation in IMAGE_LIKE:
            assessment.amounts["image"] = assessment.count
        elif operation == VIDEO:
            assessment.amounts["video"] = assessment.count

    def needs(self, assessment: Assessment) -> Iterable[tuple[str, Amounts]]:
        work = assessment.work
        streams = group_streams(work, assessment.request.user)
        if not streams:
            return ()
        amounts = {unit: amount for unit, amount in assessment.amounts.items() if unit in GENERATIONS}
        if assessment.plan_tokens:
            amounts[f"tokens.{assessment.token_type}"] = assessment.plan_tokens
        return [(stream, amounts) for stream in streams if group_on(work, stream).live] if amounts else ()

    def sentence(self, check: ResourceCheck) -> str:
        what, _, group = check.subject.partition("/")
        named = what.removeprefix("tokens.").replace("_", " ") + (" tokens" if what.startswith("tokens.") else "s")
        limit, available = check.limit or 0, check.available or 0
        return (
            f"The group {group} has reached its limit: {limit - available} of {limit} {named} are used or held, "
            f"and this needs {check.needed}."
        )

    def whose(self, stream: str) -> str:
        return f"the group {stream.removeprefix(self.kind)}"


GROUPS = Groups()
