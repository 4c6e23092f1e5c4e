"""Sessions: the browser's cookie is a random id, everything else is in a store that all processes of the API share."""

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from starlette.requests import Request
from starlette.responses import Response

from console.person import Person
from console.settings import ConsoleSettings

COOKIE = "scrip_session"
ARRIVED = "arrived"  # in the cookie of the sign-in: when it succeeded
ARRIVING_S = 60
REFRESH_EARLY_S = 60  # before the token's end; at most a quarter of its life
REFRESH_S = 10  # a refresh that takes longer counts as failed: shorter than the store's claim
RETRY_S = 5
POLL_S = 0.1
_ID = re.compile(r"[A-Za-z0-9_-]{43}")

ENDED = {
    "idle": "you did not use the console for a while",
    "age": "a session lasts only for a limited time",
    "expired": "your sign-in has expired",
    "refused": "your organisation's sign-in service has ended your sign-in",
    "changed": "your account changed, or no longer has a role in Scrip",
    "elsewhere": "you signed in in too many other places",
}

log = structlog.get_logger()


class StoredSession(Protocol):
    """What the store knows of a session: infra.security.console_sessions.ConsoleSession."""

    @property
    def org(self) -> str: ...
    @property
    def sub(self) -> str: ...
    @property
    def credentials(self) -> Mapping[str, Any]: ...
    @property
    def kept(self) -> Mapping[str, Any]: ...
    @property
    def version(self) -> int: ...
    @property
    def ended(self) -> str: ...
    @property
    def token_over(self) -> bool: ...
    @property
    def renewable(self) -> bool: ...
    @property
    def refresh_due(self) -> bool: ...


class SessionStore(Protocol):
    """Where sessions are kept: infra.security.console_sessions. Raises ConnectionError where it does not answer."""

    async def begin(
        self,
        id_: str,
        *,
        org: str,
        sub: str,
        credentials: Mapping[str, Any],
        token_ends_at: int,
        refresh_at: int | None,
    ) -> None: ...
    async def find(self, id_: str) -> StoredSession | None: ...
    async def keep(self, id_: str, kept: Mapping[str, Any]) -> None: ...
    async def claim_refresh(self, id_: str, version: int) -> bool: ...
    async def renew(
        self, id_: str, version: int, *, credentials: Mapping[str, Any], token_ends_at: int, refresh_at: int | None
    ) -> bool: ...
    async def postpone_refresh(self, id_: str, version: int, pause_s: int) -> None: ...
    async def end(self, id_: str, why: str = "") -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a sign-in or a refresh gave: who it is, the token for the API and its end (Unix seconds).

    `refresh_token` gets the next one, `id_token` goes to the issuer at sign-out; empty: there is none.
    """

    org: str
    sub: str
    role: str
    token: str = field(repr=False)
    ends_at: int
    refresh_token: str = field(default="", repr=False)
    id_token: str = field(default="", repr=False)

    @property
    def refresh_at(self) -> int | None:
        """When to ask for the next token; None: never."""
        left = self.ends_at - int(time.time())
        return self.ends_at - max(0, min(REFRESH_EARLY_S, left // 4)) if self.refresh_token else None


class RefreshRefused(Exception):
    """The issuer gives no further token to this session. `why` is a key of ENDED."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class SignInAway(Exception):
    """The issuer does not answer, or not now."""


# A stored session -> its next grant. Raises RefreshRefused, SignInAway.
Refresh = Callable[[StoredSession], Awaitable[Grant]]


@dataclass(slots=True)
class Session:
    """One session during one request. What `keep` and `take` change is stored after the page has answered."""

    id: str
    person: Person
    id_token: str
    kept: dict[str, Any]
    changed: bool = False

    def keep(self, name: str, value: Any) -> None:
        """Remember for the next pages; `value` is JSON."""
        self.kept[name] = value
        self.changed = True

    def take(self, name: str, default: Any) -> Any:
        """What was kept under the name, once."""
        if name not in self.kept:
            return default
        self.changed = True
        return self.kept.pop(name)

    def act_for(self, organisation: str) -> None:
        """Look at another organisation from now on (admins; the API decides whether it may be)."""
        self.keep("acting_for", organisation)


@dataclass(frozen=True, slots=True)
class SignedOut:
    """There is no session. `why` is a key of ENDED; empty where there never was one, or nothing is known of it.

    `unknown`: the cookie named one that is not known.
    """

    why: str = ""
    unknown: bool = False


class Sessions:
    """Begins, finds, refreshes and ends sessions. `refresh`: how to get the next token; None: there is no way."""

    def __init__(self, store: SessionStore, settings: ConsoleSettings, refresh: Refresh | None) -> None:
        self._store = store
        self._settings = settings
        self._refresh = refresh

    async def of(self, request: Request, *, fresh: bool = True) -> Session | SignedOut:
        """The session that the request's cookie names. `fresh`: with a token that the API takes.

        Raises ConnectionError, SignInAway.
        """
        id_ = request.cookies.get(self._settings.cookie(COOKIE), "")
        if not _ID.fullmatch(id_):
            return SignedOut()
        found = await self._store.find(id_)
        if found is not None and not found.ended and fresh:
            found = await self._with_good_token(id_, found)
        if found is None or found.ended:
            return SignedOut(found.ended) if found else SignedOut(unknown=True)
        known, kept = found.credentials, dict(found.kept)
        person = Person(
            org=found.org,
            sub=found.sub,
            role=known["role"],
            token=known["token"],
            csrf=known["csrf"],
            expires_at=known["ends_at"],
            acting_for=kept.get("acting_for", ""),
        )
        return Session(id_, person, known["id_token"], kept)

    async def begin(self, request: Request, answer: Response, grant: Grant) -> None:
        """Begin a session, with a new id, so that an attacker cannot plant one; the cookie goes with `answer`.

        Raises ConnectionError.
        """
        before = request.cookies.get(self._settings.cookie(COOKIE), "")
        if _ID.fullmatch(before):
            await self._store.end(before)
        id_ = secrets.token_urlsafe(32)
        await self._store.begin(
            id_,
            org=grant.org,
            sub=grant.sub,
            credentials=_credentials(grant, secrets.token_urlsafe(24)),
            token_ends_at=grant.ends_at,
            refresh_at=grant.refresh_at,
        )
        request.session.clear()
        request.session[ARRIVED] = int(time.time())
        answer.set_cookie(
            self._settings.cookie(COOKIE),
            id_,
            max_age=self._settings.session_s,
            httponly=True,
            secure=self._settings.https,
            samesite="lax",  # a link from the application must find the session; forms are guarded by a token
        )

    async def store(self, session: Session) -> None:
        """Keep what a page changed. Raises ConnectionError."""
        if session.changed:
            await self._store.keep(session.id, session.kept)

    async def end(self, session: Session, why: str = "") -> None:
        """End it for every process and copy of the cookie. Raises ConnectionError."""
        await self._store.end(session.id, why)

    async def _with_good_token(self, id_: str, found: StoredSession) -> StoredSession | None:
        """The session after a refresh, if one is due. Of several requests one refreshes.

        The others use the old token while it is good, and wait after that. Raises SignInAway.
        """
        latest: StoredSession | None = found
        until = time.monotonic() + REFRESH_S
        while latest is not None and not latest.ended and latest.refresh_due and self._refresh is not None:
            if await self._store.claim_refresh(id_, latest.version):
                latest = await self._refreshed(id_, latest, self._refresh)
                break
            if not latest.token_over:
                return latest
            if time.monotonic() > until:
                raise SignInAway
            await asyncio.sleep(POLL_S)
            latest = await self._store.find(id_)
        if latest is None or latest.ended or not latest.token_over:
            return latest
        if latest.renewable and self._refresh is not None:
            raise SignInAway  # the last try failed, and the next one is not due yet
        await self._store.end(id_, "expired")
        return await self._store.find(id_)

    async def _refreshed(self, id_: str, old: StoredSession, refresh: Refresh) -> StoredSession | None:
        try:
            async with asyncio.timeout(REFRESH_S):
                grant = await refresh(old)
        except RefreshRefused as refused:
            await self._store.end(id_, refused.why)
        except (SignInAway, TimeoutError):
            await self._store.postpone_refresh(id_, old.version, RETRY_S)
        else:
            await self._store.renew(
                id_,
                old.version,
                credentials=_credentials(grant, old.credentials["csrf"]),
                token_ends_at=grant.ends_at,
                refresh_at=grant.refresh_at,
            )
        return await self._store.find(id_)


def _credentials(grant: Grant, csrf: str) -> dict[str, Any]:
    return {
        "role": grant.role,
        "csrf": csrf,
        "token": grant.token,
        "ends_at": grant.ends_at,
        "refresh_token": grant.refresh_token,
        "id_token": grant.id_token,
    }
