"""Pages for who administers groups, organisations, plans and prices."""

from console.admin import alerts, group_usage, groups, members, organisation, plans, prices, purchases, quotas
from console.pages import Page

PAGES: list[Page] = [
    *groups.pages,
    *members.pages,
    *group_usage.pages,
    *organisation.pages,
    *plans.pages,
    *prices.pages,
    *purchases.pages,
    *quotas.pages,
    *alerts.pages,
]
