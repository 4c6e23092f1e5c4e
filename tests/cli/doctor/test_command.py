"""`scrip doctor` as a person and as a program run it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.app import app
from cli.doctor.codes import CODES
from cli.failure import Failure
from tests.api.service import Service
from tests.conftest import Database


def run(*arguments: str, **environment: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["doctor", *arguments], env=environment)
    return result.exit_code, result.stdout


def as_json(*arguments: str, **environment: str) -> tuple[int, Any]:
    status, text = run(*arguments, "--json", **environment)
    return status, json.loads(text)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SCRIP_WRITER_URL", "SCRIP_DATA", "SCRIP_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_what_the_variables_name(module_database: Database) -> None:
    logins = ("writer", "relay", "projector", "reader", "auditor")
    uris = {f"SCRIP_{login.upper()}_URL": getattr(module_database, f"{login}_uri") for login in logins}
    known = {"SCRIP_JWT_SECRET": "x" * 32, "SCRIP_PARTITIONS": "4", "SCRIP_PORT": "1", "SCRIP_KAFKA": "127.0.0.1:1"}
    status, told = as_json(**uris, **known)
    assert (status, told["ok"]) == (1, False)
    assert told["examined"] == ["settings", "PostgreSQL", "Kafka", "API", "ledger"]
    found = {finding["code"]: finding for finding in told["findings"]}
    assert {"keys-missing", "kafka-away", "api-down", "relay-inactive"} <= found.keys()
    assert found["keys-missing"]["seen"].startswith("SCRIP_FINGERPRINT_SECRET")
    assert found["keys-missing"]["action"] == CODES["keys-missing"].action
    assert found["keys-missing"]["runbook"] == "docs/runbook.md#keys-missing"
    assert "for-tests-only" not in json.dumps(told)


def test_a_remote_service(service: Service) -> None:
    service.project()
    token = service.token("auditor")
    status, text = run("--url", service.url, "--token", token, "--org", "acme")
    assert "verify-old" in text
    assert "docs/runbook.md#verify-old" in text
    assert (status == 1) == ("something is WRONG" in text)
    assert token not in text


def test_a_remote_service_is_asked_in_the_tokens_own_organisation(service: Service) -> None:
    service.project()
    status, told = as_json("--url", service.url, "--token", service.token("auditor"))
    assert told["examined"] == ["the service's own figures"]
    assert "api-down" not in [finding["code"] for finding in told["findings"]]
    assert (status == 0) == told["ok"]


@pytest.mark.parametrize("role", ["worker", "user"])
def test_a_token_that_may_not_look_says_nothing_about_the_service(service: Service, role: str) -> None:
    result = CliRunner().invoke(app, ["doctor", "--url", service.url, "--token", service.token(role)])
    assert isinstance(result.exception, Failure)
    assert "answers, but not to this token, which must be an admin's or auditor's: 403" in str(result.exception)


def test_a_service_that_is_not_there(tmp_path: Path) -> None:
    status, told = as_json("--data", str(tmp_path / "none"))
    assert status == 1
    assert [finding["code"] for finding in told["findings"]] == ["server-does-not-start"]
    status, text = run("--url", "http://127.0.0.1:1", "--token", "x")
    assert status == 1
    assert "api-down" in text
