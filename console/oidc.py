"""Signing in through OpenID Connect: the authorisation code flow with PKCE, state and nonce, by authlib."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx
import structlog
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.base_client import OAuthError
from authlib.integrations.starlette_client import OAuth
from httpx import HTTPError
from joserfc.errors import JoseError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from console.api import Api, ApiProblem
from console.guesses import Guesses
from console.headers import protect
from console.sessions import Grant, RefreshRefused, Sessions, SignInAway, StoredSession
from console.settings import ConsoleSettings, OpenIdConnect
from console.visit import local

CALLBACK = "/login/callback"
NO_LOGIN = 401
MAX_NEXT = 1_000  # the page to go to afterwards is kept in a cookie of the sign-in, which must stay small
MAX_HINT = 2_000  # the ID token goes into an address at sign-out: servers refuse long ones
NEXT = "next_page"
ACCESS_TOKEN = "access_token"  # noqa: S105 - which token, not a token
EXPIRED = (
    "Your sign-in had expired when it arrived here. Try again. If it happens again, the clock of the sign-in service"
    " or of this service is wrong: ask its administrator."
)
# What an issuer says of itself or of this client, and not of the person's sign-in.
_NOT_NOW = frozenset({"temporarily_unavailable", "server_error", "slow_down", "invalid_client"})

Refuse = Callable[[Request, str], Response]  # the sign-in page again, with a sentence

log = structlog.get_logger()


class Issuer:
    """The issuer that signs people in; `api` says who a token is."""

    def __init__(self, settings: ConsoleSettings, oidc: OpenIdConnect, api: httpx.AsyncClient) -> None:
        self._settings = settings
        self._oidc = oidc
        self._api = api
        self._client = OAuth().register(
            "issuer",
            server_metadata_url=f"{oidc.issuer.rstrip('/')}/.well-known/openid-configuration",
            client_id=oidc.client_id,
            client_secret=oidc.client_secret,
            client_kwargs={"scope": oidc.scopes, "code_challenge_method": "S256"},
        )

    def routes(self, sessions: Sessions, refuse: Refuse, guesses: Guesses) -> list[Route]:
        """`/login/oidc` leads to the issuer, `/login/callback` takes what it sends back."""

        async def leave(request: Request) -> Response:
            """To the issuer, remembering where to go afterwards."""
            after = local(request.query_params.get("next", "/"))
            request.session[NEXT] = after if len(after) <= MAX_NEXT else "/"
            callback = self._address(request, CALLBACK)
            to = await self._client.create_authorization_url(callback)
            address = to.pop("url")
            await self._client.save_authorize_data(request, redirect_uri=callback, **to)
            return protect(RedirectResponse(address, status_code=302))

        async def arrive(request: Request) -> Response:
            """Take the code, check the token, begin the session."""
            after = local(request.session.get(NEXT, "/"))
            granted = await self._client.authorize_access_token(request)
            try:
                who = await self._who(granted[self._oidc.token])
            except ApiProblem as problem:
                log.warning("a sign-in failed", error=problem.code, detail=problem.detail[:200])
                return refuse(request, _why_not(problem))
            grant = self._grant(granted, granted["userinfo"], who)
            if grant.ends_at <= time.time():
                return refuse(request, EXPIRED)
            answer = protect(RedirectResponse(after, status_code=303))
            await sessions.begin(request, answer, grant)
            return answer

        return [
            Route("/login/oidc", _or_refused(leave, refuse), methods=["GET"]),
            Route(CALLBACK, guesses.slowed(_or_refused(arrive, refuse)), methods=["GET"]),
        ]

    async def refresh(self, session: StoredSession) -> Grant:
        """The session's next token. Raises RefreshRefused, SignInAway."""
        before = session.credentials
        try:
            granted = await self._client.fetch_access_token(
                grant_type="refresh_token", refresh_token=before["refresh_token"]
            )
            if self._oidc.token not in granted:
                raise RefreshRefused("expired")  # OpenID Connect lets an issuer send no new ID token
            claims = await self._client.parse_id_token(granted, nonce=None) or {}
            kept = {name: before[name] for name in ("refresh_token", "id_token")}  # of what the issuer sends no new one
            grant = self._grant({**kept, **granted}, claims, await self._still(session, granted[self._oidc.token]))
        except OAuthError as error:
            log.warning("a token was not refreshed", error=error.error, detail=str(error.description)[:200])
            raise (SignInAway() if error.error in _NOT_NOW else RefreshRefused("refused")) from error
        except (HTTPError, ValueError) as error:
            log.warning("a token was not refreshed", error=type(error).__name__, detail=str(error)[:200])
            raise SignInAway from error
        except (AuthlibBaseError, JoseError, KeyError) as error:
            log.warning("a refreshed token is not valid", error=type(error).__name__, detail=str(error)[:200])
            raise RefreshRefused("refused") from error
        if (grant.org, grant.sub) != (session.org, session.sub):
            raise RefreshRefused("changed")
        return grant

    async def sign_out_address(self, request: Request, id_token: str) -> str:
        """Where the issuer ends its own session, coming back to the sign-in; empty where it offers no such thing."""
        if not self._oidc.logout:
            return ""
        try:
            if not (await self._client.load_server_metadata()).get("end_session_endpoint"):
                return ""
            made = await self._client.create_logout_url(
                post_logout_redirect_uri=self._address(request, "/login"),
                id_token_hint=id_token or None,
                client_id=self._oidc.client_id,
            )
        except (AuthlibBaseError, HTTPError, ValueError) as error:
            log.warning("the issuer's sign-out is unknown", error=type(error).__name__, detail=str(error)[:200])
            return ""
        return str(made["url"])

    def _address(self, request: Request, path: str) -> str:
        scheme = "https" if self._settings.https else request.url.scheme
        return str(request.url.replace(path=path, query="", scheme=scheme))

    async def _who(self, token: str) -> dict[str, Any]:
        """Whom the API takes the token for: org, id, role. Raises ApiProblem."""
        who: dict[str, Any] = (await Api(self._api, None, token).get("/api/auth/me"))["user"]
        return who

    async def _still(self, session: StoredSession, token: str) -> dict[str, Any]:
        """The same for a refreshed token; as before where the API does not answer now. Raises RefreshRefused."""
        try:
            return await self._who(token)
        except ApiProblem as problem:
            log.warning("a refreshed token was not looked at", error=problem.code, detail=problem.detail[:200])
            if problem.status == NO_LOGIN:
                raise RefreshRefused("changed") from problem
            return {"org": session.org, "id": session.sub, "role": session.credentials["role"]}

    def _grant(self, granted: Mapping[str, Any], claims: Mapping[str, Any], who: Mapping[str, Any]) -> Grant:
        """What the token endpoint gave. Raises KeyError."""
        id_token = str(granted.get("id_token") or "")
        of_id_token, of_access_token = claims.get("exp"), granted.get("expires_at")
        ends_at = of_access_token or of_id_token if self._oidc.token == ACCESS_TOKEN else of_id_token or of_access_token
        return Grant(
            org=who["org"],
            sub=who["id"],
            role=who["role"],
            token=str(granted[self._oidc.token]),
            ends_at=int(ends_at or 0),
            refresh_token=str(granted.get("refresh_token") or ""),
            id_token=id_token if len(id_token) <= MAX_HINT else "",
        )


def _why_not(problem: ApiProblem) -> str:
    """Why the API does not take the token of a sign-in."""
    if problem.status != NO_LOGIN:
        return "The service does not answer at the moment. Try again."
    if problem.code == "token_expired":
        return EXPIRED
    return "Your account has no organisation or role in Scrip. Ask the administrator of your sign-in."


def _or_refused(
    endpoint: Callable[[Request], Awaitable[Response]], refuse: Refuse
) -> Callable[[Request], Awaitable[Response]]:
    """What the issuer, or another in its place, got wrong is a refusal to the person and a line in the log."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (AuthlibBaseError, JoseError, HTTPError, KeyError) as error:
            log.warning("a sign-in failed", error=type(error).__name__, detail=str(error)[:200])
            return refuse(request, "The sign-in did not succeed. Try again.")

    return answer
