"""The reference pages of the documentation, each generated from the code that it describes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import typer.core

from cli.reference.http import http_page, objects_page
from cli.reference.messages import events_page, topics_page
from cli.reference.pages import (
    alerts_page,
    commands_page,
    metrics_page,
    read_models_page,
    refusals_page,
    settings_page,
)


def pages(program: typer.core.TyperGroup) -> dict[str, Callable[[], str]]:
    """File name in `reference/` of the site -> what writes it. `program` is `scrip` with all its commands."""
    return {
        "http.md": http_page,
        "objects.md": objects_page,
        "refusals.md": refusals_page,
        "events.md": events_page,
        "topics.md": topics_page,
        "read-models.md": read_models_page,
        "alerts.md": alerts_page,
        "cli.md": partial(commands_page, program),
        "configuration.md": settings_page,
        "metrics.md": metrics_page,
    }
