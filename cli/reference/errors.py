"""The page of refusals: every code with which the ledger says no, its status and what it means."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import getdoc

import domain.registry  # noqa: F401 - with it every refusal is known
from api.problems import refused
from cli.reference.markdown import head, table
from domain.refusal import Refusal
from infra.writer.submission import Refused

INTRODUCTION = """Errors are `application/problem+json` (RFC 9457) with a stable `code`, a sentence as `detail`, and
the numbers of the decision. Codes are an open list: treat an unknown one as refused. These are
what the ledger decided: they are kept under the request's idempotency key and come again with it,
those with 422 excepted. What the API says before the ledger is asked (400, 401, 403, 413, 415,
429) and when it cannot know (503) is never kept.

The ways out of each are in [Integrate an
application](../how-to/application-engineer.md#answers-that-are-not-a-success)."""


def page() -> str:
    """The whole page."""
    rows: dict[str, tuple[int, list[str]]] = {}
    for refusal in _all():
        status = refused(Refused(code=refusal.code, kind=refusal.kind, detail="", facts={})).status
        rows.setdefault(refusal.code, (status, []))[1].append(" ".join((getdoc(refusal) or "").split()))
    listed = sorted((status, code, " / ".join(dict.fromkeys(said))) for code, (status, said) in rows.items())
    return (
        head("Refusals", INTRODUCTION)
        + "\n"
        + table(("status", "code", "meaning"), [(str(status), f"`{code}`", said) for status, code, said in listed])
    )


def _all(base: type[Refusal] = Refusal) -> Iterator[type[Refusal]]:
    for each in base.__subclasses__():
        if each.__module__.startswith("domain.") and hasattr(each, "code"):
            yield each
        yield from _all(each)
