"""The reference pages of the documentation, each generated from the code that it describes."""

from __future__ import annotations

from collections.abc import Callable

from cli.reference import alerts, commands, errors, http, messages, metrics, objects, settings

# File name in docs/reference -> what writes it.
PAGES: dict[str, Callable[[], str]] = {
    "http.md": http.page,
    "objects.md": objects.page,
    "refusals.md": errors.page,
    "events.md": messages.events_page,
    "topics.md": messages.topics_page,
    "alerts.md": alerts.page,
    "cli.md": commands.page,
    "configuration.md": settings.page,
    "metrics.md": metrics.page,
}
