"""What is logged of requests: everything that was denied, and everything that only administrators may do.

With actor, organisation, operation and outcome; the edge has bound the request id. Never a body,
a path, a credential or a text of the caller's: every value is one of ours or an id that was checked, so no line can be
forged.
"""

from http import HTTPStatus
from typing import Final

import msgspec
import structlog
from starlette.types import Scope

from infra.security.principal import Principal, Role

DENIED: Final = frozenset({401, 403, 404, 429})
_ANONYMOUS: Final = frozenset({401, 429})
_UNKNOWN = "unknown"

log = structlog.get_logger()


class _Told(msgspec.Struct):
    code: str = _UNKNOWN


def known(scope: Scope, principal: Principal, org: str) -> None:
    """Keep who calls, and for which organisation, for the log."""
    scope["scrip.who"] = (principal, org)


def record(scope: Scope, status: int, body: bytes) -> None:
    """Log an answered request if it is to be. `body`: of the answer, where that is one of the DENIED.

    A path that does not exist is nobody's operation and is left to the metrics.
    """
    endpoint = scope.get("route")
    if endpoint is None:
        return
    operation = endpoint.name
    who: tuple[Principal, str] | None = scope.get("scrip.who")
    if who is None:
        if status in _ANONYMOUS:
            log.warning("denied", operation=operation, actor=None, org=None, status=status, outcome=_code(body))
        return
    principal, org = who
    if status in DENIED:
        denied(principal, org, operation, status, _code(body))
    elif principal.role is Role.ADMIN or endpoint.may.administrative:
        outcome = "done" if status < HTTPStatus.BAD_REQUEST else "not done"
        log.info("administration", operation=operation, actor=principal.actor, org=org, status=status, outcome=outcome)


def denied(principal: Principal, org: str, operation: str, status: int, code: str) -> None:
    """Log what was denied: a request, or one operation of a batch, which is answered with 200 itself."""
    log.warning("denied", operation=operation, actor=principal.actor, org=org, status=status, outcome=code)


def _code(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Told).code
    except msgspec.DecodeError:
        return _UNKNOWN
