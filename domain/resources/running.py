"""Concurrent generations: how many may be held or running at once."""

from domain.generations.events import ResourceCheck
from domain.groups.now import group_streams
from domain.groups.state import PREFIX as GROUP
from domain.groups.state import group_on
from domain.kernel.work import Work
from domain.organisations.state import organisation_of
from domain.resources.counted import CountedResource, Limits
from domain.resources.resource import ASK_ADMIN
from domain.settings.setting import Owner, Setting, own_settings, stream_of

LIMIT, PLAN_LIMIT = "running_limit", "user_running_limit"
_AT_ONCE = "How many generations may be held or running at once; 0 blocks."
_NO_LIMIT = f"{_AT_ONCE} Not set: no limit."


class Running(CountedResource):
    """One for each open generation: of the organisation, its user, its model, and each of the user's groups."""

    name = "running"
    reason = "too_many_running"
    short = "too many generations run at once"
    about = "generations at once"
    ways_out = (ASK_ADMIN,)
    settings = (
        *(Setting(name=LIMIT, on=on, about=_NO_LIMIT) for on in (Owner.ORGANISATION, Owner.GROUP, Owner.MODEL)),
        Setting(name=LIMIT, on=Owner.USER, about=f"{_AT_ONCE} Not set: that of the plan."),
        Setting(name=PLAN_LIMIT, on=Owner.PLAN, about=f"{_NO_LIMIT} For each user without a limit of their own."),
    )

    def limit_streams(self, user: str, model: str | None) -> tuple[str, ...]:
        of_user = stream_of(Owner.USER, user)
        return (of_user,) if model is None else (of_user, stream_of(Owner.MODEL, model))

    def limits(self, work: Work, user: str, model: str | None) -> Limits:
        organisation = organisation_of(work)
        own = own_settings(work, Owner.USER, user).get(LIMIT)
        limits = {
            self.name: organisation.settings.get(LIMIT),
            f"{self.name}/user:{user}": organisation.plan_settings.get(PLAN_LIMIT) if own is None else own,
        }
        if model is not None:
            limits[f"{self.name}/model:{model.casefold()}"] = own_settings(work, Owner.MODEL, model).get(LIMIT)
        for stream in group_streams(work, user):
            group = group_on(work, stream)
            if group.live:
                limits[f"{self.name}/group:{stream.removeprefix(GROUP)}"] = group.settings.get(LIMIT)
        return limits

    def sentence(self, check: ResourceCheck) -> str:
        kind, _, who = check.subject.removeprefix(self.name).removeprefix("/").partition(":")
        whose = f"the {kind} {who}" if who else "the organisation"
        if not check.limit:
            return f"No generation may run for {whose} now."
        limit = f"{check.limit} at once are the limit"
        return f"Too many generations run for {whose}: {limit}. Try again when one has ended."

    def whose(self, _stream: str) -> str:
        return "those that run at once"


RUNNING = Running()
