"""What to read first: the modules of Scrip, each with its commands, questions, kinds of stream and events.

The limited resources are in `RESOURCES`.
"""

from domain.budgets import handlers as budgets
from domain.credits import handlers as accounts
from domain.generations import handlers as generations
from domain.groups import handlers as groups
from domain.kernel.domain import Domain
from domain.organisations import handlers as organisations
from domain.plans import handlers as plans
from domain.prices import handlers as prices
from domain.quotas import counted
from domain.quotas import quota as quotas
from domain.resources.table import RESOURCES, Resources
from domain.settings import change as settings
from domain.storage import handlers as storage


def scrip(resources: Resources) -> Domain:
    """Scrip with these limited resources."""
    return Domain(
        accounts.MODULE,
        prices.MODULE,
        quotas.MODULE,
        counted.MODULE,
        storage.MODULE,
        groups.MODULE,
        budgets.MODULE,
        organisations.MODULE,
        plans.MODULE,
        settings.MODULE,
        generations.module(resources),
    )


SCRIP = scrip(RESOURCES)
