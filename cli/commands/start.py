"""`scrip up`, `token` and `config`: the whole service on this machine, until Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import DEFAULT_DATA, DEFAULT_ORG, Data, Json, KafkaPort, Org, Port

if TYPE_CHECKING:
    from cli.service.service import Service


def up(port: Port = None, kafka_port: KafkaPort = None, data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """Run the whole service on embedded PostgreSQL and Kafka until Ctrl-C; its data stays in DIR.

    Prints `kafka HOST:PORT`, `postgres URI` (a read-only login), and `ready URL` once it serves.
    """
    from cli.service.interrupt import run_until_interrupted

    def serve(service: Service) -> None:
        announce(service, as_json=as_json)
        run_until_interrupted(service.tend)

    run_service(data, port, kafka_port, serve)


def run_service(data: Path, port: int | None, kafka_port: int | None, work: Callable[[Service], None]) -> None:
    """Start a service with its progress on standard error, call `work` with it, and stop it; Ctrl-C ends the work."""
    from cli.output import complain
    from cli.service.interrupt import Interrupted, interruptible
    from cli.service.service import Service

    try:
        with interruptible():
            service = Service(data, port=port, kafka_port=kafka_port, notice=complain)
            with _started(service):
                work(service)
    except Interrupted:
        complain("stopped")


@contextmanager
def _started(service: Service) -> Iterator[None]:
    from cli.output import cell, complain, console, status

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
        yield
    finally:
        with status("stopping"):
            service.stop()


def announce(service: Service, *, as_json: bool = False) -> None:
    """Print where everything is: the three lines that the contract promises, or one JSON document."""
    from cli.output import say, say_json

    # The URI is of a login that no role uses: who runs the service may read all of it.
    where = {"kafka": service.settings.kafka, "postgres": service.analyst_uri, "ready": service.url}
    if as_json:
        say_json(where)
    else:
        for name, address in where.items():
            say(f"{name} {address}")


def token(
    sub: Annotated[str, typer.Option("--sub", help="Whose token: the user's or worker's id.", metavar="USER")],
    role: Annotated[
        str, typer.Option("--role", help="user, worker, org_admin, auditor or admin.", metavar="ROLE")
    ] = "user",
    org: Org = DEFAULT_ORG,
    ttl: Annotated[int, typer.Option("--ttl", min=1, max=31_536_000, help="Seconds until it expires.")] = 43_200,
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """Print a signed token, alone on the last line, for trying the API by hand."""
    from cli.output import say, say_json
    from cli.service.settings import as_served, secrets_of, with_keys
    from cli.service.tokens import signed_token
    from infra.settings import Settings

    known = secrets_of(data)
    settings = as_served(with_keys(Settings(), known), data, known)
    signed = signed_token(settings, org=org, sub=sub, role=role, ttl_s=ttl)
    if as_json:
        say_json({"token": signed, "org": org, "sub": sub, "role": role, "expires_in": ttl})
    else:
        say(signed)


def config(as_json: Json = False) -> None:
    """Show every SCRIP_ setting with its meaning, its default and what it is now (secrets masked)."""
    from pydantic import SecretStr

    from cli.output import say_json, say_table
    from infra.settings import Settings

    settings = Settings()

    def shown(value: object) -> str:
        if isinstance(value, SecretStr):
            return "********" if value.get_secret_value() else ""
        return str(value).lower() if isinstance(value, bool) else str(value)

    rows = [
        {
            "name": f"SCRIP_{name.upper()}",
            "description": field.description or "",
            "default": shown(field.default),
            "current": shown(getattr(settings, name)),
            "set": name in settings.model_fields_set,
        }
        for name, field in Settings.model_fields.items()
    ]
    if as_json:
        say_json(rows)
    else:
        columns = ("name", "current", "default", "description")
        say_table("Settings (environment variables)", columns, [[row[name] for name in columns] for row in rows])
