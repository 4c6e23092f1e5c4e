"""All limited resources, in the order of the contract's reasons: to add one is to add its module and its row here.

Deciders find the table at their work: a domain of a test or of an example brings a table of its own.
"""

from collections.abc import Iterator

from domain.kernel.work import Work
from domain.organisations.events import FIRST_RESOURCES
from domain.resources.account import AccountResource
from domain.resources.budget import BUDGET
from domain.resources.counted import CountedResource
from domain.resources.credits import CREDITS
from domain.resources.groups import GROUPS
from domain.resources.plan_tokens import PLAN_TOKENS
from domain.resources.quota import QuotaResource
from domain.resources.resource import Resource, Unknown
from domain.resources.running import RUNNING
from domain.resources.storage import STORAGE
from domain.resources.tokens import TOKENS
from domain.settings.setting import Owner, Setting

_UNKNOWN = Unknown()


class Resources:
    """A table of resources. Raises ValueError where two have one name, or two settings of one kind of owner.

    It is the order of checks, holds and reasons. A generation is charged in the order `settling`, accounts first. The
    first of `main` that it was charged is what it mainly cost. `loading_first` and `loading_more` are the orders in
    which time passes on streams before a check. `kinds`: how the streams of each begin.
    `enforceable`: the names, in the order of settings. `settings`: all that they
    declare, by whose they are; `counting`: what must be counted for those that limit what is open. A row is never
    removed, because stored events have its name.
    """

    def __init__(self, *resources: AccountResource | QuotaResource) -> None:
        self.all = resources
        self.by_name: dict[str, Resource] = {each.name: each for each in resources}
        if len(self.by_name) < len(resources):
            raise ValueError("two resources have one name")
        self.accounts = tuple(each for each in reversed(resources) if isinstance(each, AccountResource))
        self.quotas = tuple(each for each in resources if isinstance(each, QuotaResource))
        self.settling: tuple[Resource, ...] = (*self.accounts, *self.quotas)
        charged = tuple(each for each in self.quotas if not isinstance(each, CountedResource))
        self.main: tuple[Resource, ...] = (*self.accounts, *reversed(charged))
        self.loading_first: tuple[Resource, ...] = self.all[::-1]
        self.loading_more: tuple[Resource, ...] = (*self.quotas, *self.accounts)
        self.kinds = {each.name: each.kind for each in resources}
        self.reasons = tuple(each.reason for each in resources)
        self.enforceable = tuple(sorted(self.by_name, key=_as_configured))
        self.settings = _settings(resources)
        self.counting = {
            setting: each.name for each in resources if isinstance(each, CountedResource) for setting in each.settings
        }

    def __iter__(self) -> Iterator[Resource]:
        return iter(self.all)

    def paying(self, unit: str) -> AccountResource:
        """The resource that accounts of this unit pay for. Raises KeyError."""
        for each in self.accounts:
            if each.owns(unit):
                return each
        raise KeyError(unit)

    def shown(self, name: str) -> Resource | Unknown:
        """The resource of this name in a stored event, to show it."""
        return self.by_name.get(name, _UNKNOWN)


def _as_configured(name: str) -> int:
    """In settings the first resources have an order of their own."""
    return FIRST_RESOURCES.index(name) if name in FIRST_RESOURCES else len(FIRST_RESOURCES)


def _settings(resources: tuple[Resource, ...]) -> dict[Owner, dict[str, Setting]]:
    declared: dict[Owner, dict[str, Setting]] = {owner: {} for owner in Owner}
    for setting in (setting for each in resources for setting in each.settings):
        if setting.name in declared[setting.on]:
            raise ValueError(f"two settings of one {setting.on} have one name")
        declared[setting.on][setting.name] = setting
    return declared


def table(work: Work) -> Resources:
    """The table of the domain that decides."""
    resources: Resources = work.resources
    return resources


RESOURCES = Resources(PLAN_TOKENS, GROUPS, BUDGET, STORAGE, TOKENS, CREDITS, RUNNING)
