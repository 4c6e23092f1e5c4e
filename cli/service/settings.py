"""The settings of an embedded service: addresses and secrets from its data folder, the rest from SCRIP_… variables."""

from __future__ import annotations

import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

from cli.failure import Failure
from infra.embedded.folder import DataFolder, read_running, write_private
from infra.postgres.session import connect_owner
from infra.settings import Settings

FILE = "secrets.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSecrets:
    """The key that signs tokens, the keys of request fingerprints and sessions, and each database login's password."""

    jwt: str
    fingerprint: str
    session: str
    scrip_writer: str
    scrip_relay: str
    scrip_projector: str
    scrip_reader: str
    scrip_auditor: str
    scrip_analyst: str

    def passwords(self) -> dict[str, str]:
        return {name: value for name, value in asdict(self).items() if name.startswith("scrip_")}


def read_secrets(data: Path) -> ServiceSecrets | None:
    """The secrets of the service in `data`, or None before its first start. Raises Failure for a damaged file."""
    known = _stored(data)
    return _complete(data, known) if known else None


def ensure_secrets(folder: DataFolder) -> ServiceSecrets:
    """The secrets of the folder that we own, in a file of mode 0600.

    What is missing is made now: everything at the first start, what a newer version needs besides at a later one.
    """
    known = _stored(folder.path)
    names = [field.name for field in fields(ServiceSecrets) if field.name not in known]
    made = _complete(folder.path, known | {name: secrets.token_urlsafe(32) for name in names})
    if names:
        write_private(folder.path / FILE, json.dumps(asdict(made), indent=1))
    return made


def secrets_of(data: Path) -> ServiceSecrets:
    """The secrets of the service in `data`, whether or not it runs; a folder without them gets them."""
    known = read_secrets(data)
    if known is not None:
        return known
    with DataFolder(data) as folder:
        return ensure_secrets(folder)


def _stored(data: Path) -> dict[str, str]:
    """What the file has, nothing before the first start. Raises Failure."""
    file = data / FILE
    try:
        raw = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise _damaged(data, error) from error
    if not isinstance(raw, dict):
        raise _damaged(data, "no object")
    return raw


def _complete(data: Path, known: dict[str, str]) -> ServiceSecrets:
    try:
        return ServiceSecrets(**known)
    except TypeError as error:
        raise _damaged(data, error) from error


def _damaged(data: Path, why: object) -> Failure:
    return Failure(f"The file {data / FILE} is damaged ({why}); restore it from a backup.")


DATABASE = "scrip"
_LOGIN = "login.json"
_OF_TOKENS = ("jwt_issuer", "jwt_audience", "jwt_sub_claim", "jwt_org_claim", "jwt_role_claim", "jwt_role_map")
ROLE_LOGINS = ("writer", "relay", "projector", "reader", "auditor")  # each has a URL in the settings


def login_uri(server: str, login: str, password: str) -> str:
    """The URI of Scrip's database on the server whose superuser's URI is `server`, for another login."""
    where = urlsplit(server)
    return f"postgresql://{login}:{quote(password, safe='')}@{where.hostname}:{where.port}/{DATABASE}"


def owner_uri(server: str) -> str:
    """The URI of Scrip's database for the superuser whose URI is `server`."""
    return urlsplit(server)._replace(path=f"/{DATABASE}").geturl()


def embedded_settings(addresses: Mapping[str, str], known: ServiceSecrets) -> Settings:
    """Settings for the servers at `addresses` (`postgres`: the superuser's URI, `kafka`, `api` once it is chosen).

    The keys in SCRIP_JWT_SECRET and SCRIP_FINGERPRINT_SECRET, where set, go before those of the data folder.
    """
    passwords = known.passwords()
    chosen: dict[str, Any] = {
        f"{role}_url": SecretStr(login_uri(addresses["postgres"], f"scrip_{role}", passwords[f"scrip_{role}"]))
        for role in ROLE_LOGINS
    }
    chosen["owner_url"] = SecretStr(owner_uri(addresses["postgres"]))
    chosen["kafka"] = addresses["kafka"]
    chosen["kafka_security"] = "PLAINTEXT"
    if "api" in addresses:
        chosen["port"] = urlsplit(addresses["api"]).port
    chosen["host"] = "127.0.0.1"
    chosen["metrics_port"] = 0  # all roles are on this machine: the API shows what can be seen from outside them
    if "SCRIP_DEVELOPMENT_LOGIN" not in os.environ and "SCRIP_OIDC_ISSUER" not in os.environ:
        chosen["development_login"] = True  # who can open this port can read the data folder's keys as well
    if "SCRIP_PAYMENTS" not in os.environ:
        chosen["payments"] = "manual"  # on one machine an administrator says what is paid
    return with_keys(Settings(**chosen), known)


def with_keys(settings: Settings, known: ServiceSecrets) -> Settings:
    """The settings with the data folder's keys where the environment has none."""
    missing = {
        name: SecretStr(value)
        for name, value in (
            ("jwt_secret", known.jwt),
            ("fingerprint_secret", known.fingerprint),
            ("session_secret", known.session),
        )
        if not getattr(settings, name).get_secret_value()
    }
    return settings.model_copy(update=missing)


def note_login(folder: DataFolder, settings: Settings, known: ServiceSecrets) -> None:
    """Keep what the tokens of this service must have, for commands that were started with another environment."""
    noted = {name: getattr(settings, name) for name in _OF_TOKENS}
    write_private(folder.path / _LOGIN, json.dumps(noted | {"secret": _mark(settings, known)}, indent=1))


def as_served(settings: Settings, data: Path, known: ServiceSecrets) -> Settings:
    """The settings with what the service in `data` was last started with, where this environment says nothing else.

    Raises Failure where that service signs with another key than this command would.
    """
    try:
        noted: dict[str, Any] = json.loads((data / _LOGIN).read_text())
    except FileNotFoundError:
        return settings
    except ValueError as error:
        raise Failure(f"{data / _LOGIN} is damaged: {error}.") from None
    if noted.get("secret") != _mark(settings, known):
        raise Failure("The service was started with another SCRIP_JWT_SECRET: set the same one here.")
    given = {name for name in _OF_TOKENS if f"SCRIP_{name.upper()}" in os.environ}
    return settings.model_copy(update={name: noted[name] for name in _OF_TOKENS if name in noted and name not in given})


def _mark(settings: Settings, known: ServiceSecrets) -> str:
    """Identifies a signing key without showing it."""
    return hmac.digest(known.session.encode(), settings.jwt_secret.get_secret_value().encode(), "sha256").hex()


def log_partitions(owner: str) -> int:
    """Into how many partitions the existing log is divided: fixed since its first start, whatever the setting says."""
    with connect_owner(owner, "scrip settings") as connection:
        row = connection.execute("select partitions from log").fetchone()
    if row is None:
        raise LookupError("the log has no row of its own")
    return int(row[0])


def settings_of(data: Path) -> Settings:
    """The settings of the service that runs in `data`. Raises Failure if none does, psycopg.Error."""
    running = read_running(data)
    if running is None or not {"postgres", "kafka"} <= running.addresses.keys():
        raise Failure(f"No service runs on {data}; start it with `scrip up --data {data}`.")
    known = secrets_of(data)
    settings = as_served(embedded_settings(running.addresses, known), data, known)
    return settings.model_copy(update={"partitions": log_partitions(settings.owner_url.get_secret_value())})
