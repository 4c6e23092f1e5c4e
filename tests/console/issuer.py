"""An OpenID Connect issuer on this machine: asks nobody anything, checks what a real one checks, signs with RS256."""

import asyncio
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from threading import Thread
from typing import Any
from urllib.parse import urlencode

import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from infra.embedded.ports import free_port
from tests.infra.writer.ledger_kit import until

CLIENT, SECRET = "scrip-console", "the console's secret"


class Issuer:
    """`person` is who signs in next; `spoil` changes an id token's claims before it is signed.

    With the scope `offline_access` it gives refresh tokens, each good once. `refuses` is the error that a refresh gets:
    its name, or "away" for 503. `refreshes` counts the refreshes that were asked for, and each takes `refreshing_s`;
    `signed_out` has the queries of sign-outs.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.person: dict[str, Any] = {"sub": "u_9", "org": "acme", "role": "user"}
        self.spoil: dict[str, Any] = {}
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.refuses = ""
        self.refreshes = 0
        self.refreshing_s = 0.0
        self.signed_out: list[dict[str, str]] = []
        self._granted: dict[str, dict[str, str]] = {}
        self._refresh_tokens: set[str] = set()

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._discovery),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/keys", self._keys),
                Route("/end", self._end),
            ]
        )

    async def _discovery(self, _request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "end_session_endpoint": f"{self.url}/end",
                "id_token_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            }
        )

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert (asked["client_id"], asked["response_type"], asked["code_challenge_method"]) == (CLIENT, "code", "S256")
        code = secrets.token_urlsafe(16)
        self._granted[code] = asked
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}", 302)

    async def _token(self, request: Request) -> Response:
        form = await request.form()
        if form["grant_type"] == "refresh_token":
            return await self._refreshed(str(form["refresh_token"]))
        asked = self._granted.pop(str(form["code"]), None)
        challenge = urlsafe_b64encode(sha256(str(form["code_verifier"]).encode()).digest()).rstrip(b"=").decode()
        if asked is None or challenge != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        return self._tokens({"nonce": asked["nonce"]}, refreshable="offline_access" in asked["scope"].split())

    async def _refreshed(self, token: str) -> Response:
        self.refreshes += 1
        await asyncio.sleep(self.refreshing_s)
        if self.refuses == "away":
            return Response(status_code=503)
        if self.refuses or token not in self._refresh_tokens:
            return JSONResponse({"error": self.refuses or "invalid_grant"}, status_code=400)
        self._refresh_tokens.remove(token)
        return self._tokens({}, refreshable=True)

    def _tokens(self, more: dict[str, str], *, refreshable: bool) -> Response:
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 600, "jti": secrets.token_hex(8), **more}
        token = jwt.encode({**claims, **self.person, **self.spoil}, self.key, "RS256", headers={"kid": "k1"})
        claims = {**claims, **self.person, "exp": now + 300}
        access = jwt.encode(claims, self.key, "RS256", headers={"kid": "k1"})
        given = {"access_token": access, "token_type": "Bearer", "expires_in": 300, "id_token": token}
        if refreshable:
            given["refresh_token"] = secrets.token_urlsafe(16)
            self._refresh_tokens.add(str(given["refresh_token"]))
        return JSONResponse(given)

    async def _end(self, request: Request) -> Response:
        self.signed_out.append(dict(request.query_params))
        return RedirectResponse(request.query_params["post_logout_redirect_uri"], 302)

    async def _keys(self, _request: Request) -> Response:
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return JSONResponse({"keys": [{**public, "kid": "k1", "use": "sig", "alg": "RS256"}]})


@contextmanager
def issuing() -> Iterator[Issuer]:
    """The issuer, until the block ends."""
    port = free_port()
    issuer = Issuer(f"http://127.0.0.1:{port}")
    server = uvicorn.Server(uvicorn.Config(issuer.app(), host="127.0.0.1", port=port, log_config=None))
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    try:
        until(lambda: server.started, "the issuer serves")
        yield issuer
    finally:
        server.should_exit = True
        thread.join(10)
