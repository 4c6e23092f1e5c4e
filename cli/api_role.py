"""The role `scrip api`: the application with everything that it offers, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from api.app import create_app
from api.blocked import publishing
from api.problems import Problem
from api.routes.health import metrics_of
from api.serve import serve
from api.services import Services
from cli.console import console_of
from consumers.asyncapi import asyncapi_document
from consumers.intake.retry import quarantine_retry
from infra.audit.report import Progress
from infra.audit.runs import audited
from infra.decisions import RefusedChecks
from infra.disk import disk_watch
from infra.quarantine import NotQuarantined
from infra.role_metrics import metrics_served
from infra.selfcheck import check_postgres
from infra.settings import Settings
from infra.writer.ledger import Ledger
from infra.writer.reader import Reader
from infra.writer.writer import Writer


async def run_api(settings: Settings, stop: asyncio.Event, on_ready: Callable[[], None] | None = None) -> None:
    """Serve HTTP until `stop` is set.

    Raises UnsafeSetting for a database that could lose what it acknowledges, UnsafeSettings for missing keys,
    PortTaken, psycopg.Error where the database is away.
    """
    uri = settings.writer_url.get_secret_value()
    for login in (settings.writer_url, settings.reader_url, settings.auditor_url):
        await asyncio.to_thread(check_postgres, login.get_secret_value())
    deadline_s = settings.request_deadline_s
    disk = disk_watch(settings)
    ledger = Ledger(Writer(uri, disk=disk), deadline_s, Reader(uri, deadline_s, disk=disk))

    async def audit(by: str, progress: Progress) -> dict[str, Any]:
        return (await audited(settings, by, progress)).as_json()

    async with quarantine_retry(settings, ledger) as again:

        async def retry(org: str, id_: str) -> dict[str, Any]:
            try:
                return await again(org, id_)
            except NotQuarantined as error:
                raise Problem(404, "not_found", "There is no such event in quarantine.") from error

        topics = partial(asyncapi_document, settings.topic_prefix)
        console = console_of(settings)
        app = create_app(settings, ledger, verify=audit, retry=retry, asyncapi=topics, pages=console)
        checks = RefusedChecks(settings)
        services: Services = app.state.services
        services.on_refused_check, services.metrics.checks = publishing(checks), checks
        checks.start()
        try:
            with metrics_served(settings, metrics_of(app.state.services)):
                await serve(app, settings, lambda _host, _port: on_ready() if on_ready else None, stop)
        finally:
            await checks.stop()
