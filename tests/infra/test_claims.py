"""Tokens of identity providers as they come: where their roles are, what they mean, and what signs them."""

import asyncio
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr

from infra.security.principal import Role, Unauthenticated
from infra.security.tokens import KeySet, Tokens, UnsafeRoleMap, role_map
from infra.settings import Settings

URL = "https://id.example/jwks"
RSA_KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
EC = {"e256": ec.SECP256R1(), "e384": ec.SECP384R1(), "e521": ec.SECP521R1()}
KEYS: dict[str, Any] = {name: ec.generate_private_key(curve) for name, curve in EC.items()} | {
    "rsa": RSA_KEY,
    "pinned": RSA_KEY,
    "ed": ed25519.Ed25519PrivateKey.generate(),
}
TO_JWK: dict[str, Any] = {
    "r": jwt.algorithms.RSAAlgorithm.to_jwk,
    "p": jwt.algorithms.RSAAlgorithm.to_jwk,
    "e": jwt.algorithms.ECAlgorithm.to_jwk,
}


def document() -> dict[str, Any]:
    keys = []
    for name, key in KEYS.items():
        to_jwk = jwt.algorithms.OKPAlgorithm.to_jwk if name == "ed" else TO_JWK[name[0]]
        entry = json.loads(to_jwk(key.public_key()))
        entry.pop("key_ops", None)
        keys.append(entry | {"kid": name, "use": "sig"} | ({"alg": "PS256"} if name == "pinned" else {}))
    return {"keys": keys}


async def fetch(_url: str) -> dict[str, Any]:
    return document()


def tokens(**settings: Any) -> Tokens:
    chosen = Settings(jwks_url=URL, **settings)
    return Tokens(chosen, KeySet(URL, fetch))


def signed(kid: str = "rsa", algorithm: str = "RS256", key: Any = None, **claims: Any) -> str:
    body = {"sub": "u_1", "org": "acme", "role": "user", "exp": int(time.time()) + 60} | claims
    return jwt.encode(body, key or KEYS[kid], algorithm=algorithm, headers={"kid": kid})


def role(made: Tokens, token: str) -> str:
    """The role that a token has, or why it is refused."""
    try:
        return str(asyncio.run(made.verify(token)).principal.role)
    except Unauthenticated as refused:
        return refused.code


@pytest.mark.parametrize(
    ("kid", "algorithm", "good"),
    [
        *(("rsa", name, True) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        *(("e256", "ES256", True), ("e384", "ES384", True), ("e521", "ES512", True), ("ed", "EdDSA", True)),
        *(("pinned", "PS256", True), ("pinned", "RS256", False), ("pinned", "RS512", False)),
    ],
)
def test_what_a_published_key_signs(kid: str, algorithm: str, *, good: bool) -> None:
    assert role(tokens(), signed(kid, algorithm)) == ("user" if good else "invalid_token")


def test_no_key_and_no_public_key_signs() -> None:
    made = tokens(jwt_secret=SecretStr(""))
    public = RSA_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo).hex()
    for algorithm in ("HS256", "HS384", "HS512"):
        assert role(made, signed("rsa", algorithm, public)) == "invalid_token"
    bare = jwt.encode({"sub": "u_1", "org": "acme", "role": "admin", "exp": 2**33}, "", algorithm="none")
    assert role(made, bare) == "invalid_token"


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("role", {"role": "worker"}),
        ("roles", {"roles": ["worker"]}),  # Entra ID
        ("realm_access.roles", {"realm_access": {"roles": ["offline_access", "worker"]}}),  # Keycloak
        ("/resource_access/my.client/roles", {"resource_access": {"my.client": {"roles": ["worker"]}}}),
        ("https://acme.example/roles", {"https://acme.example/roles": ["worker"]}),  # Auth0
        ("cognito:groups", {"cognito:groups": ["worker"]}),
        ("/a~1b/c~0d", {"a/b": {"c~d": "worker"}}),
    ],
)
def test_where_a_provider_puts_its_roles(claim: str, claims: dict[str, Any]) -> None:
    made = tokens(jwt_role_claim=claim)
    assert role(made, signed(**{"role": None, **claims})) == "worker"
    assert role(made, signed(role=None)) == "invalid_token"


@pytest.mark.parametrize(
    ("given", "mapping", "meant"),
    [
        (["user", "worker", "org_admin"], "", "org_admin"),
        (["worker", "auditor"], "", "auditor"),
        (["admin"], "", "invalid_token"),  # a list's own admin is no admin of the platform
        (["admin", "user"], "", "user"),
        (["Root"], "Root=admin", "admin"),
        ("admin", "", "admin"),
        (["admin", "user"], "Scrip.User=user,Scrip.Boss=org_admin", "invalid_token"),  # theirs, which is not mapped
        (["Scrip.User", "Scrip.Boss"], "Scrip.Boss=org_admin,Scrip.User=user", "org_admin"),
        (["Scrip.User", "Scrip.Boss"], "Scrip.User=user,Scrip.Boss=org_admin", "user"),  # the order is the choice
        ("Scrip.User", "Scrip.User = user", "user"),
        (["a=b"], "a=b=auditor", "auditor"),
        ([], "", "invalid_token"),
        ([5, None, ["user"]], "", "invalid_token"),
        ({"user": True}, "", "invalid_token"),
        (True, "", "invalid_token"),
        ("User", "", "invalid_token"),
    ],
)
def test_what_a_providers_roles_mean(given: Any, mapping: str, meant: str) -> None:
    assert role(tokens(jwt_role_map=mapping), signed(role=given)) == meant


def test_subject_and_organisation_may_be_nested() -> None:
    made = tokens(jwt_sub_claim="profile.id", jwt_org_claim="/org/0id")
    token = signed(sub="other", org={"0id": "globex"}, profile={"id": "u_7"})
    principal = asyncio.run(made.verify(token)).principal
    assert (principal.sub, principal.org) == ("u_7", "globex")


@pytest.mark.parametrize("text", ["a", "a=", "=user", "a=root", "a=user,a=worker", "a=user,b"])
def test_a_mapping_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(UnsafeRoleMap, match="SCRIP_JWT_ROLE_MAP"):
        role_map(text)


@pytest.mark.parametrize("claim", ["role", "realm_access.roles", "/resource_access/my.client/roles", "https://x.y/r"])
def test_tokens_of_our_own_are_accepted_wherever_the_role_is(claim: str) -> None:
    chosen = Settings(
        jwt_secret=SecretStr("a secret of at least thirty-two bytes"),
        jwt_role_claim=claim,
        jwt_role_map="Scrip.Boss=org_admin",
        jwt_issuer="https://id.example",
        jwt_audience="scrip",
    )
    made = Tokens(chosen)
    token, _ = made.issue("acme", "u_1", Role.WORKER, 60)
    assert role(made, token) == "worker"
