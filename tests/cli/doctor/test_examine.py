"""`scrip doctor` finds what is wrong: each family of checks on a real service that something is done to."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from cli.api_client import Api
from cli.doctor import examine
from cli.doctor import kafka as kafka_checks
from cli.doctor.codes import CODES, Finding, Severity
from cli.doctor.examine import check_api, check_folder, check_settings, examine_remote, families
from cli.doctor.kafka import check_broker
from cli.doctor.ledger import check_ledger
from cli.doctor.postgres import check_database
from infra.disk import Room
from infra.kafka.client import kafka_arguments
from infra.kafka.topics import LEDGER, provision, topic_name
from infra.settings import Settings
from projections.versions import shape
from tests.api.generating import give, new_user
from tests.api.service import Service, settings_of
from tests.conftest import PARTITIONS, Database

NOBODY = "postgresql://nobody:x@127.0.0.1:1/none"


def codes(found: Iterator[Finding]) -> list[str]:
    return sorted({finding.code for finding in found})


def seen(found: Iterator[Finding], code: str) -> str:
    return " ".join(finding.seen for finding in found if finding.code == code)


@pytest.fixture(scope="module")
def settings(module_database: Database) -> Settings:
    """A whole and safe installation, but for the broker."""
    return settings_of(
        module_database,
        relay_url=SecretStr(module_database.relay_uri),
        projector_url=SecretStr(module_database.projector_uri),
        owner_url=SecretStr(module_database.owner_uri),
        partitions=PARTITIONS,
        kafka="127.0.0.1:1",
    )


def changed(settings: Settings, **to: Any) -> Settings:
    return settings.model_copy(update=to)


def test_safe_settings(settings: Settings) -> None:
    assert codes(check_settings(settings)) == []


@pytest.mark.parametrize(
    ("to", "code", "named"),
    [
        ({"fingerprint_secret": SecretStr("short")}, "keys-missing", "SCRIP_FINGERPRINT_SECRET"),
        ({"jwt_secret": SecretStr("short")}, "keys-missing", "SCRIP_JWT_SECRET"),
        ({"jwt_secret": SecretStr("")}, "keys-missing", "SCRIP_JWKS_URL"),
        ({"relay_url": SecretStr("")}, "setting-wrong", "SCRIP_RELAY_URL"),
        ({"kafka": ""}, "kafka-misconfigured", "SCRIP_KAFKA"),
        ({"kafka_security": "SASL_SSL"}, "kafka-misconfigured", "SCRIP_KAFKA_USERNAME"),
        ({"payments": "signed"}, "payments-misconfigured", "SCRIP_PAYMENTS"),
        ({"development_login": True, "host": "0.0.0.0"}, "development-login", "0.0.0.0"),  # noqa: S104
        ({"jwks_url": "http://127.0.0.1:1/keys"}, "unauthenticated", "SCRIP_JWKS_URL"),
    ],
)
def test_settings_that_are_wrong(settings: Settings, to: dict[str, Any], code: str, named: str) -> None:
    assert named in seen(check_settings(changed(settings, **to)), code)


def test_a_safe_database(settings: Settings) -> None:
    assert codes(check_database(settings)) == []


def test_a_database_that_is_away_or_another(settings: Settings, module_database: Database) -> None:
    away = changed(settings, relay_url=SecretStr(NOBODY), auditor_url=SecretStr(NOBODY))
    assert codes(check_database(away)) == ["postgres-away"]
    with psycopg.connect(module_database.owner_uri, autocommit=True) as owner_session:
        owner_session.execute("create database without_a_log")
    empty = SecretStr(make_conninfo(module_database.auditor_uri, dbname="without_a_log"))
    assert "log-missing" in codes(check_database(changed(settings, auditor_url=empty)))
    with psycopg.connect(module_database.owner_uri, autocommit=True) as owner_session:
        owner_session.execute("drop database without_a_log with (force)")
    owner = SecretStr(module_database.owner_uri)
    assert "a superuser" in seen(check_database(changed(settings, writer_url=owner)), "login-rights")
    assert codes(check_database(changed(settings, partitions=99))) == ["partitions-differ"]


def test_an_unsafe_database(settings: Settings, module_database: Database) -> None:
    name = psycopg.conninfo.conninfo_to_dict(module_database.owner_uri)["dbname"]
    with psycopg.connect(module_database.owner_uri, autocommit=True) as owner:
        owner.execute(f'alter database "{name}" set synchronous_commit = off')  # type: ignore[arg-type, unused-ignore]
        owner.execute("alter table events no force row level security")
        owner.execute("grant delete on events to scrip_projector")
        try:
            found = list(check_database(settings))
        finally:
            owner.execute(f'alter database "{name}" reset synchronous_commit')  # type: ignore[arg-type, unused-ignore]
        assert codes(iter(found)) == ["postgres-not-durable"]
        assert codes(check_database(settings)) == ["login-rights", "row-level-security"]
        owner.execute("alter table events force row level security")
        owner.execute("revoke delete on events from scrip_projector")


def test_migrations_and_clocks(settings: Settings, module_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(module_database.owner_uri, autocommit=True) as owner:
        last = owner.execute("select max(name) from schema_migrations").fetchone()
        owner.execute("update schema_migrations set name = '9999_tomorrow.sql' where name = %s", last)
        found = list(check_database(settings))
        owner.execute("update schema_migrations set name = %s where name = '9999_tomorrow.sql'", last)
    assert last is not None
    assert last[0] in seen(iter(found), "migrations-missing")
    assert {finding.severity for finding in found} == {Severity.WRONG, Severity.LOOK}
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 90)
    assert "90 s apart" in seen(check_database(settings), "clock-skew")


def test_kafka(settings: Settings, kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_checks, "DEADLINE_S", 60.0)
    assert codes(check_broker(settings)) == ["kafka-away"]
    reached = changed(settings, kafka=kafka, topic_prefix=topic_prefix)
    assert codes(check_broker(reached)) == ["topic-missing"]
    asyncio.run(provision(reached, PARTITIONS))
    assert codes(check_broker(reached)) == []
    assert "replicas" in seen(check_broker(changed(reached, kafka_replication=3)), "topic-settings")
    monkeypatch.setattr(kafka_checks, "LATE", -1)
    assert codes(check_broker(reached)) == ["usage-not-counted"]
    asyncio.run(_forget(reached))
    assert "retention.ms" in seen(check_broker(reached), "topic-settings")


async def _forget(settings: Settings) -> None:
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    admin = AIOKafkaAdminClient(**kafka_arguments(settings))
    await admin.start()
    changed_to = {"retention.ms": "1000"}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic_name(settings, LEDGER), changed_to)])
    await admin.close()


@pytest.fixture
def sick(settings: Settings, module_database: Database) -> Callable[..., list[Finding]]:
    """Does something to the database and examines the ledger."""

    def examine(*statements: str) -> list[Finding]:
        with psycopg.connect(module_database.owner_uri, autocommit=True) as owner:
            schema = owner.execute("select 'read_g' || max(live) from read_generation").fetchone()
            for statement in statements:
                owner.execute(statement.replace("READ", schema[0] if schema else ""))  # type: ignore[arg-type, unused-ignore]
        return list(check_ledger(settings))

    return examine


def test_a_quiet_ledger(service: Service, settings: Settings) -> None:
    service.project()
    # No relay runs here; whatever else there is to say of it, nothing else is wrong.
    found = [finding for finding in check_ledger(settings) if finding.severity is Severity.WRONG]
    assert codes(iter(found)) == ["relay-inactive"]
    with psycopg.connect(settings.relay_url.get_secret_value()) as relay:
        relay.execute("update leases set until = clock_timestamp() + interval '1 hour' where name = 'relay'")
    assert "relay-inactive" not in codes(check_ledger(settings))
    with psycopg.connect(settings.relay_url.get_secret_value()) as relay:  # as one that hangs leaves it
        relay.execute("update leases set until = clock_timestamp() where name = 'relay'")
    assert "relay-inactive" in codes(check_ledger(settings))


def test_holds_lag_and_stops(service: Service, sick: Callable[..., list[Finding]]) -> None:
    user = new_user(service, credits=100)
    path = f"/api/v1/accounts/user:{user}:credits/reservations"
    assert service.client().post(path, json={"amount": 7}).status_code == 201
    service.project()
    found = sick(
        "update READ.reservations set expires_at = now() - interval '1 hour', created_at = now() - interval '2 days'"
    )
    assert {"holds-overdue", "oldest-hold"} <= set(codes(iter(found)))
    assert "48 hours" in seen(iter(found), "oldest-hold")
    service.project()
    found = sick("insert into read_stops (partition, position, reason) values (1, 5, 'unknown type x')")
    assert "unknown type x" in seen(iter(found), "read-models-stopped")
    sick("delete from read_stops")
    found = sick(
        "insert into topic_faults (topic, partition, kind, first_offset, last_offset, records, position, reason)"
        " values ('scrip.ledger', 1, 'missing', 17, 17, 1, 5, 'events 5 to 9')"
    )
    assert "before offset 17: events 5 to 9" in seen(iter(found), "topic-faults")
    sick("delete from topic_faults")


def test_quarantine_webhooks_verify_and_rebuild(service: Service, sick: Callable[..., list[Finding]]) -> None:
    service.project()
    found = sick(
        "insert into quarantine (id, org, source, event_id, reason, detail, body) values"
        " ('q1', 'globex', 's', 'e', 'unpriced', 'd', 'sealed')",
        "insert into webhooks (id, org, url, secret, disabled_reason, created_by)"
        " values ('w1', 'globex', 'https://example.com', '', 'it answers 500', 'me')",
        "insert into audits (by, started_at, holds, report) values ('cli', now(), false, '{}')",
        "insert into rebuilds (by, state, ended_at, error) values ('me', 'failed', now(), 'LookupError: x')",
        "update READ.prices set entries = '[]'",
    )
    told = {finding.code: finding.seen for finding in found}
    assert "1 of globex by the reason unpriced" in told["quarantine"]
    assert told["webhooks-disabled"] == "Webhook w1 of globex: it answers 500."
    assert "by cli, found a difference" in told["verify-does-not-hold"]
    assert told["rebuild-failed"].endswith("failed: LookupError: x")
    assert "no-prices" in told
    assert "verify-old" not in told
    found = sick(
        "delete from quarantine",
        "delete from webhooks",
        "delete from audits",
        "delete from rebuilds",
        "update log set created_at = now() - interval '30 days'",
    )
    assert "verify-old" in codes(iter(found))


def test_what_organisations_would_wonder_about(service: Service, sick: Callable[..., list[Finding]]) -> None:
    """S1: limits not enforced. S3: out of tokens, but on Pro."""
    boss = service.client()
    assert boss.post("/api/groups", json={"id": "g1", "name": "g1", "image_limit": 3}).status_code == 201
    assert boss.patch("/api/v1/organisations/acme", json={"enforce": ["credits"]}).status_code == 200
    give(service, f"user:{new_user(service)}:credits", 1)
    service.project()
    found = sick("update READ.organisations set plan = 'pro', tokens = '{}', credits = 0 where org = 'acme'")
    assert "acme has 1 groups with limits" in seen(iter(found), "limits-not-enforced")
    assert "acme is on the plan pro" in seen(iter(found), "out-of-tokens-on-a-plan")


def test_read_models_of_another_version_or_none(
    service: Service, sick: Callable[..., list[Finding]], settings: Settings
) -> None:
    service.project()
    assert "read-models-old" in codes(iter(sick("update read_generation set shape = '1-old'")))
    assert "read-models-old" not in codes(iter(sick(f"update read_generation set shape = '{shape()}'")))
    assert codes(check_ledger(changed(settings, auditor_url=SecretStr(NOBODY)))) == []


def test_the_api(service: Service, settings: Settings) -> None:
    assert codes(check_api(settings, service.url)) == []
    assert codes(check_api(changed(settings, port=1))) == ["api-down"]
    service.services.metrics.refused("create_generation", "unpriced")
    assert "1 requests named a model without a price" in seen(check_api(settings, service.url), "unpriced")


def test_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def room(free: int) -> None:
        monkeypatch.setattr(examine, "room_of", lambda folder, name: Room(name, folder, free, 10**12, device=1))

    for free, severity in ((10**8, Severity.WRONG), (2 * 1024**3, Severity.LOOK)):
        room(free)  # three folders, one disk: told once
        assert [(each.code, each.severity) for each in check_folder(tmp_path)] == [("disk-full", severity)]
    room(10**11)
    assert list(check_folder(tmp_path)) == []


def test_a_remote_service(service: Service) -> None:
    give(service, f"user:{new_user(service)}:credits", 1)
    with Api(service.url, service.token("admin"), "acme") as api:
        found = list(examine_remote(api))
    assert "verify-old" in codes(iter(found))
    for finding in found:
        assert set(finding.as_json()) == {"code", "severity", "seen", "meaning", "action", "runbook"}


def test_every_family_and_every_code_says_what_to_do(settings: Settings, tmp_path: Path) -> None:
    names = [name for name, _ in families(settings, tmp_path)]
    assert names == ["settings", "PostgreSQL", "Kafka", "API", "ledger", "machine"]
    folder = Path(examine.__file__).parent
    text = "".join(file.read_text() for file in folder.glob("*.py") if file.name != "codes.py")
    told = text + (folder.parent / "commands" / "doctor.py").read_text()
    assert [code for code in CODES if f'"{code}"' not in told] == []
    for code in CODES.values():
        assert code.meaning.endswith(".")
        assert code.action.endswith(".")
