"""All pages of the console. Each area lists its own: the place to add one."""

from console import admin, analytics, operator, support, user
from console.pages import Page

ALL_PAGES: list[Page] = [*user.pages, *admin.PAGES, *operator.PAGES, *analytics.pages, *support.pages]
