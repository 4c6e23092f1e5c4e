"""Tokens, API keys and session tokens: what is taken, what is not, and for how long."""

import asyncio
import base64
import json
import time
from typing import Any

import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import SecretStr

from infra.security import authenticator as authenticators
from infra.security import tokens
from infra.security.principal import Principal, Role, Unauthenticated
from infra.security.tokens import LEEWAY_S, KeySet, Tokens
from infra.settings import Settings
from tests.api.service import SECRET, Service, address

GOOD = {"sub": "u_1", "org": "acme", "role": "user"}
ME = "/api/auth/me"


def plain(**changed: Any) -> Settings:
    return Settings(jwt_secret=SecretStr(SECRET), **changed)


def sign(claims: dict[str, Any], secret: str = SECRET, algorithm: str = "HS256", **header: Any) -> str:
    claims = {"exp": int(time.time()) + 60, **claims}
    return jwt.encode(claims, secret, algorithm=algorithm, headers=header or None)


def verify(token: str, settings: Settings | None = None, keys: KeySet | None = None) -> Principal:
    return asyncio.run(Tokens(settings or plain(), keys).verify(token)).principal


def refused(token: str, settings: Settings | None = None, keys: KeySet | None = None) -> str:
    with pytest.raises(Unauthenticated) as caught:
        verify(token, settings, keys)
    return caught.value.code


def test_a_good_token() -> None:
    assert verify(sign(GOOD)) == Principal("acme", "u_1", Role.USER, "user:u_1")


def test_claim_names_are_configurable() -> None:
    settings = plain(jwt_org_claim="tenant", jwt_role_claim="https://x/role")
    assert verify(sign({"sub": "u", "tenant": "t", "https://x/role": "worker"}), settings).org == "t"
    assert refused(sign(GOOD), settings) == "invalid_token"


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "", "org": "acme", "role": "user"},
        {"sub": "..", "org": "acme", "role": "user"},
        {"sub": "a b", "org": "acme", "role": "user"},
        {"sub": 7, "org": "acme", "role": "user"},
        {"sub": "u", "role": "user"},
        {"sub": "u", "org": ["acme"], "role": "user"},
        {"sub": "u", "org": "acme"},
        {"sub": "u", "org": "acme", "role": "root"},
        {"sub": "u", "org": "acme", "role": ["admin"]},
        {**GOOD, "exp": None},
        {**GOOD, "exp": "soon"},
        {**GOOD, "nbf": 10**11},
    ],
)
def test_tokens_without_what_is_needed(claims: dict[str, Any]) -> None:
    assert refused(jwt.encode({"exp": int(time.time()) + 60, **claims}, SECRET, algorithm="HS256")) == "invalid_token"


def test_an_expiry_is_required_and_has_a_leeway() -> None:
    assert refused(jwt.encode(GOOD, SECRET, algorithm="HS256")) == "invalid_token"
    assert verify(sign({**GOOD, "exp": int(time.time()) - LEEWAY_S + 5})).sub == "u_1"
    assert refused(sign({**GOOD, "exp": int(time.time()) - LEEWAY_S - 5})) == "token_expired"


def test_issuer_and_audience_are_checked_where_they_are_set() -> None:
    settings = plain(jwt_issuer="https://id", jwt_audience="scrip")
    assert verify(sign({**GOOD, "iss": "https://id", "aud": "scrip"}), settings).sub == "u_1"
    for claims in ({}, {"iss": "https://id"}, {"aud": "scrip"}, {"iss": "https://evil", "aud": "scrip"}):
        assert refused(sign({**GOOD, **claims}), settings) == "invalid_token"


def test_forged_tokens() -> None:
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).rstrip(b"=").decode()
    body = base64.urlsafe_b64encode(json.dumps({**GOOD, "exp": 10**11}).encode()).rstrip(b"=").decode()
    for token in (
        f"{head}.{body}.",
        sign(GOOD, "another secret that is long enough, too"),
        sign(GOOD)[:-2],
        sign(GOOD, algorithm="HS512", secret=SECRET * 2),
        "x",
        "a.b.c",
        "",
        "x" * 9_000,
    ):
        assert refused(token) == "invalid_token"


class Provider:
    """An identity provider with two keys."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.asked = 0
        self.document: dict[str, Any] = {
            "keys": [
                json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.rsa.public_key())) | {"kid": "r", "use": "sig"},
                json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.ec.public_key())) | {"kid": "e", "alg": "ES256"},
                {"kty": "oct", "kid": "o", "k": "AAAA"},
            ]
        }

    async def fetch(self, _url: str) -> dict[str, Any]:
        self.asked += 1
        return self.document

    def sign(self, kid: str, **claims: Any) -> str:
        key, algorithm = (self.rsa, "RS256") if kid == "r" else (self.ec, "ES256")
        return jwt.encode(
            {"exp": int(time.time()) + 60, **GOOD, **claims}, key, algorithm=algorithm, headers={"kid": kid}
        )


def test_keys_of_an_identity_provider() -> None:
    provider = Provider()
    keys = KeySet("https://id/jwks", provider.fetch)
    settings = Settings(jwks_url="https://id/jwks")
    assert verify(provider.sign("r"), settings, keys).sub == "u_1"
    assert verify(provider.sign("e"), settings, keys).sub == "u_1"
    assert provider.asked == 1
    stranger = Provider()
    assert refused(stranger.sign("r"), settings, keys) == "invalid_token"
    # A deployment without a secret takes no HS256 token: not one signed with the public key, nor one with no key.
    assert refused(sign(GOOD, SECRET), settings, keys) == "invalid_token"
    assert refused(sign(GOOD, SECRET, kid="o"), settings, keys) == "invalid_token"


def test_unknown_key_ids_do_not_make_us_ask_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider()
    keys = KeySet("https://id/jwks", provider.fetch)

    async def look() -> None:
        for _ in range(50):
            assert await keys.find("none", "RS256") is None
        assert provider.asked == 1
        monkeypatch.setattr(tokens, "RETRY_S", 0.0)
        provider.document["keys"][0]["kid"] = "new"
        assert await keys.find("new", "RS256") is not None
        assert await keys.find("new", "ES256") is None

    asyncio.run(look())


def test_a_provider_that_is_down_leaves_the_keys_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider()
    keys = KeySet("https://id/jwks", provider.fetch)

    async def look() -> None:
        assert await keys.find("r", "RS256") is not None
        monkeypatch.setattr(tokens, "RETRY_S", 0.0)
        monkeypatch.setattr(tokens, "FRESH_S", 0.0)
        provider.document = {"keys": 5}
        assert await keys.find("r", "RS256") is not None

    asyncio.run(look())


def test_logins_over_http(service: Service) -> None:
    client = service.client(None)
    for header in (
        "",
        "Basic abc",
        "Bearer",
        "Bearer x.y.z",
        "Bearer eyJhbGciOlsiSFMyNTYiXX0.e30.eA",  # its algorithm is a list
        "Bearer scrip_0_0",
        "Bearer scrip_",
        "Bearer \xff",
    ):
        answer = client.get(ME, headers={b"Authorization": header.encode("latin-1")})
        assert answer.status_code == 401, header
        assert header[7:] == "" or header[7:] not in answer.text
    ok = client.get(ME, headers={"Authorization": f"bearer {service.token('user', 'u_9')}"})
    assert ok.json()["user"] == {"id": "u_9", "org": "acme", "role": "user"}


def test_an_expired_token_is_refused_although_it_was_known(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    client = service.client("user", "u_9")
    assert client.get(ME).status_code == 200
    monkeypatch.setattr(authenticators, "time", lambda: time.time() + 700)
    monkeypatch.setattr(Tokens, "verify", lambda *_: (_ for _ in ()).throw(Unauthenticated("token_expired", "x")))
    assert client.get(ME).status_code == 401


def test_session_tokens(service: Service) -> None:
    worker = service.client("worker", "w")
    answer = worker.post("/api/v1/session-tokens", json={"user_id": "u_5", "ttl_seconds": 60})
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    user = service.client(None, Authorization=f"Bearer {answer.json()['token']}")
    assert user.get(ME).json()["user"] == {"id": "u_5", "org": "acme", "role": "user"}
    assert user.get("/api/v1/accounts/user:u_6:credits/balance").status_code == 403
    for body in ({"user_id": "u", "ttl_seconds": 3_601}, {"user_id": "u", "ttl_seconds": 0}, {"user_id": ".."}, {}):
        assert worker.post("/api/v1/session-tokens", json=body).status_code == 422


def make_key(service: Service, **body: Any) -> dict[str, Any]:
    answer = service.client().post("/api/v1/api-keys", json={"name": "k", **body})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_an_api_key_is_shown_once_and_kept_as_a_hash(service: Service) -> None:
    made = make_key(service, name="worker 1")
    assert made["key"].startswith(f"scrip_{made['id']}_")
    secret = made["key"].rpartition("_")[2]
    with psycopg.connect(service.database.owner_uri) as connection:
        row = connection.execute("select * from api_keys where id = %s", (made["id"],)).fetchone()
    assert row is not None
    assert secret not in repr(row)
    listed = service.client().get("/api/v1/api-keys", params={"limit": 200}).json()["items"]
    assert [key["name"] for key in listed if key["id"] == made["id"]] == ["worker 1"]
    assert secret not in json.dumps(listed)


def test_an_api_key_acts_in_its_role(service: Service) -> None:
    made = make_key(service, role="worker")
    client = service.client(None, Authorization=f"Bearer {made['key']}")
    account = address()
    service.client().post(f"/api/v1/accounts/{account}/grants", json={"amount": 10, "source": "gift"})
    assert client.post(f"/api/v1/accounts/{account}/debits", json={"amount": 1}).status_code == 201
    assert client.post(f"/api/v1/accounts/{account}/grants", json={"amount": 1, "source": "gift"}).status_code == 403
    events = service.client().get("/api/v1/events", params={"actor": f"key:{made['id']}"}).json()["items"]
    assert [event["type"] for event in events] == ["credits-debited.v1"]
    for wrong in (
        made["key"][:-1] + "0" * (made["key"][-1] != "0") + "1" * (made["key"][-1] == "0"),
        made["key"] + "x",
    ):
        assert service.client(None, Authorization=f"Bearer {wrong}").get(ME).status_code == 401


def test_scopes_narrow_a_key_and_cannot_be_widened_by_it(service: Service) -> None:
    made = make_key(service, role="org_admin", scopes=["credits:read", "keys:manage"])
    client = service.client(None, Authorization=f"Bearer {made['key']}")
    path = f"/api/v1/accounts/{address()}"
    assert client.get(path + "/balance").status_code == 200
    denied = client.post(path + "/grants", json={"amount": 1, "source": "gift"})
    assert (denied.status_code, denied.json()["code"]) == (403, "missing_scope")
    in_batch = {"operations": [{"path": path + "/grants", "body": {"amount": 1, "source": "gift"}}]}
    assert client.post("/api/v1/batch", json=in_batch).json()["results"][0]["status"] == 403
    for scopes in (None, ["credits:manage"], ["credits:read", "credits:spend"]):
        body = {"name": "more", "role": "org_admin"} | ({"scopes": scopes} if scopes else {})
        assert client.post("/api/v1/api-keys", json=body).status_code == 403
    assert client.post("/api/v1/api-keys", json={"name": "less", "scopes": ["credits:read"]}).status_code == 201


def test_only_an_admin_makes_a_key_of_an_admin(service: Service) -> None:
    body = {"name": "k", "role": "admin"}
    assert service.client().post("/api/v1/api-keys", json=body).status_code == 403
    assert service.client("admin", "root").post("/api/v1/api-keys", json=body).status_code == 201
    for bad in (
        {"name": "k", "role": "user"},
        {"name": "k", "scopes": ["all"]},
        {"name": "k", "scopes": []},
        {"name": ""},
    ):
        assert service.client().post("/api/v1/api-keys", json=bad).status_code == 422


def test_a_revoked_key_is_out_of_use(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_key(service)
    client = service.client(None, Authorization=f"Bearer {made['key']}")
    assert client.get(ME).status_code == 200
    assert service.client(org="globex").delete(f"/api/v1/api-keys/{made['id']}").status_code == 404
    assert service.client().delete(f"/api/v1/api-keys/{made['id']}").status_code == 204
    assert client.get(ME).status_code == 401
    # Revoked by another process: this one finds out as soon as its verdict is 10 s old.
    other = make_key(service)
    client = service.client(None, Authorization=f"Bearer {other['key']}")
    assert client.get(ME).status_code == 200
    with psycopg.connect(service.database.owner_uri) as connection:
        connection.execute("update api_keys set revoked_at = now() where id = %s", (other["id"],))
    assert client.get(ME).status_code == 200
    monkeypatch.setattr(authenticators, "time", lambda: time.time() + 10.5)
    assert client.get(ME).status_code == 401
    assert authenticators.KEY_FRESH_S < 15


def test_an_expired_key_is_refused(service: Service) -> None:
    made = make_key(service, expires_at="2999-01-01T00:00:00Z")
    with psycopg.connect(service.database.owner_uri) as connection:
        connection.execute("update api_keys set expires_at = now() where id = %s", (made["id"],))
    assert service.client(None, Authorization=f"Bearer {made['key']}").get(ME).status_code == 401


def test_making_a_key_is_idempotent(service: Service) -> None:
    client, key = service.client(), {"Idempotency-Key": "make-key"}
    first = client.post("/api/v1/api-keys", json={"name": "once"}, headers=key)
    again = client.post("/api/v1/api-keys", json={"name": "once"}, headers=key)
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert again.headers["idempotency-replayed"] == "true"
    other = client.post("/api/v1/api-keys", json={"name": "twice"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    login = service.client(None, Authorization=f"Bearer {first.json()['key']}")
    assert login.get(ME).json()["user"]["role"] == "worker"


def test_no_secret_is_logged(service: Service, capfd: pytest.CaptureFixture[str]) -> None:
    made = make_key(service)
    token = service.token("user", "u_7")
    client = service.client(None)
    for credential in (token, made["key"], "scrip_0_canary", "canary.canary.canary"):
        client.post(
            "/api/v1/accounts/user:u:credits/debits",
            json={"amount": 1},
            headers={"Authorization": f"Bearer {credential}"},
        )
    logged = "".join(capfd.readouterr())
    assert "denied" in logged
    assert token not in logged
    assert made["key"].rpartition("_")[2] not in logged
    assert "canary" not in logged
