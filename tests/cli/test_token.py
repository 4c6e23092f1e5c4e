"""`scrip token`: what it prints is a token that the service accepts."""

import asyncio
import json
import stat
from pathlib import Path

import jwt

from cli.service.settings import note_login, read_secrets, with_keys
from infra.embedded.folder import DataFolder
from infra.security.principal import Role
from infra.security.tokens import Tokens
from infra.settings import Settings
from tests.cli.program import scrip


def test_the_token_is_alone_on_the_last_line_and_is_accepted(tmp_path: Path) -> None:
    data = tmp_path / "data"
    answer = scrip("token", "--org", "acme", "--sub", "u_42", "--role", "worker", "--data", str(data))
    assert answer.returncode == 0
    token = answer.stdout.splitlines()[-1]
    known = read_secrets(data)
    assert known is not None
    verified = asyncio.run(Tokens(with_keys(Settings(), known)).verify(token))
    assert (verified.principal.org, verified.principal.role) == ("acme", Role.WORKER)
    assert jwt.decode(token, known.jwt, algorithms=["HS256"])["sub"] == "u_42"


def test_the_secrets_are_made_once_and_are_private(tmp_path: Path) -> None:
    data = tmp_path / "data"
    scrip("token", "--sub", "u", "--data", str(data))
    first = read_secrets(data)
    scrip("token", "--sub", "u", "--data", str(data))
    assert first is not None
    assert read_secrets(data) == first
    assert len(first.jwt) >= 32
    assert stat.S_IMODE((data / "secrets.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


def test_the_token_lasts_as_long_as_was_asked(tmp_path: Path) -> None:
    answer = scrip("token", "--sub", "u", "--ttl", "60", "--json", "--data", str(tmp_path / "data"))
    claims = jwt.decode(json.loads(answer.stdout)["token"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 60
    assert claims["role"] == "user"


def test_an_unknown_role_is_one_sentence(tmp_path: Path) -> None:
    answer = scrip("token", "--sub", "u", "--role", "root", "--data", str(tmp_path / "data"))
    assert answer.returncode == 1
    assert answer.stderr.startswith("scrip: There is no role root; the roles are user, worker")


def test_a_damaged_secrets_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text("{")
    answer = scrip("token", "--sub", "u", "--data", str(tmp_path))
    assert answer.returncode == 1
    assert "secrets.json is damaged" in answer.stderr
    assert (tmp_path / "secrets.json").read_text() == "{"


def test_the_token_has_what_the_running_service_asks_for(tmp_path: Path) -> None:
    """`scrip up` was started with an issuer, an audience and a role's place that this shell does not know."""
    known_settings = Settings(jwt_issuer="https://id.example", jwt_audience="scrip", jwt_role_claim="/realm/roles")
    scrip("token", "--sub", "u", "--data", str(tmp_path))
    known = read_secrets(tmp_path)
    assert known is not None
    with DataFolder(tmp_path) as folder:
        note_login(folder, with_keys(known_settings, known), known)
    answer = scrip("token", "--sub", "u", "--org", "acme", "--data", str(tmp_path))
    verified = asyncio.run(Tokens(with_keys(known_settings, known)).verify(answer.stdout.splitlines()[-1]))
    assert verified.principal.org == "acme"
    other = "another secret of at least 32 bytes"
    refused = scrip("token", "--sub", "u", "--data", str(tmp_path), SCRIP_JWT_SECRET=other)
    assert refused.returncode != 0
    assert "another SCRIP_JWT_SECRET" in refused.stderr + refused.stdout


def test_what_is_no_id_gets_no_token(tmp_path: Path) -> None:
    for wrong in (("--sub", ".."), ("--sub", "u", "--org", "."), ("--sub", "a b")):
        answer = scrip("token", *wrong, "--data", str(tmp_path))
        assert answer.returncode != 0
        assert "is not the id of" in answer.stderr + answer.stdout
