"""What happens to every request before its route: who is it, for which organisation, and may they."""

from functools import lru_cache
from typing import Any, NamedTuple

import structlog
from pydantic import TypeAdapter, ValidationError

from api.audit_log import known
from api.database import UNREACHABLE
from api.fields import AddressText
from api.guesses import guessed, may_try_key
from api.operation import Call
from api.policy import POLICY, authorise
from api.problems import Problem, away, invalid
from api.query import NOTHING, Known, check_query, read_query
from api.services import Services
from domain.credits.address import Address, parse_address
from domain.ids import is_id
from infra.security.principal import Principal, Role, Unauthenticated
from infra.turns import CALLER, TooManyWaiting

log = structlog.get_logger()

_ADDRESS: TypeAdapter[str] = TypeAdapter(AddressText)
# Under which names a query or a body may name an organisation.
ORGANISATION_NAMES = frozenset({"org", "organisation", "organisation_id"})
_LOGIN = {"WWW-Authenticate": "Bearer"}


class Head(NamedTuple):
    """The headers that matter to us, found in one pass."""

    authorization: bytes | None = None
    organisation: bytes | None = None
    key: bytes | None = None
    if_match: bytes | None = None
    content_type: bytes | None = None
    content_length: bytes | None = None
    content_encoding: bytes | None = None


_WANTED = {
    b"authorization": 0,
    b"scrip-organisation": 1,
    b"idempotency-key": 2,
    b"if-match": 3,
    b"content-type": 4,
    b"content-length": 5,
    b"content-encoding": 6,
}


def read_head(scope: Any) -> Head:
    """Raises Problem (400) for a header given twice: proxies would differ in which one counts."""
    found: list[bytes | None] = [None] * 7
    for name, value in scope["headers"]:
        index = _WANTED.get(name)
        if index is not None:
            if found[index] is not None:
                raise Problem(400, "duplicate_header", "A header occurs twice.", field=name.decode())
            found[index] = value
    return Head(*found)


async def admit(services: Services, operation: str, scope: Any, head: Head, parameters: Known = NOTHING) -> Call:
    """The call that a request is, once its caller is known and may do `operation`.

    `parameters` are those of its query. Raises Problem (401, 403, 422).
    """
    principal = await who(services, scope, head)
    caller = (principal.org, principal.actor)
    CALLER.set(caller)
    if not services.rounds.take(caller):
        await services.rounds.wait(caller)
    known(scope, principal, principal.org)
    org = organisation(principal, head)
    known(scope, principal, org)
    params: dict[str, str] = scope["path_params"]
    authorise(principal, operation, path_values(params))
    if scope["query_string"]:
        check_query(_same_organisation(read_query(scope["query_string"]), org), parameters)
    if_match = head.if_match.decode("latin-1") if head.if_match else None
    return Call(principal, org, params, if_match, services.defaults)


async def who(services: Services, scope: Any, head: Head) -> Principal:
    """The verified caller. Raises Problem (401; 429 for many guesses; 503 where API keys cannot be read)."""
    if head.authorization is not None:
        known = services.authenticator.known(head.authorization)
        if known is not None:
            return known
    may_try_key(services, scope, head.authorization)
    if (before := services.authenticator.before(head.authorization)) is not None:
        CALLER.set((before.org, before.actor))  # a login that was good does not queue with those who guess
    try:
        return await services.authenticator.verify(head.authorization)
    except Unauthenticated as refused:
        guessed(services, scope, refused, head.authorization)
        raise Problem(401, refused.code, refused.detail, headers=_LOGIN) from None
    except UNREACHABLE as error:
        raise away(error) from None


def organisation(principal: Principal, head: Head) -> str:
    """The organisation that the request is for. Only the platform's admins may name another one. Raises Problem."""
    if head.organisation is None:
        return principal.org
    named = head.organisation.decode("latin-1")
    if named == principal.org:
        return named
    if principal.role is not Role.ADMIN:
        raise other_organisation()
    if not is_id(named):
        raise invalid("Scrip-Organisation", "must be an organisation's id")
    return named


def other_organisation() -> Problem:
    """Another organisation was named by somebody who belongs to one."""
    return Problem(403, "other_organisation", "The login is not for that organisation.")


def is_open(operation: str) -> bool:
    """Whether an operation needs no login."""
    return not POLICY[operation].roles


def path_values(params: dict[str, str]) -> Address | None:
    """The account in a path, or none, once it and the id are known to be of the right form. Raises Problem (422)."""
    if "id" in params:
        _path_id(params["id"])
    return _path_address(params["address"]) if "address" in params else None


@lru_cache(maxsize=20_000)
def _path_address(text: str) -> Address:
    try:
        return parse_address(_ADDRESS.validate_python(text))
    except ValidationError:
        raise _bad_path("address") from None


def _path_id(text: str) -> None:
    if not is_id(text):
        raise _bad_path("id")


def _bad_path(name: str) -> Problem:
    return invalid(name, "in the path is not of the right form")


def _same_organisation(query: list[tuple[str, str]], org: str) -> list[tuple[str, str]]:
    """The rest of a query that names no other organisation; naming one's own changes nothing. Raises Problem (403)."""
    if any(name in ORGANISATION_NAMES and value != org for name, value in query):
        raise other_organisation()
    return [(name, value) for name, value in query if name not in ORGANISATION_NAMES]


def log_failed_read(path: str, error: BaseException) -> None:
    """Write down that a read failed; not where its caller had too much waiting, which is logged as what was denied."""
    if not isinstance(error, TooManyWaiting):
        log.warning("a read failed", path=path, error=type(error).__name__)
