"""What a process remembers of callers is bounded, whoever comes."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any, cast

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from api.http import services
from api.http.caller import _path_address, path_values
from api.http.services import KnownOwners
from api.log import tail
from api.log.tail import Owners
from infra.security import authenticator
from infra.security.authenticator import Authenticator
from infra.security.principal import Principal, Role
from infra.security.tokens import MAX_KEYS, KeySet, Verified

MANY = 10


def test_logins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticator, "MAX_KNOWN", 3)

    class Provider:
        async def verify(self, token: str) -> Verified:
            return Verified(Principal.of_token("acme", token, Role.USER), 2.0**40)

    made = Authenticator(cast("Any", Provider()), cast("Any", None))

    async def whole() -> None:
        for number in range(MANY):
            await made.verify(b"Bearer t%d" % number)

    asyncio.run(whole())
    assert [made.known(b"Bearer t%d" % number) is not None for number in (0, 6, 7, 8, 9)] == [
        False,
        False,
        True,
        True,
        True,
    ]


def test_keys_of_a_provider() -> None:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    key: dict[str, Any] = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(public))

    async def fetch(_url: str) -> dict[str, Any]:
        return {"keys": [key | {"kid": f"k{number}"} for number in range(MAX_KEYS + 1)]}

    async def whole() -> list[bool]:
        keys = KeySet("https://id.example/jwks", fetch)
        return [await keys.find(f"k{number}", "ES256") is not None for number in (0, MAX_KEYS - 1, MAX_KEYS)]

    assert asyncio.run(whole()) == [True, True, False]


def test_addresses() -> None:
    most = _path_address.cache_parameters()["maxsize"]
    assert most is not None
    for number in range(most + MANY):
        path_values({"address": f"user:u{number}:credits"})
    assert _path_address.cache_info().currsize == most


def test_owners_of_generations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_KNOWN", 3)
    known = KnownOwners()
    for number in range(MANY):
        known.note("acme", f"g{number}", "ann")
    assert [known.user("acme", f"g{number}") for number in (0, 6, 7, 9)] == [None, None, "ann", "ann"]


def test_owners_for_live_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "MOST_KNOWN", 3)
    asked: list[str] = []

    async def rows_of_all(_query: str, wanted: tuple[list[str], list[str]]) -> list[dict[str, Any]]:
        asked.extend(wanted[1])
        data = b'{"data":{"user":"ann"}}'
        return [{"org": org, "stream": stream, "data": data} for org, stream in zip(*wanted, strict=True)]

    known = Owners(cast("Any", SimpleNamespace(rows_of_all=rows_of_all)))

    async def whole() -> None:
        for number in [*range(MANY), 9, 0]:
            row = {"org": "acme", "stream": f"generation/g{number}"}
            assert await known.of([row]) == {("acme", row["stream"]): "ann"}

    asyncio.run(whole())
    assert asked[MANY:] == ["generation/g0"]  # the last one was known, the first one was not any more
    assert len(known._known) == 3
