"""A whole API on a real database, served by uvicorn in a thread, and what tests need to talk to it."""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import httpx
import psycopg
from fastapi import FastAPI
from pydantic import BaseModel, SecretStr, TypeAdapter

from api.app import ENDPOINTS, create_app
from api.http.endpoint import Routes
from api.http.problems import ProblemDetails
from api.http.server import serve
from api.http.services import Services
from domain.registry import SCRIP
from infra.log import statements
from infra.log.events import LedgerEvent
from infra.log.mapper import LedgerMapper
from infra.security.principal import Role
from infra.security.tokens import Tokens
from infra.settings import Settings
from infra.writer.ledger import Ledger
from infra.writer.reader import Reader
from infra.writer.writer import Writer
from projections import versions
from projections.runner import Runner
from tests.conftest import Database
from tests.loopback import caller
from tests.waiting import patient

ORG = "acme"
_ROUTES = Routes(ENDPOINTS)
_TYPES: dict[str, TypeAdapter[Any]] = {}  # of answers, by operation
_PROBLEM = TypeAdapter(ProblemDetails)
_AFTER = f"select {statements.COLUMNS} from events where partition = %s and position > %s order by position"
SECRET = "a secret of at least thirty-two bytes"


def settings_of(database: Database, **changed: Any) -> Settings:
    """Settings of a service on this database; tests try many bad logins from one address."""
    changed = {"failed_logins": 0} | changed
    return Settings(
        writer_url=SecretStr(database.writer_uri),
        reader_url=SecretStr(database.reader_uri),
        auditor_url=SecretStr(database.auditor_uri),
        jwt_secret=SecretStr(SECRET),
        fingerprint_secret=SecretStr("another secret of at least 32 bytes"),
        host="127.0.0.1",
        port=0,
        **changed,
    )


class Service:
    """A running API. `client()` gives an HTTP client with a login."""

    def __init__(self, database: Database, settings: Settings, app: FastAPI, writer: Writer, url: str) -> None:
        self.database, self.settings, self.app, self.writer, self.url = database, settings, app, writer, url
        self._clients: list[httpx.Client] = []
        self.stop: Callable[[], None] = lambda: None

    @property
    def services(self) -> Services:
        services: Services = self.app.state.services
        return services

    def token(self, role: str = "org_admin", sub: str = "boss", org: str = ORG, ttl_s: int = 600) -> str:
        return Tokens(self.settings).issue(org, sub, Role(role), ttl_s)[0]

    def client(self, role: str | None = "org_admin", sub: str = "boss", org: str = ORG, **headers: str) -> httpx.Client:
        """A client with a token of this role; without a login for none."""
        login = {"Authorization": f"Bearer {self.token(role, sub, org)}"} if role else {}
        hooks = {"response": [decoded]}
        client = caller(self.url, headers={**login, **headers}, timeout=patient(20), event_hooks=hooks)
        self._clients.append(client)
        return client

    def project(self) -> None:
        """Bring the read models up to date with the log, as a projector does."""
        project(self.database)

    def close(self) -> None:
        for client in self._clients:
            client.close()


def decoded(answer: httpx.Response) -> None:
    """Every answer to a test is one that its endpoint declares."""
    kind = answer.headers.get("content-type", "")
    as_asked = {"prefer", "range"} & answer.request.headers.keys()
    if as_asked or answer.request.method == "HEAD" or not kind.startswith(("application/json", "application/problem")):
        return
    body = answer.read()
    if kind.startswith("application/problem"):
        assert answer.status_code >= 400
        _PROBLEM.validate_json(body)
        return
    found, _ = _ROUTES.find(answer.request.method, answer.request.url.path)
    assert found is not None
    if found.answers is None:
        return
    assert answer.status_code in {found.status, 503}, (found.name, answer.status_code)
    if found.name not in _TYPES:
        _TYPES[found.name] = TypeAdapter(found.answers)
    told = _TYPES[found.name].validate_json(body)
    unknown = undeclared(told, answer.json())
    assert not unknown, f"{found.name} does not declare {unknown}"


def undeclared(told: Any, sent: Any, where: str = "") -> set[str]:
    """The fields of an answer that its type does not have."""
    if isinstance(told, list):
        return {name for one, other in zip(told, sent, strict=True) for name in undeclared(one, other, where)}
    if not isinstance(told, BaseModel) or told.model_config.get("extra") == "allow":
        return set()
    names = {field.alias or name: name for name, field in type(told).model_fields.items()}
    found = {f"{where}{name}" for name in sent.keys() - names.keys()}
    for alias, name in names.items():
        if alias in sent:
            found |= undeclared(getattr(told, name), sent[alias], f"{where}{alias}.")
    return found


def project(database: Database) -> None:
    """Bring the read models up to date with the log, as a projector does."""
    runner = Runner(database.projector_uri, LedgerMapper.of(SCRIP).decode)
    with psycopg.connect(database.projector_uri) as connection:
        for partition, checkpoint in runner.checkpoints().items():
            rows = connection.execute(_AFTER, (partition, checkpoint.position))
            applied = runner.apply({partition: [(LedgerEvent(*row), None) for row in rows]})
            assert not (applied.gaps or applied.stopped), applied
    runner.close()


def address(unit: str = "credits") -> str:
    """A fresh account's address."""
    return f"user:u{secrets.token_hex(5)}:{unit}"


def _on(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    loop.call_soon_threadsafe(event.set)


@contextmanager
def running(database: Database, settings: Settings | None = None, **options: Any) -> Iterator[Service]:
    """Serve until the block ends."""
    settings = settings or settings_of(database)
    versions.ensure(database.projector_uri)
    writer = Writer(database.writer_uri, SCRIP)
    reader = Reader(database.writer_uri, SCRIP, settings.request_deadline_s)
    app = create_app(settings, Ledger(writer, settings.request_deadline_s, reader), **options)
    ready, where = Event(), [""]
    control: dict[str, Callable[[], None]] = {}

    def on_ready(host: str, port: int) -> None:
        where[0] = f"http://{host}:{port}"
        ready.set()

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        control["stop"] = lambda: _on(loop, stop)
        await serve(app, settings, on_ready, stop)

    failed: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001 - handed to the test's thread
            failed.append(error)
            ready.set()

    thread = Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(20), "the API did not start in time"
    if failed:
        raise failed[0]
    service = Service(database, settings, app, writer, where[0])
    service.stop = control["stop"]
    try:
        yield service
    finally:
        service.close()
        if thread.is_alive():
            control["stop"]()
        thread.join(20)
        assert not thread.is_alive(), "the API did not stop"
