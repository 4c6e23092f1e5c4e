"""Pages for the person who generates."""

from console.pages import Page
from console.user import alerts, budget, buying, contents, generation, groups, history, overview, playground

PAGES: list[Page] = [
    *overview.pages,
    *history.pages,
    *contents.pages,
    *generation.pages,
    *budget.pages,
    *alerts.pages,
    *groups.pages,
    *buying.pages,
    *playground.pages,
]
