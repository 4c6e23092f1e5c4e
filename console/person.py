"""Who is signed in: kept in the signed session cookie, which scripts cannot read."""

import secrets
import time
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

USER, WORKER, ORG_ADMIN, AUDITOR, ADMIN = "user", "worker", "org_admin", "auditor", "admin"
ROLES = (USER, WORKER, ORG_ADMIN, AUDITOR, ADMIN)
EVERYBODY = frozenset(ROLES)
ADMINS = frozenset({ORG_ADMIN, ADMIN})
INSPECTORS = frozenset({ORG_ADMIN, AUDITOR, ADMIN})
PLATFORM_READERS = frozenset({AUDITOR, ADMIN})
PLATFORM = frozenset({ADMIN})

_KEY = "person"


@dataclass(frozen=True, slots=True)
class Person:
    """The caller as the API's token says; an admin may look at another organisation, `acting_for`."""

    org: str
    sub: str
    role: str
    token: str
    csrf: str
    expires_at: int  # seconds since 1970
    acting_for: str = ""

    @property
    def organisation(self) -> str:
        """The organisation that pages are about."""
        return self.acting_for or self.org


def person_of(request: Request) -> Person | None:
    """The person of the session; None without one, or when the token has expired."""
    stored: dict[str, Any] | None = request.session.get(_KEY)
    if stored is None:
        return None
    person = Person(**stored)
    if person.expires_at <= time.time():
        request.session.clear()
        return None
    return person


def sign_in(request: Request, *, org: str, sub: str, role: str, token: str, expires_at: int) -> None:
    """Begin a session: what the cookie held before is gone, so that nobody can plant a session."""
    request.session.clear()
    request.session[_KEY] = {
        "org": org,
        "sub": sub,
        "role": role,
        "token": token,
        "csrf": secrets.token_urlsafe(24),
        "expires_at": expires_at,
    }


def act_for(request: Request, organisation: str) -> None:
    """Look at another organisation from now on (admins; the API decides whether it may be)."""
    request.session[_KEY] = {**request.session[_KEY], "acting_for": organisation}
