"""What a person or a script sees of a service that starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cli.output import cell, complain, console, say, say_json, status
from cli.service.service import Service


@contextmanager
def start_shown(service: Service) -> Iterator[Service]:
    """Start the service with its progress on standard error, and stop it at the end of the block."""
    screen = console(stderr=True)
    starting = screen.status(cell("starting PostgreSQL and Kafka"))

    def report(what: str, done: int, total: int) -> None:
        said = f"{what} {done}/{total}" if total > 1 else what
        starting.update(cell(said))
        if not screen.is_terminal and done == total:
            complain(said)

    service.on_progress(report)
    with starting:
        service.start()
    try:
        yield service
    finally:
        with status("stopping"):
            service.stop()


def announce(service: Service, *, as_json: bool = False) -> None:
    """Where everything is: the three lines that the contract promises, or one JSON document."""
    settings = service.settings
    # Who runs the service may look at all of it, with a login that none of its roles uses.
    reader = service.analyst_uri
    if as_json:
        say_json({"kafka": settings.kafka, "postgres": reader, "ready": service.url})
        return
    say(f"kafka {settings.kafka}")
    say(f"postgres {reader}")
    say(f"ready {service.url}")
