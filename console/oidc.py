"""Signing in through OpenID Connect: the authorisation code flow with PKCE, state and nonce, by authlib."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import structlog
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.starlette_client import OAuth
from httpx import HTTPError
from joserfc.errors import JoseError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from console.api import Api, ApiProblem
from console.headers import protect
from console.person import sign_in
from console.settings import OpenIdConnect
from console.visit import local

CALLBACK = "/login/callback"
NO_LOGIN = 401
_NEXT = "next_page"

Refuse = Callable[[Request, str], Response]  # the sign-in page again, with a sentence

log = structlog.get_logger()


def oidc_routes(oidc: OpenIdConnect, refuse: Refuse, api: httpx.AsyncClient, *, https: bool) -> list[Route]:
    """`/login/oidc` leads to the issuer, `/login/callback` takes what it sends back; `api` says who a token is."""
    client = OAuth().register(
        "issuer",
        server_metadata_url=f"{oidc.issuer.rstrip('/')}/.well-known/openid-configuration",
        client_id=oidc.client_id,
        client_secret=oidc.client_secret,
        client_kwargs={"scope": oidc.scopes, "code_challenge_method": "S256"},
    )

    async def leave(request: Request) -> Response:
        """To the issuer, remembering where to go afterwards."""
        request.session[_NEXT] = local(request.query_params.get("next", "/"))
        callback = request.url.replace(path=CALLBACK, query="", scheme="https" if https else request.url.scheme)
        answer: Response = await client.authorize_redirect(request, str(callback))
        return protect(answer)

    async def arrive(request: Request) -> Response:
        """Take the code, check the token, begin the session."""
        after = local(request.session.get(_NEXT, "/"))
        granted = await client.authorize_access_token(request)
        claims: dict[str, Any] = granted["userinfo"]
        token = granted[oidc.token]
        try:
            who = (await Api(api, None, token).get("/api/auth/me"))["user"]
        except ApiProblem as problem:
            log.warning("a sign-in failed", error=problem.code, detail=problem.detail[:200])
            if problem.status != NO_LOGIN:
                return refuse(request, "The service does not answer at the moment. Try again.")
            return refuse(
                request, "Your account has no organisation or role in Scrip. Ask who administers your sign-in."
            )
        until = int(claims.get("exp") or granted.get("expires_at") or time.time())
        sign_in(request, org=who["org"], sub=who["id"], role=who["role"], token=token, expires_at=until)
        return protect(RedirectResponse(after, status_code=303))

    return [
        Route("/login/oidc", _or_refused(leave, refuse), methods=["GET"]),
        Route(CALLBACK, _or_refused(arrive, refuse), methods=["GET"]),
    ]


def _or_refused(
    endpoint: Callable[[Request], Awaitable[Response]], refuse: Refuse
) -> Callable[[Request], Awaitable[Response]]:
    """What the issuer, or somebody in its place, got wrong is a refusal to the person and a line in the log."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (AuthlibBaseError, JoseError, HTTPError, KeyError) as error:
            log.warning("a sign-in failed", error=type(error).__name__, detail=str(error)[:200])
            return refuse(request, "The sign-in did not succeed. Try again.")

    return answer
