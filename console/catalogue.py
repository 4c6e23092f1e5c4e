"""All pages of the console, module by module: the place to add one."""

from console import analytics, support, user
from console.admin import alerts, group_usage, groups, members, organisation, plans, prices, purchases, quotas
from console.operator import log, operation, runbook
from console.pages import Page

ALL_PAGES: list[Page] = [
    *user.pages,
    *groups.pages, *members.pages, *group_usage.pages, *organisation.pages, *plans.pages, *prices.pages,
    *purchases.pages, *quotas.pages, *alerts.pages,
    *operation.pages, *log.pages, *runbook.pages,
    *analytics.pages, *support.pages,
]  # fmt: skip
