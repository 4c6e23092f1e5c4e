"""The secrets of one embedded service: made at its first start, kept in its data folder."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from cli.failure import Failure
from infra.embedded.folder import DataFolder, write_private

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
        """Database login -> password."""
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
