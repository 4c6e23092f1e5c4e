"""compose.yaml is valid, and says the same as the code: roles, settings, images, health checks."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec.models import ComposeSpecification

from cli.app import app
from infra.settings import Settings

ROOT = Path(__file__).parents[2]
ROLES = ("prepare", "api", "relay", "projector", "intake", "sweeper", "notifier")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file, with YAML's anchors resolved."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return document


def test_it_follows_the_compose_specification(compose: dict[str, Any]) -> None:
    known = {name: part for name, part in compose.items() if not name.startswith("x-")}
    assert ComposeSpecification.model_validate(known).services is not None


def test_every_role_is_a_command_of_the_cli(compose: dict[str, Any]) -> None:
    commands = {
        command.name or (command.callback.__name__ if command.callback else "") for command in app.registered_commands
    }
    for role in ROLES:
        assert compose["services"][role]["command"] == [role]
        assert role in commands


@pytest.mark.parametrize("profile", ["development", "production"])
def test_every_variable_is_a_setting(profile: str) -> None:
    lines = (ROOT / "infra" / "compose" / f"{profile}.env").read_text().splitlines()
    names = [line.partition("=")[0] for line in lines if line and not line.startswith("#")]
    settings = {f"SCRIP_{name.upper()}" for name in Settings.model_fields}
    assert names and set(names) <= settings


def test_production_connects_by_tls_and_sasl_only(compose: dict[str, Any]) -> None:
    text = (ROOT / "infra" / "compose" / "production.env").read_text()
    urls = re.findall(r"^SCRIP_\w+_URL=postgresql:.*$", text, re.MULTILINE)
    assert len(urls) == 5
    assert all("sslmode=verify-full" in url for url in urls)
    assert "SCRIP_KAFKA_SECURITY=SASL_SSL" in text
    listeners = compose["services"]["kafka-tls"]["environment"]["KAFKA_LISTENERS"]
    assert listeners.startswith("SASL_SSL://")


def test_servers_are_healthy_before_the_roles_start(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for server in ("postgres", "postgres-tls", "kafka", "kafka-tls"):
        assert services[server]["healthcheck"]["test"]
        assert services["prepare"]["depends_on"][server]["condition"] == "service_healthy"
    for role in ROLES[1:]:
        assert services[role]["depends_on"]["prepare"]["condition"] == "service_completed_successfully"


def test_data_is_kept_in_volumes(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(compose["volumes"]) == {"postgres", "kafka"}
    for server in ("postgres", "postgres-tls", "kafka", "kafka-tls"):
        named = services[server]["volumes"][0].partition(":")[0]
        assert named in compose["volumes"]


def test_the_image_has_everything_that_the_wheel_has() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = re.findall(r"^COPY (\w+) \w+$", (ROOT / "infra" / "compose" / "Dockerfile").read_text(), re.MULTILINE)
    assert set(wheel["packages"]) == set(copied)


@pytest.mark.parametrize("profile", ["development", "production"])
def test_the_api_gets_every_secret_that_it_does_not_start_without(profile: str) -> None:
    text = (ROOT / "infra" / "compose" / f"{profile}.env").read_text()
    for name in ("FINGERPRINT_SECRET", "SESSION_SECRET", "READER_URL", "AUDITOR_URL"):
        assert re.search(rf"^SCRIP_{name}=\S+", text, re.MULTILINE)


def test_nothing_needs_to_be_set_to_try_it_out(compose: dict[str, Any]) -> None:
    """Compose reads the whole file for each profile: one required variable of the other profile stops this one."""
    required = re.compile(r"\$\{\w+:\?")
    assert not required.search((ROOT / "compose.yaml").read_text())
    development = (ROOT / "infra" / "compose" / "development.env").read_text()
    assert "$" not in development
    assert "SCRIP_DEVELOPMENT_LOGIN=true" in development.splitlines()
    passwords = {
        name: compose["services"][name]["environment"]["POSTGRES_PASSWORD"] for name in ("postgres", "postgres-tls")
    }
    assert passwords["postgres"] == "${SCRIP_OWNER_PASSWORD:-development}"
    assert passwords["postgres-tls"] == "${SCRIP_OWNER_PASSWORD:-}"
    assert compose["services"]["postgres-tls"]["environment"]["POSTGRES_DB"] == "scrip"


def test_production_takes_tokens_of_its_issuer_for_its_audience_only() -> None:
    lines = (ROOT / "infra" / "compose" / "production.env").read_text().splitlines()
    for name in ("SCRIP_JWT_ISSUER", "SCRIP_JWT_AUDIENCE"):
        assert any(line.startswith(f"{name}=${{{name}:?") for line in lines)
    assert not any("DEVELOPMENT_LOGIN" in line for line in lines)


def test_the_builder_gets_what_it_copies_and_no_secret() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "infra" / "compose" / "Dockerfile").read_text(), re.MULTILINE)
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == {name for line in copied for name in line.split()}
    assert ignored.index("infra/compose/tls") > ignored.index("!infra")


def test_the_logs_of_every_container_are_bounded(compose: dict[str, Any]) -> None:
    options = [service["logging"]["options"] for service in compose["services"].values()]
    assert options == [{"max-size": "8m", "max-file": "5"}] * len(compose["services"])
