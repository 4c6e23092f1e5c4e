"""Pages for operators and auditors."""

from console.operator import audit, event, events, home, runbook, timeline
from console.pages import Page

PAGES: list[Page] = [
    *home.pages,
    *events.pages,
    *event.pages,
    *timeline.pages,
    *audit.pages,
    *runbook.pages,
]
