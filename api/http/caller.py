"""Who calls: every request before its endpoint. Who is it, for which organisation, and may they."""

from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
from pydantic import TypeAdapter, ValidationError

from api.http.database import UNREACHABLE, Row
from api.http.fields import NOTHING as NO_PARAMETERS
from api.http.fields import AddressText, Known, check_query, read_query
from api.http.policy import Rule, authorise, known
from api.http.problems import Problem, away, invalid, refused
from api.http.services import Services
from domain.credits.address import Address, parse_address
from domain.credits.events import Slice
from domain.ids import is_id
from domain.refusal import StaleVersion
from infra.partitions import partition_of
from infra.security.authenticator import key_id_of
from infra.security.principal import Principal, Role, Unauthenticated
from infra.security.rates import WINDOW_S
from infra.turns import CALLER
from infra.writer.submission import Answered, Refused, Submission

_ADDRESS: TypeAdapter[str] = TypeAdapter(AddressText)
# Under which names a query or a body may name an organisation.
ORGANISATION_NAMES = frozenset({"org", "organisation", "organisation_id"})
_LOGIN = {"WWW-Authenticate": "Bearer"}
_OVER = "token_expired"  # it was valid, so it was not guessed


class Found(NamedTuple):
    """What was looked up for a command: the user whose thing it is about, the operation that a model is priced for, the
    state that its `If-Match` names, and the terms of the grant that it is about.
    """

    owner: str | None = None
    operation: str | None = None
    expected: Any = None
    grant: Slice | None = None


NOTHING = Found()


@dataclass(slots=True)
class Call:
    """Who calls, for which organisation, with which parts of the path, and what a handler needs to answer.

    `if_match`: the header, None without one. `query`: the checked query. `key`: the request's idempotency key.
    `value`: its JSON body as it was parsed.
    """

    services: Services
    principal: Principal
    org: str
    params: dict[str, str]
    method: str = "GET"
    path: str = ""
    if_match: str | None = None
    query: tuple[tuple[str, str], ...] | list[tuple[str, str]] = ()
    key: str | None = None
    value: Any = None
    found: Found = NOTHING
    _fingerprint: bytes | None = field(default=None, init=False)

    @property
    def address(self) -> str:
        """The account in the path."""
        return self.params["address"]

    @property
    def id(self) -> str:
        """The id in the path."""
        return self.params["id"]

    @property
    def fingerprint(self) -> bytes:
        """Tells the same request from another under one key; a stored one cannot be searched for its body (HMAC)."""
        if self._fingerprint is None:
            keyed = self.services.fingerprints.copy()
            canonical = msgspec.json.encode(self.value, order="deterministic")
            keyed.update(b"%b\n%b\n%b" % (self.method.encode(), self.path.encode(), canonical))
            self._fingerprint = keyed.digest()
        return self._fingerprint

    @property
    def partition(self) -> int:
        """The partition of the log that has the organisation's events."""
        return partition_of(self.org, self.services.ledger.writer.partitions)

    async def rows(self, query: str, **wanted: Any) -> list[Row]:
        """The rows of a read in the organisation, which the query calls `org`."""
        return await self.services.database.rows(query, {"org": self.org, **wanted})

    async def row(self, query: str, **wanted: Any) -> Row | None:
        """The first of them, or none."""
        rows = await self.rows(query, **wanted)
        return rows[0] if rows else None

    async def ask(self, question: Any, *, operation: str | None = None) -> Answered:
        """See `Services.ask`."""
        return await self.services.ask(self.org, question, operation=operation)

    def submission(self, command: Any, *, org: str | None = None, part: str = "") -> Submission:
        """A command of this call on its way into the ledger; `part`: which, where the call becomes several."""
        org, actor = org or self.org, self.principal.actor
        if self.key is None:
            return Submission(org=org, command=command, actor=actor, caller=actor)
        key = f"{self.key}/{part}" if part else self.key
        return Submission(org=org, command=command, actor=actor, caller=actor, key=key, fingerprint=self.fingerprint)


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


async def admit(services: Services, may: Rule, scope: Any, head: Head, parameters: Known = NO_PARAMETERS) -> Call:
    """The call that a request is, once its caller is known and may make it.

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
    authorise(principal, may, path_values(params))
    call = Call(services, principal, org, params, scope["method"], scope["path"])
    if scope["query_string"]:
        call.query = _same_organisation(read_query(scope["query_string"]), org)
        check_query(call.query, parameters)
    if head.if_match:
        call.if_match = head.if_match.decode("latin-1")
    return call


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
    """The request names another organisation than the caller's."""
    return Problem(403, "other_organisation", "The login is not for that organisation.")


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


# Guessed logins: after some failures a minute an address waits, whatever it tries next. What is good passes anyway: a
# login that is known, a token, a ticket, a signature. Only an API key that this process has not seen yet waits with its
# address, for a minute at most, because looking for it costs a query.


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


def user_of(call: Call, user_id: str | None) -> str:
    """The user whom the call is for. Raises Problem: 403 for a user who names another, 422 where no user is named."""
    if call.principal.role is Role.USER:
        own_only(call, user_id or call.principal.sub)
        return call.principal.sub
    if user_id is None:
        raise Problem(422, "missing_field", "user_id: whom it is for must be named.", field="user_id")
    return user_id


def own_only(call: Call, owner: str) -> None:
    """Raises Problem (403) for a user whose own it is not."""
    if call.principal.role is Role.USER and owner != call.principal.sub:
        raise Problem(403, "not_own", "A user may only see and use what is their own.", field="user_id")


def seen_user(call: Call, user_id: str | None) -> str | None:
    """The user to whom a list is limited, none for all. Raises Problem (403) for a user who names another."""
    return user_of(call, user_id) if call.principal.role is Role.USER else user_id


def tag_of(*settings: Any) -> str:
    """The ETag of a thing's settings, which are all that a change of it changes."""
    return f'"{sha256(msgspec.json.encode(settings, order="deterministic")).hexdigest()[:16]}"'


def matched(call: Call, what: str, tag: str) -> None:
    """Raises Problem (412) where the caller has read other settings than those of `tag`."""
    if call.if_match is None:
        return
    read = {each.strip().removeprefix("W/") for each in call.if_match.split(",")}
    if not read & {"*", tag}:
        raise refused(Refused.of(StaleVersion(what=what, current=tag)))


def expected_version(call: Call) -> int | None:
    """The version that the caller has read, from `If-Match: "7"`; None for any. Raises Problem (422)."""
    if call.if_match is None or call.if_match.strip() == "*":
        return None
    version = call.if_match.strip().removeprefix("W/").strip('"')
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        raise invalid("If-Match", "must be the ETag of an earlier answer")
    return int(version)
