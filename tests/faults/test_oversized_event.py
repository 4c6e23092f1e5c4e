"""Drill: an event too large for Kafka stands in the log, as an older version would have stored it.

The stop is seen everywhere within seconds, the other partitions go on, and one command lets this one go on too.
"""

import asyncio
import html
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any

import httpx
import psycopg
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from cli.app import app
from cli.commands.operate import audit
from consumers.projector import run_projector
from domain.credits.address import stream_of
from domain.credits.commands import Debit, Grant
from domain.credits.events import CreditsGranted, Slice
from infra.kafka import topics
from infra.partitions import partition_of
from infra.relay.relay import Relay
from infra.relay.role import relay_metrics, relay_of
from infra.settings import Settings
from tests.api.service import Service, settings_of
from tests.conftest import PARTITIONS, Database
from tests.console.conftest import csrf_of, with_console
from tests.consumers.projecting import positions
from tests.infra.relaying import committed, stored
from tests.projections.log_builder import LogBuilder, write
from tests.waiting import ENOUGH_S, patient, wait_until

SEEN_S, GOES_ON_S = 5.0, 10.0
ACCOUNT = "user:u:credits"
STOPPED = partition_of("acme", PARTITIONS)
OTHER = next(name for name in map("org-{}".format, range(99)) if partition_of(name, PARTITIONS) != STOPPED)


@pytest.fixture
def settings(database: Database, kafka: str, topic_prefix: str) -> Settings:
    """A whole deployment."""
    found = settings_of(
        database,
        relay_url=SecretStr(database.relay_uri),
        projector_url=SecretStr(database.projector_uri),
        kafka=kafka,
        topic_prefix=topic_prefix,
        session_secret=SecretStr("the key of cookies, at least 32 bytes"),
        development_login=True,
        partitions=PARTITIONS,
    )
    asyncio.run(topics.provision(found, PARTITIONS))
    return found


@contextmanager
def roles(settings: Settings) -> Iterator[Relay]:
    """A relay and a projector at work."""
    relay, ready = relay_of(settings), Event()
    control: dict[str, Any] = {}

    async def main() -> None:
        stop = asyncio.Event()
        control["loop"], control["stop"] = asyncio.get_running_loop(), stop
        await asyncio.gather(relay.run(stop, ready.set), run_projector(settings, stop))

    thread = Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        assert ready.wait(ENOUGH_S)
        yield relay
    finally:
        control["loop"].call_soon_threadsafe(control["stop"].set)
        thread.join(ENOUGH_S)


def too_large() -> LogBuilder:
    """Three events of `acme`, of which the second has 1.2 MB, and two of another organisation."""
    log = LogBuilder(PARTITIONS)
    log.now = datetime.now(UTC)
    log.do(Grant(address=ACCOUNT, grant_id="g1", amount=10, source="gift"))
    grant = Slice("g2", 10, "gift", 50, None, log.now)
    log.store("acme", stream_of(ACCOUNT), CreditsGranted(grant=grant, sealed="x" * 1_200_000))
    log.do(Debit(address=ACCOUNT, debit_id="d1", amount=1))
    log.do(Grant(address=ACCOUNT, grant_id="g1", amount=10, source="gift"), OTHER)
    log.do(Debit(address=ACCOUNT, debit_id="d1", amount=1), OTHER)
    return log


def command(settings: Settings, service: Service, *arguments: str) -> tuple[int, Any]:
    """The exit status and the JSON of a command that examines this deployment."""
    secrets = ("writer_url", "reader_url", "auditor_url", "relay_url", "jwt_secret", "fingerprint_secret")
    variables = {f"SCRIP_{name.upper()}": getattr(settings, name).get_secret_value() for name in secrets}
    variables |= {"SCRIP_KAFKA": settings.kafka, "SCRIP_TOPIC_PREFIX": settings.topic_prefix}
    variables |= {"SCRIP_PARTITIONS": str(PARTITIONS), "SCRIP_PORT": service.url.rpartition(":")[2]}
    result = CliRunner().invoke(app, [*arguments, "--json"], env=variables)
    # The relay beside it writes its own lines to the same standard output.
    told, _ = json.JSONDecoder().raw_decode(result.stdout[result.stdout.index("{") :])
    return result.exit_code, told


def health(service: Service) -> dict[str, Any]:
    told: dict[str, Any] = service.client(None).get("/health").json()
    return told


def unpublished(service: Service) -> str:
    text = service.client(None).get("/metrics").text
    found = re.search(r'^scrip_unpublished_partitions{refused="true"} (\S+)$', text, re.MULTILINE)
    return found[1] if found else ""


def operators_page(service: Service) -> str:
    with httpx.Client(base_url=service.url, timeout=patient(20)) as client:
        login = {"csrf": csrf_of(client.get("/login").text), "org": "platform", "sub": "op", "role": "admin"}
        assert client.post("/login", data={**login, "next": "/"}).status_code == 303
        return html.unescape(client.get("/operator").text)


def test_it_is_seen_at_once_and_one_command_gets_past_it(settings: Settings, database: Database) -> None:
    with with_console(database, settings) as service, roles(settings) as relay:
        wait_until(lambda: health(service)["status"] == "healthy", 30, "the service is well")
        log = too_large()
        write(database.owner_uri, log.events)

        said = f"Partition {STOPPED} is not published: event 2 does not get into the ledger's topic since "
        wait_until(lambda: any(issue.startswith(said) for issue in health(service)["issues"]), SEEN_S, "it is seen")
        (issue,) = health(service)["issues"]
        assert "MessageSizeTooLargeError" in issue
        assert health(service)["status"] == "degraded"
        wait_until(lambda: unpublished(service) == "1.0", SEEN_S, "the metric says so")
        shown = {sample.name: sample.value for family in relay_metrics(relay).collect() for sample in family.samples}
        assert (shown["scrip_relay_stopped_partitions"], shown["scrip_relay_refused_partitions"]) == (1, 1)
        figures = service.client("admin", org="platform").get("/api/v1/operations").json()
        assert (figures["relay"]["status"], figures["relay"]["runbook"]) == ("act", "relay-stopped")
        assert said in operators_page(service)
        status, found = command(settings, service, "doctor")
        assert status == 1
        assert any(each["code"] == "relay-stopped" and said in each["seen"] for each in found["findings"]), found
        other = partition_of(OTHER, PARTITIONS)
        wait_until(lambda: positions(database).get(other) == 2, 30, "the other partitions go on")

        status, told = command(settings, service, "unblock", "--partition", str(STOPPED))
        assert (status, told["ok"]) == (0, True), told
        (done,) = told["partitions"]
        assert (done["partition"], done["position"]) == (STOPPED, 2)
        assert 1_200_000 < done["size"] < 1_210_000
        wait_until(lambda: relay.positions.get(STOPPED) == 3, GOES_ON_S, "it is published")
        wait_until(lambda: positions(database).get(STOPPED) == 3, 30, "it is projected")
        wait_until(lambda: health(service)["status"] == "healthy", 30, "the service is well again")
        assert command(settings, service, "unblock")[1] == {"ok": True, "partitions": []}
        asyncio.run(topics.check(settings, PARTITIONS))  # no other setting of the topic has changed
        report = audit(settings)
        assert report.ok, report
    for partition in range(PARTITIONS):
        assert asyncio.run(committed(settings, partition)) == stored(database.owner_uri, partition)
    with psycopg.connect(database.auditor_uri) as connection:
        rows = connection.execute("select org, available from read.balances order by org").fetchall()
    assert rows == [("acme", 19), (OTHER, 9)]
