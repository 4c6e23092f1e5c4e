"""Signing in through OpenID Connect: the authorisation code flow with PKCE, state and nonce, by authlib."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.starlette_client import OAuth
from httpx import HTTPError
from joserfc.errors import JoseError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from console.headers import protect
from console.person import ROLES, sign_in
from console.settings import OpenIdConnect
from console.visit import local

CALLBACK = "/login/callback"
_NEXT = "next_page"

Refuse = Callable[[Request, str], Response]  # the sign-in page again, with a sentence

log = structlog.get_logger()


def oidc_routes(oidc: OpenIdConnect, refuse: Refuse, *, https: bool) -> list[Route]:
    """`/login/oidc` leads to the issuer, `/login/callback` takes what it sends back."""
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
        org, sub, role = (str(claims.get(claim) or "") for claim in (oidc.org_claim, oidc.sub_claim, oidc.role_claim))
        if not org or not sub or role not in ROLES:
            return refuse(
                request, "Your account has no organisation or role in Scrip. Ask who administers your sign-in."
            )
        until = int(claims.get("exp") or granted.get("expires_at") or time.time())
        sign_in(request, org=org, sub=sub, role=role, token=granted[oidc.token], expires_at=until)
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
