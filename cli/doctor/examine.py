"""An examination: every family of checks, on a service of this machine or on a remote one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from cli.api_client import Api, Refused
from cli.doctor.codes import CODES
from cli.doctor.finding import Finding, Severity
from cli.doctor.kafka import check_broker
from cli.doctor.ledger import check_ledger
from cli.doctor.logins import check_logins
from cli.doctor.machine import check_api, check_folder
from cli.doctor.postgres import check_database
from cli.doctor.settings import check_settings
from cli.failure import Failure
from infra.settings import Settings

Family = tuple[str, Callable[[], Iterator[Finding]]]


def families(settings: Settings, data: Path | None, url: str = "") -> list[Family]:
    """What is examined, in order: a name for people, and the checks. `data`: of an embedded service."""
    found: list[Family] = [
        ("settings", lambda: check_settings(settings)),
        ("PostgreSQL", lambda: chain(check_database(settings), check_logins(settings))),
        ("Kafka", lambda: check_broker(settings)),
        ("API", lambda: check_api(settings, url)),
        ("ledger", lambda: check_ledger(settings)),
    ]
    if data is not None:
        found.append(("machine", lambda: check_folder(data)))
    return found


def examine_remote(api: Api) -> Iterator[Finding]:
    """What a remote service reports: the figures of `GET /api/v1/operations` that are not as they should be.

    Raises Failure where the service answers, but not to this token: that says nothing about the service.
    """
    try:
        told: dict[str, Any] = api.get("/api/v1/operations")
    except Failure as failure:
        if isinstance(failure, Refused) and failure.status in (401, 403):
            raise Failure(
                f"{api.url} answers, but not to this token, which must be an admin's or auditor's: {failure}"
            ) from failure
        yield Finding("api-down", str(failure))
        return
    for figure in told.values():
        if isinstance(figure, dict) and figure.get("status") != "ok":
            code = figure["runbook"] if figure["runbook"] in CODES else "api-down"
            severity = Severity.WRONG if figure["status"] == "act" else Severity.LOOK
            yield Finding(code, figure["message"], severity)
