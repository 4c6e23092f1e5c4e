"""Guessed logins over HTTP: after some failures a minute an address waits, whatever it tries next.

What is good passes anyway: a login that is known, a token, a ticket, a signature. Only an API key that this process
has not seen yet waits with its address, for a minute at most, because looking for it costs a query.
"""

from typing import Any

from api.problems import Problem
from api.services import Services
from infra.security.authenticator import key_id_of
from infra.security.failed_logins import WINDOW_S
from infra.security.principal import Unauthenticated

_OVER = "token_expired"  # was good, so nobody guessed it


def address_of(scope: Any) -> str:
    """The caller's network address, empty where the server does not know it."""
    client = scope.get("client")
    return client[0] if client else ""


def may_try_key(services: Services, scope: Any, authorization: bytes | None) -> None:
    """Let an API key be looked up, unless its caller must wait; a token passes. Raises Problem (429)."""
    if authorization is None or services.authenticator.was_good(authorization):
        return
    key_id = key_id_of(authorization)
    if key_id is not None:
        _must_not_wait(services, scope, key_id)


def guessed(services: Services, scope: Any, refused: Unauthenticated, authorization: bytes | None) -> None:
    """Count a login that was refused. Raises Problem (429) where there were too many before."""
    if authorization is not None and refused.code != _OVER:
        failed(services, scope, key_id_of(authorization) or "")


def failed(services: Services, scope: Any, key_id: str = "") -> None:
    """Count whatever did not let its caller in: a login, a ticket, a signature. Raises Problem (429) as above."""
    _must_not_wait(services, scope, key_id)
    services.failed_logins.failed(address_of(scope), key_id)


def _must_not_wait(services: Services, scope: Any, key_id: str) -> None:
    wait_s = services.failed_logins.wait_s(address_of(scope), key_id)
    if wait_s:
        raise too_many(wait_s)


def too_many(wait_s: int) -> Problem:
    """Too many logins failed."""
    return Problem(
        429,
        "too_many_failed_logins",
        f"Too many logins from this address failed. Check the token or key, and retry in {wait_s} s.",
        headers={"Retry-After": str(wait_s)},
        window_seconds=WINDOW_S,
        retry_after_seconds=wait_s,
    )
