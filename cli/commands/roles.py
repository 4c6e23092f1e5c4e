"""The service's roles, one process each: for compose.yaml and production, and as the children of `scrip up`."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from cli.failure import Failure
from cli.options import Json

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from infra.settings import Settings
    from infra.sweeper import Source

log = logging.getLogger(__name__)

END_S = 20.0  # from the signal, or the role's own end, to that of the process

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

    _serve(run_api, data, ready, pulse)


def relay(data: RoleData = None, ready: Ready = None, pulse: Pulse = None) -> None:
    """Copy committed events from PostgreSQL to Kafka, exactly once and in order."""
    from infra.relay import run_relay

    _serve(run_relay, data, ready, pulse)


def projector(data: RoleData = None, ready: Ready = None, pulse: Pulse = None) -> None:
    """Keep the read models up to date from Kafka."""
    from consumers.projector import run_projector

    _serve(run_projector, data, ready, pulse)


def intake(data: RoleData = None, ready: Ready = None, pulse: Pulse = None) -> None:
    """Turn the workers' usage events from Kafka into charges."""
    from consumers.intake.role import run_intake

    _serve(run_intake, data, ready, pulse)


def notifier(data: RoleData = None, ready: Ready = None, pulse: Pulse = None) -> None:
    """Raise alerts, and send them to Kafka and to webhooks."""
    from consumers.notifier.role import run_notifier

    _serve(run_notifier, data, ready, pulse)


def sweeper(data: RoleData = None, ready: Ready = None, pulse: Pulse = None) -> None:
    """Write the expiry of holds and grants soon after it is due."""
    from domain.registry import SCRIP
    from infra.sweeper import run_sweeper

    _serve(partial(run_sweeper, domain=SCRIP, sources=sweeper_sources()), data, ready, pulse)


def sweeper_sources() -> list[Source]:
    """Where the sweeper looks: each read model says what of it falls due."""
    from infra.sweeper import Source
    from projections import READ_MODELS

    return [Source(model.name, model.stream, due.at, due.waits) for model in READ_MODELS for due in model.due]


class _Run(Protocol):
    """A role: serves until `stop` is set, and says through `on_ready` when it serves."""

    def __call__(
        self, settings: Settings, stop: asyncio.Event, on_ready: Callable[[], None] | None = None
    ) -> Awaitable[None]:
        """Serve."""


def _settings(data: Path | None) -> Settings:
    """The settings of the service in `data`, or from SCRIP_… variables where it is None. Raises Failure."""
    from infra.settings import Settings

    if data is None:
        return Settings()
    from cli.service.settings import settings_of
    from infra.disk import watched_text

    return settings_of(data).model_copy(update={"watched_folders": watched_text(data)})


def _leave_note(ready: Path | None) -> None:
    """Say that the role serves: in the file that `scrip up` asked for, whole or not at all."""
    if ready is None:
        return
    new = ready.with_name(ready.name + ".new")
    try:
        new.write_text(json.dumps({"pid": os.getpid()}))
        new.replace(ready)
    except OSError as error:  # such as a full disk: what serves goes on
        log.warning("the note %s was not left: %s", ready, error)


_ending = threading.Event()


def _end_within(seconds: float) -> None:
    """End this process after so many seconds if it is still there then; the first call counts.

    Python waits for every thread before it ends, and a thread may wait for a server for as long as it likes. Nothing
    is lost: what was acknowledged is stored, as after a crash.
    """
    if _ending.is_set():
        return
    _ending.set()

    def end() -> None:
        log.error("the role has not ended %.0f s after it was told to: its process is ended now", seconds)
        logging.shutdown()
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _serve(run: _Run, data: Path | None, ready: Path | None, pulse: int | None = None) -> None:
    """Serve until SIGTERM or SIGINT; whatever the role raises ends the process, and its supervisor starts it again.

    `pulse`: the file descriptor on which the supervisor waits for signs of life.
    """
    import asyncio

    import uvloop

    from cli.role_log import log_as_json
    from infra.embedded.log_files import OwnLog, log_bounds
    from infra.pulse import beat
    from infra.settings import Settings
    from infra.tuning import tune_interpreter

    own = None
    if data is not None and ready is not None:  # a child of `scrip up`
        own = OwnLog.of_standard_error(data / "logs" / f"{ready.stem}.log", log_bounds())
    log_as_json(own=own, most_a_minute=Settings().log_lines_per_minute)
    settings = _settings(data)
    tune_interpreter()

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def told() -> None:
            stop.set()
            _end_within(END_S)

        beating = loop.create_task(beat(pulse)) if pulse is not None else None
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told)
        try:
            await run(settings, stop, lambda: _leave_note(ready))
        finally:
            _end_within(END_S)
            if beating is not None:
                beating.cancel()

    uvloop.run(serve())


def prepare(as_json: Json = False) -> None:
    """Migrate the database, create the topics and publish the first prices (configured by SCRIP_ variables).

    Needs SCRIP_OWNER_URL. The logins get the passwords that SCRIP_WRITER_URL and the others name. May be repeated.
    """
    from urllib.parse import unquote, urlsplit

    from cli.output import say, say_json
    from cli.service.prepare import prepare_ledger, set_passwords
    from cli.service.settings import ROLE_LOGINS, log_partitions
    from infra.postgres.migrations import migrate
    from infra.settings import Settings
    from projections.versions import ensure

    settings = Settings()
    owner = settings.owner_url.get_secret_value()
    if not owner:
        raise Failure("SCRIP_OWNER_URL is not set: the login that owns the database's schema.")
    logins = [urlsplit(getattr(settings, f"{login}_url").get_secret_value()) for login in ROLE_LOGINS]
    applied = migrate(owner, settings.partitions)
    set_passwords(owner, {str(login.username): unquote(login.password) for login in logins if login.password})
    # As who owns them, where that login is known: what it has made is then not run in a session of the owner.
    ensure(settings.projector_url.get_secret_value() or owner)
    settings = settings.model_copy(update={"partitions": log_partitions(owner)})
    created = prepare_ledger(settings)
    if as_json:
        say_json({"migrations": applied, "topics": created, "partitions": settings.partitions})
    else:
        say(f"prepared: {len(applied)} migrations applied, {len(created)} topics created")
