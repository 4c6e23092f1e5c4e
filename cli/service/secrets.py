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
    """The key that signs tokens, the key of request fingerprints, and each database login's password."""

    jwt: str
    fingerprint: str
    scrip_writer: str
    scrip_relay: str
    scrip_projector: str
    scrip_reader: str

    def passwords(self) -> dict[str, str]:
        """Database login -> password."""
        return {name: value for name, value in asdict(self).items() if name.startswith("scrip_")}


def read_secrets(data: Path) -> ServiceSecrets | None:
    """The secrets of the service in `data`, or None before its first start. Raises Failure for a damaged file."""
    file = data / FILE
    try:
        raw = json.loads(file.read_text())
        return ServiceSecrets(**raw)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise Failure(f"The file {file} is damaged ({error}); restore it from a backup.") from error


def ensure_secrets(folder: DataFolder) -> ServiceSecrets:
    """The secrets of the folder that we own, made now if there are none (in a file of mode 0600)."""
    known = read_secrets(folder.path)
    if known is not None:
        return known
    made = ServiceSecrets(**{field.name: secrets.token_urlsafe(32) for field in fields(ServiceSecrets)})
    write_private(folder.path / FILE, json.dumps(asdict(made), indent=1))
    return made


def secrets_of(data: Path) -> ServiceSecrets:
    """The secrets of the service in `data`, whether or not it runs; a folder without them gets them."""
    known = read_secrets(data)
    if known is not None:
        return known
    with DataFolder(data) as folder:
        return ensure_secrets(folder)
