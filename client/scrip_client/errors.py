"""What can go wrong, one type for each thing that a caller may do about it. Codes are an open list."""

from typing import Any

from scrip_client.answers import Action, Alternative, Amount, Check, Quote
from scrip_client.decoding import decode


class ScripError(Exception):
    """Scrip refused or failed. `code` is stable, `detail` a sentence for people, `facts` the whole problem document."""

    def __init__(
        self, detail: str, *, code: str = "error", status: int | None = None, facts: dict[str, Any] | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.status = status
        self.facts: dict[str, Any] = facts or {}


class InsufficientResources(ScripError):
    """Something that is needed is short; nothing was held and nothing is charged (402)."""

    @property
    def reason(self) -> str:
        """Why: `insufficient_credits`, `insufficient_storage`, `group_limit` … (an open list)."""
        return str(self.facts.get("reason", self.code))

    @property
    def checks(self) -> list[Check]:
        """Every resource's answer, those with enough included."""
        found = self.facts.get("checks")
        if found is None:
            return [self._only()]
        return [decode(Check, each) for each in found]

    @property
    def short(self) -> list[Check]:
        """The resources that are short, the reason's first."""
        return sorted((check for check in self.checks if not check.ok), key=lambda check: check.reason != self.reason)

    @property
    def alternatives(self) -> list[Alternative]:
        """Priced options that would run now."""
        return [decode(Alternative, each) for each in self.facts.get("alternatives", [])]

    @property
    def actions(self) -> list[Action]:
        """Ways out for the person: label and link."""
        return [decode(Action, each) for each in self.facts.get("actions", [])]

    @property
    def quote(self) -> Quote | None:
        """What it would take, where the whole generation was assessed."""
        return decode(Quote, self.facts["quote"]) if "quote" in self.facts else None

    def _only(self) -> Check:
        """The answer of a call that needs one resource alone, in the form of the others."""
        numbers: dict[str, Amount | None] = {
            name: self.facts.get(told)
            for name, told in (("needed", "required"), ("available", "available"), ("deficit", "deficit"))
        }
        return Check(
            resource=self.code.removeprefix("insufficient_"),
            ok=False,
            reason=self.code,
            message=self.detail,
            needed=numbers["needed"] or 0,
            available=numbers["available"],
            deficit=numbers["deficit"] or 0,
        )


class Unauthenticated(ScripError):
    """The token or API key is missing, wrong, expired or revoked (401)."""


class Forbidden(ScripError):
    """The role may not do that, or another organisation was named (403)."""


class NotFound(ScripError):
    """There is no such thing in this organisation (404)."""


class Conflict(ScripError):
    """Not in this state: it has ended, it has started, the id exists, what was read is stale (409, 412)."""


class InvalidValue(ScripError):
    """A value that cannot be right (400, 413, 415, 422)."""

    @property
    def field(self) -> str | None:
        """Which one."""
        return self.facts.get("field")

    @property
    def limit(self) -> Any:
        """What it may be at most, at least or of, where there is such a thing."""
        return self.facts.get("limit")


class RateLimited(ScripError):
    """Too many requests; nothing was done (429). `retry_after`: seconds to wait."""

    retry_after: float = 1.0


class Unavailable(ScripError):
    """No definite answer came in time. With `outcome_unknown` the call may have been applied: repeat it with its key.

    `key` is the idempotency key that it was sent under, `retry_after` what the service asked for, in seconds.
    """

    outcome_unknown: bool = False
    retry_after: float | None = None
    key: str | None = None


class UnexpectedAnswer(ScripError):
    """An answer that is not Scrip's: another service at this address, or a proxy's own page."""


class JournalError(ScripError):
    """The journal's file is in use by another client, or cannot be used as a journal."""


class InputBlocked(Exception):
    """Raise it in a generation's block where the provider refused the prompt: the generation fails `input_blocked`."""


class OutputBlocked(Exception):
    """Raise it in a generation's block where the provider withheld the result: it fails `output_blocked`."""


_BY_STATUS: dict[int, type[ScripError]] = {
    400: InvalidValue,
    401: Unauthenticated,
    402: InsufficientResources,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: Conflict,
    413: InvalidValue,
    415: InvalidValue,
    422: InvalidValue,
    429: RateLimited,
}


def error_of(status: int, body: Any, retry_after: float | None = None) -> ScripError:
    """The error that an answer is. An unknown code is a refusal like any other of its status."""
    if not (isinstance(body, dict) and "code" in body):
        return UnexpectedAnswer(f"The answer {status} is no problem document.", code="unexpected", status=status)
    code = str(body["code"])
    detail = str(body.get("detail") or body.get("title") or code)
    kind = _BY_STATUS.get(status, Unavailable if status >= 500 else ScripError)
    error = kind(detail, code=code, status=status, facts=body)
    if isinstance(error, RateLimited):
        error.retry_after = retry_after if retry_after is not None else 1.0
    if isinstance(error, Unavailable):
        error.retry_after = retry_after
    return error
