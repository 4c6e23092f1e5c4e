"""Runs one role of the service until it is told to stop."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from infra.disk import watched_text
from infra.pulse import beat
from infra.settings import Settings

log = logging.getLogger(__name__)

END_S = 20.0  # from the signal, or the role's own end, to that of the process


class Run(Protocol):
    """A role: serves until `stop` is set, and says through `on_ready` when it serves."""

    def __call__(
        self, settings: Settings, stop: asyncio.Event, on_ready: Callable[[], None] | None = None
    ) -> Awaitable[None]:
        """Serve."""


def role_settings(data: Path | None) -> Settings:
    """The settings of the service in `data`, or from SCRIP_… variables where it is None. Raises Failure."""
    if data is None:
        return Settings()
    from cli.service.settings import settings_of

    return settings_of(data).model_copy(update={"watched_folders": watched_text(data)})


def leave_note(ready: Path | None, **facts: Any) -> None:
    """Say that the role serves: in the file that `scrip up` asked for, whole or not at all."""
    if ready is None:
        return
    new = ready.with_name(ready.name + ".new")
    try:
        new.write_text(json.dumps({"pid": os.getpid(), **facts}))
        new.replace(ready)
    except OSError as error:  # such as a full disk: what serves goes on
        log.warning("the note %s was not left: %s", ready, error)


_ending = threading.Event()


def end_within(seconds: float) -> None:
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


def run_role(run: Run, data: Path | None, ready: Path | None, pulse: int | None = None) -> None:
    """Serve until SIGTERM or SIGINT; whatever the role raises ends the process, and its supervisor starts it again.

    `pulse`: the file descriptor on which the supervisor waits for signs of life.
    """
    import uvloop

    from cli.role_log import log_as_json
    from infra.log_files import OwnLog, log_bounds
    from infra.tuning import tune_interpreter

    own = None
    if data is not None and ready is not None:  # a child of `scrip up`
        own = OwnLog.of_standard_error(data / "logs" / f"{ready.stem}.log", log_bounds())
    log_as_json(own=own, most_a_minute=Settings().log_lines_per_minute)
    settings = role_settings(data)
    tune_interpreter()

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def told() -> None:
            stop.set()
            end_within(END_S)

        beating = loop.create_task(beat(pulse)) if pulse is not None else None
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told)
        try:
            await run(settings, stop, lambda: leave_note(ready))
        finally:
            end_within(END_S)
            if beating is not None:
                beating.cancel()

    uvloop.run(serve())
