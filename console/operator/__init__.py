"""Pages for operators and auditors."""

from console.operator import log, operation, runbook
from console.pages import Page

PAGES: list[Page] = [*operation.pages, *log.pages, *runbook.pages]
