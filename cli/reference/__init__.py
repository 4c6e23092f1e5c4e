"""The reference pages of the documentation, each generated from the code that it describes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import typer.core

from cli.reference import alerts, commands, errors, http, messages, metrics, objects, settings


def pages(program: typer.core.TyperGroup) -> dict[str, Callable[[], str]]:
    """File name in docs/reference -> what writes it. `program` is the `scrip` command with all its commands."""
    return {
        "http.md": http.page,
        "objects.md": objects.page,
        "refusals.md": errors.page,
        "events.md": messages.events_page,
        "topics.md": messages.topics_page,
        "alerts.md": alerts.page,
        "cli.md": partial(commands.page, program),
        "configuration.md": settings.page,
        "metrics.md": metrics.page,
    }
