"""All pages of the console. Each area lists its own in its package: the place to add one."""

from console import admin, analytics, operator, session, support, user
from console.pages import Page

ALL_PAGES: list[Page] = [*session.pages, *user.PAGES, *admin.PAGES, *operator.PAGES, *analytics.pages, *support.pages]
