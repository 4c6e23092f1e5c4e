"""The OpenAPI document without a running API: nothing is connected, only described."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic import SecretStr

from api.routes import all_routes
from api.routes.documents import document
from api.services import Services, make_services
from infra.settings import Settings
from infra.writer.ledger import Ledger
from infra.writer.reader import Reader
from infra.writer.writer import Writer

_KEY = SecretStr("the length that a key must have, and no key")


@lru_cache(maxsize=1)
def described_services() -> Services:
    """Services that are never opened, made from the defaults and nothing of the environment."""
    settings = Settings.model_construct(
        **{name: field.get_default() for name, field in Settings.model_fields.items()}
        | {"jwt_secret": _KEY, "fingerprint_secret": _KEY}
    )
    return make_services(settings, Ledger(Writer(""), reader=Reader("")))


@lru_cache(maxsize=1)
def openapi() -> dict[str, Any]:
    """What `GET /api/openapi.json` answers."""
    return document(list(all_routes(described_services())))
