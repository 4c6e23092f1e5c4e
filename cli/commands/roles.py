"""The service's roles, one process each: for compose.yaml and production, and as the children of `scrip up`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RoleData = Annotated[
    Path | None,
    typer.Option("--data", help="Take part in the embedded service in this folder.", metavar="DIR"),
]
Ready = Annotated[Path | None, typer.Option("--ready", help="A file to write once it serves.", metavar="FILE")]

Pulse = Annotated[
    int | None,
    typer.Option("--pulse", help="A file descriptor to write a byte to every second, as a sign of life.", metavar="FD"),
]


def api(data: RoleData = None, ready: Ready = None, pulse: Pulse = None) -> None:
    """Serve the HTTP API (configured by SCRIP_ variables, see `scrip config`)."""
    from cli.api_role import run_api
    from cli.role import run_role

    run_role(run_api, data, ready, pulse)


def relay(data: RoleData = None, ready: Ready = None, pulse: Pulse = None) -> None:
    """Copy committed events from PostgreSQL to Kafka, exactly once and in order."""
    from cli.role import run_role
    from infra.relay import run_relay

    run_role(run_relay, data, ready, pulse)


def projector(data: RoleData = None, ready: Ready = None, pulse: Pulse = None) -> None:
    """Keep the read models up to date from Kafka."""
    from cli.role import run_role
    from consumers.projector import run_projector

    run_role(run_projector, data, ready, pulse)


def intake(data: RoleData = None, ready: Ready = None, pulse: Pulse = None) -> None:
    """Turn the workers' usage events from Kafka into charges."""
    from cli.role import run_role
    from consumers.intake.role import run_intake

    run_role(run_intake, data, ready, pulse)


def notifier(data: RoleData = None, ready: Ready = None, pulse: Pulse = None) -> None:
    """Raise alerts, and send them to Kafka and to webhooks."""
    from cli.role import run_role
    from consumers.notifier.role import run_notifier

    run_role(run_notifier, data, ready, pulse)


def sweeper(data: RoleData = None, ready: Ready = None, pulse: Pulse = None) -> None:
    """Write the expiry of holds and grants soon after it is due."""
    from cli.role import run_role
    from infra.sweeper import run_sweeper

    run_role(run_sweeper, data, ready, pulse)
