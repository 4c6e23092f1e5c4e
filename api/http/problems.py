"""Errors as RFC 9457 problem details: a status, a stable code, a sentence for people, and the numbers involved."""

import errno
from http import HTTPStatus
from typing import Any

import msgspec
import psycopg
from psycopg_pool import TooManyRequests
from pydantic import BaseModel, ConfigDict

from domain.refusal import RefusalKind
from infra.disk import NO_ROOM
from infra.turns import TooManyWaiting
from infra.writer.submission import OutcomeUnknown, Overloaded, Refused, StorageFull

MEDIA_TYPE = b"application/problem+json"
TYPE = "urn:scrip:problem:"
RETRY_AFTER_S = 1
FULL_RETRY_AFTER_S = 5  # an operator must make room first

_STATUS = {
    RefusalKind.SHORT: 402,
    RefusalKind.MISSING: 404,
    RefusalKind.CONFLICT: 409,
    RefusalKind.BUSY: 429,
    RefusalKind.INVALID: 422,
}
_READS = frozenset({"GET", "HEAD"})
_LACKING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS})
STALE = "stale_version"  # the one conflict with a status of its own: what If-Match named has changed


class Problem(Exception):
    """An answer that is not a success. `facts` are added to the body; `headers` to the answer."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        field: str | None = None,
        headers: dict[str, str] | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.field = field
        self.headers = headers or {}
        self.facts = {name: value for name, value in facts.items() if value is not None}

    def body(self) -> dict[str, Any]:
        """The problem as its JSON object."""
        answer = {
            "type": TYPE + self.code,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        if self.field is not None:
            answer["field"] = self.field
        return answer | {name: value for name, value in self.facts.items() if name not in answer}

    def encoded(self) -> bytes:
        """The problem as bytes."""
        return msgspec.json.encode(self.body())


def refused(refusal: Refused) -> Problem:
    """The ledger's definite "no"."""
    facts = dict(refusal.facts)
    field = facts.pop("field", None)
    status = 412 if refusal.code == STALE else _STATUS[RefusalKind(refusal.kind)]
    headers = {"Retry-After": str(RETRY_AFTER_S)} if refusal.kind == RefusalKind.BUSY else None
    return Problem(status, refusal.code, refusal.detail, field=field, headers=headers, **facts)


def unknown_outcome() -> Problem:
    """The command may or may not have been applied; a retry with the same key shows which."""
    return _later("outcome_unknown", "The outcome is not known yet. Retry with the same Idempotency-Key.")


def overloaded() -> Problem:
    """Nothing was done."""
    return _later("overloaded", "The service is busy and has done nothing. Retry later.")


def disk_full() -> Problem:
    """Nothing was done, and nothing can be done before an operator makes room."""
    detail = "The service has no disk space left and has done nothing. Retry later."
    return Problem(503, "disk_full", detail, headers={"Retry-After": str(FULL_RETRY_AFTER_S)})


def of_the_machine(error: BaseException, method: str) -> Problem | None:
    """The problem for an error that says that this machine or PostgreSQL's lacks something just now; else None.

    It may have come after the commit: only of a read it is certain that nothing was done.
    """
    full = isinstance(error, psycopg.errors.DiskFull) or (isinstance(error, OSError) and error.errno in NO_ROOM)
    if not full and not isinstance(error, MemoryError) and getattr(error, "errno", None) not in _LACKING:
        return None
    if method not in _READS:
        return unknown_outcome()
    return disk_full() if full else unavailable()


def away(error: BaseException) -> Problem:
    """The problem for one of UNREACHABLE: too much of one caller's waits, or of all, or something does not answer."""
    if isinstance(error, TooManyWaiting):
        return limit_reached("too_many_waiting", str(error), error.limit, RETRY_AFTER_S)
    return overloaded() if isinstance(error, TooManyRequests) else unavailable()


UNDECIDED = (OutcomeUnknown, Overloaded)  # what the ledger raises where it does not answer


def undecided(error: OutcomeUnknown | Overloaded, *, read: bool = False) -> Problem:
    """The problem for one of UNDECIDED. `read`: nothing was to be written, so the outcome does not matter."""
    if isinstance(error, OutcomeUnknown):
        return unavailable() if read else unknown_outcome()
    return disk_full() if isinstance(error, StorageFull) else overloaded()


def unavailable() -> Problem:
    """Something that the answer needs cannot be reached."""
    return _later("unavailable", "The service cannot answer at the moment. Retry later.")


def not_yet_visible() -> Problem:
    """The read model has not reached the position that was asked for."""
    return _later("not_yet_visible", "The read model has not reached min_position yet. Retry.")


def limit_reached(code: str, detail: str, limit: int, retry_after_s: int) -> Problem:
    """As many as there may be of something at a time: nothing was done, and in `retry_after_s` there may be fewer."""
    return Problem(429, code, detail, limit=limit, headers={"Retry-After": str(retry_after_s)})


def rate_limited(wait_s: int, limit: int, window_s: int, what: str = "requests") -> Problem:
    """Too many requests, or too many of `what`: not more than `limit` in `window_s` seconds."""
    return Problem(
        429,
        "rate_limited",
        f"Not more than {limit} {what} in {window_s} s. Retry in {wait_s} s.",
        headers={"Retry-After": str(wait_s)},
        limit=limit,
        window_seconds=window_s,
        retry_after_seconds=wait_s,
    )


def not_found(what: str, id_: str) -> Problem:
    """There is no such thing in this organisation."""
    return Problem(404, "not_found", f"There is no {what} {id_}.", what=what, id=id_)


def invalid(field: str, reason: str, **facts: Any) -> Problem:
    """A value that cannot be right."""
    return Problem(422, "invalid_value", f"{field} {reason}.", field=field, **facts)


def fault() -> Problem:
    """Something of ours is wrong; the log says what, the answer does not."""
    return Problem(500, "internal_error", "The service failed on this request.")


def _later(code: str, detail: str) -> Problem:
    return Problem(503, code, detail, headers={"Retry-After": str(RETRY_AFTER_S)})


class ProblemDetails(BaseModel):
    """An error (RFC 9457). Codes are an open list: an unknown one means refused. The numbers involved come beside."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | None = None


PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Refused",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
    }
}
