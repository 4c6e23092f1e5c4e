"""Pages for who administers groups, organisations, plans and prices."""

from console.admin import (
    alerts,
    api_keys,
    gifts,
    group_usage,
    groups,
    members,
    organisation,
    organisations,
    packages,
    plans,
    prices,
    purchases,
    quotas,
    trial,
    webhooks,
)
from console.pages import Page

PAGES: list[Page] = [
    *groups.pages,
    *members.pages,
    *trial.pages,
    *group_usage.pages,
    *organisation.pages,
    *organisations.pages,
    *plans.pages,
    *prices.pages,
    *packages.pages,
    *purchases.pages,
    *gifts.pages,
    *quotas.pages,
    *alerts.pages,
    *webhooks.pages,
    *api_keys.pages,
]
