"""What to read first: the modules of Scrip, each with its commands, questions, kinds of stream and events.

The limited resources are in `RESOURCES`.
"""

from domain.budgets import commands as budgets
from domain.credits import commands as accounts
from domain.generations import handlers as generations
from domain.groups import commands as groups
from domain.kernel.domain import Domain
from domain.organisations import commands as organisations
from domain.plans import deduct, purchases
from domain.plans import publish as offers
from domain.prices import publish as prices
from domain.quotas import counted
from domain.quotas import quota as quotas
from domain.resources.table import RESOURCES, Resources
from domain.settings import change as settings
from domain.storage import commands as storage


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
        offers.MODULE,
        purchases.MODULE,
        deduct.MODULE,
        settings.MODULE,
        generations.module(resources),
    )


SCRIP = scrip(RESOURCES)
