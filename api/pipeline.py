"""From a request's bytes to a command and from its outcome to an answer: one code for single calls and batches."""

from functools import partial
from typing import Any, NamedTuple

import msgspec
from pydantic import TypeAdapter, ValidationError

from api.counting import count_open
from api.database import UNREACHABLE
from api.fields import MAX_BODY
from api.guard import ORGANISATION_NAMES, Head, other_organisation
from api.in_use import release
from api.large_bodies import Room
from api.operation import Call, Operation
from api.problems import Problem, away, disk_full, refused, turned_away, unknown_outcome
from api.services import Services
from api.strict_json import MAX_DEPTH, strict_json
from domain.organisations.refusals import NotCounted
from infra.security.principal import Principal
from infra.writer.submission import KeyReused, Outcome, OutcomeUnknown, Overloaded, Submission

OWN = ""  # the name of an operation's only text
JSON_TYPES = (b"application/json", b"application/merge-patch+json")


class Read(NamedTuple):
    """A body that was read: as the operation's model, and in the one form that is hashed."""

    body: Any
    canonical: bytes


async def receive_body(receive: Any, head: Head, limit: int = MAX_BODY, room: Room | None = None) -> bytes:
    """The body, counted while it comes in. `room`: for what is above MAX_BODY.

    Raises Problem (413, 415, 400 where the caller went away; 429, 503 where there is no room).
    """
    _check_head(head, limit, room)
    message = await receive()
    body: bytes = message.get("body", b"")
    if room is not None and len(body) > MAX_BODY:
        room.take(len(body))
    if message.get("more_body"):
        parts, size = [body], len(body)
        while message.get("more_body") and size <= limit:
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if room is not None and MAX_BODY < size <= limit:
                room.take(size)
        body = b"".join(parts)
    if message["type"] == "http.disconnect":
        raise Problem(400, "incomplete", "The request ended before its body was complete.")
    if len(body) > limit:
        raise _too_large(limit)
    if body and head.content_type is not None and not _is_json(head.content_type):
        raise Problem(415, "unsupported_media_type", "The body must be application/json in UTF-8.")
    return body


def _check_head(head: Head, limit: int, room: Room | None) -> None:
    """Raises Problem for a body that need not be read (413, 415), or for which there is no room now (429, 503)."""
    length = head.content_length
    if length is not None and (not length.isdigit() or int(length) > limit):
        raise _too_large(limit)
    if head.content_encoding not in (None, b"identity"):
        raise Problem(415, "unsupported_encoding", "The body must not be compressed.")
    if room is not None and length is not None and int(length) > MAX_BODY:
        room.look(int(length))


def read_body(
    adapter: TypeAdapter[Any], call: Call, raw: bytes, max_depth: int = MAX_DEPTH, *, none_said: bool = True
) -> Read:
    """No body is an empty object. Raises Problem (400, 403, 422), also for one that is absent and not `none_said`."""
    value = strict_json(raw, max_depth) if raw else {}
    if not isinstance(value, dict):
        raise Problem(422, "invalid_value", "The body must be a JSON object.")
    try:
        body = adapter.validate_json(raw or b"{}")
    except ValidationError as error:
        raise invalid_body(error, call.principal) from None
    if not raw and not none_said:
        raise Problem(
            400,
            "body_missing",
            "The body says how much, and none came. Send {} for all that is left, or Content-Length: 0"
            " without a Content-Type.",
        )
    return Read(body, msgspec.json.encode(value, order="deterministic"))


def says_none(head: Head) -> bool:
    """Whether a request says itself that it has no body; one that only lacks it may have lost it on the way."""
    return head.content_length == b"0" and head.content_type is None


def idempotency_key(head: Head) -> str | None:
    """The request's key: 1 to 255 visible ASCII characters. Raises Problem (400)."""
    if head.key is None:
        return None
    if not 1 <= len(head.key) <= 255 or any(not 0x21 <= byte <= 0x7E for byte in head.key):
        raise Problem(
            400,
            "invalid_idempotency_key",
            "The key must be 1 to 255 visible ASCII characters.",
            field="Idempotency-Key",
        )
    return head.key.decode()


def fingerprint(services: Services, method: str, path: str, canonical: bytes) -> bytes:
    """Tells the same request from another under one key; a stored one cannot be searched for its body (HMAC)."""
    keyed = services.fingerprints.copy()
    keyed.update(b"%b\n%b\n%b" % (method.encode(), path.encode(), canonical))
    return keyed.digest()


def sealable(operation: Operation, body: Any) -> dict[str, dict[str, Any]]:
    """The body's personal texts by name, the empty name for an operation's only one; none that are empty."""
    if operation.texts is None:
        texts = {OWN: {name: getattr(body, name) for name in operation.private}}
    else:
        texts = operation.texts(body)
    return {name: text for name, text in texts.items() if any(value is not None for value in text.values())}


def whose(operation: Operation, call: Call, body: Any) -> tuple[str, str]:
    """The organisation and the owner whose key seals a call's texts."""
    return operation.org or call.org, operation.owner(call, body).owner


def seal(services: Services, org: str, owner: str, texts: dict[str, dict[str, Any]]) -> dict[str, str | None]:
    """The sealed forms of personal texts. May block: a key may have to be read or made."""
    return {name: services.sealer.seal(org, owner, text) for name, text in texts.items()}


def submission(
    services: Services,
    operation: Operation,
    call: Call,
    read: Read,
    key: str | None,
    path: str,
    sealed: dict[str, str | None],
) -> Submission:
    """The command on its way into the ledger. Raises Problem for what only building it finds out."""
    command = operation.build(call, read.body, sealed.get(OWN) if operation.texts is None else sealed)
    org, actor = operation.org or call.org, call.principal.actor
    if key is None:
        return Submission(org=org, command=command, actor=actor, caller=actor)
    print_ = fingerprint(services, operation.method, path, read.canonical)
    return Submission(org=org, command=command, actor=actor, caller=actor, key=key, fingerprint=print_)


def require_room(services: Services) -> None:
    """Raises Problem (503) where the disk is full: before a request is counted, which writes too."""
    if services.ledger.writer.disk.full:
        raise disk_full()


async def prepare(
    services: Services, operation: Operation, call: Call, read: Read, key: str | None, path: str
) -> Submission:
    """`submission` once all is looked up, with the personal text sealed. Raises Problem."""
    operation.check(call, read.body)
    if operation.begins is not None:
        await services.room.take(call.org, operation.begins(call, read.body))
    if operation.look is not None:
        call = await operation.look(services, call, read.body)
    texts = sealable(operation, read.body)
    sealed: dict[str, str | None] = {}
    if texts:
        org, owner = whose(operation, call, read.body)
        work = partial(seal, services, org, owner, texts)
        try:
            # A thread costs more than sealing a text; only reading a key would hold up everybody.
            sealed = work() if services.sealer.knows(org, owner) else await services.threads.run(work)
        except UNREACHABLE as error:
            raise away(error) from None
    return submission(services, operation, call, read, key, path, sealed)


async def execute(services: Services, item: Submission) -> Outcome:
    """Run one command. Raises Problem; a copy of a request that is still in flight at its deadline is 409.

    The first limit on what is open is set once all of that is counted.
    """
    outcome = await _once(services, item)
    if outcome.refusal is None or outcome.refusal.code != NotCounted.code:
        return outcome
    await count_open(services, item.org, str(outcome.refusal.facts["resource"]), item.actor)
    return await _once(services, item)


async def _once(services: Services, item: Submission) -> Outcome:
    if item.fingerprint is None:
        return await _run(services, item, copy=False)
    name = (item.org, item.caller, item.key)
    copy = services.in_flight[name] > 0
    services.in_flight[name] += 1
    try:
        return await _run(services, item, copy=copy)
    finally:
        release(services.in_flight, name)


async def _run(services: Services, item: Submission, *, copy: bool) -> Outcome:
    try:
        return await services.ledger.execute(item)
    except KeyReused:
        raise key_reused() from None
    except OutcomeUnknown:
        if copy:
            raise Problem(409, "in_progress", "The same request is still being worked on.") from None
        raise unknown_outcome() from None
    except Overloaded as error:
        raise turned_away(error) from None


def count(services: Services, operation: Operation, call: Call, body: Any, outcome: Outcome) -> None:
    """Note a command that took nothing. One that was answered before has written nothing now."""
    if outcome.refusal is not None:
        if not outcome.replayed:
            services.free_writes.count(call.principal, call.org)
    elif operation.free(body) and not outcome.replayed:
        services.free_writes.count_accepted(call.principal, call.org)


async def answer_of(
    services: Services, operation: Operation, call: Call, body: Any, outcome: Outcome
) -> tuple[int, dict[str, Any]]:
    """Status and body for an outcome, refusals included: a pure function of it (but for being counted).

    Raises Problem (503) where an operation must look something up for its answer.
    """
    if outcome.refusal is None and operation.tell is not None:
        return operation.status, await operation.tell(services, call, body, outcome)
    if outcome.refusal is None:
        return operation.status, operation.answer(outcome)
    services.metrics.refused(operation.name, outcome.refusal.code)
    told = operation.refused(outcome)
    if told is not None:
        return operation.status, told
    refusal = outcome.refusal
    if operation.facts is not None:
        refusal = refusal._replace(facts=operation.facts(services, call, outcome))
    problem = refused(refusal)
    return problem.status, problem.body()


def key_reused() -> Problem:
    """The key stands for another request."""
    return Problem(
        422, "idempotency_key_reused", "The Idempotency-Key was used for another request.", field="Idempotency-Key"
    )


def invalid_body(error: ValidationError, principal: Principal) -> Problem:
    """The first thing that is wrong with a body, by the path to it; naming another organisation is forbidden."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])[:200]
    if first["type"] == "extra_forbidden" and field in ORGANISATION_NAMES and first["input"] != principal.org:
        return other_organisation()
    limits = {
        name: value
        for name, value in (first.get("ctx") or {}).items()
        if name in {"ge", "le", "gt", "lt", "min_length", "max_length", "expected", "pattern"}
    }
    limit = next(
        (limits[name] for name in ("le", "max_length", "ge", "min_length", "expected") if name in limits), None
    )
    reason = first["msg"].removeprefix("Value error, ")
    detail = f"{field}: {reason}." if field else f"The body {reason}."
    codes = {"extra_forbidden": "unknown_field", "missing": "missing_field"}
    return Problem(422, codes.get(first["type"], "invalid_value"), detail, field=field or None, limit=limit)


def _is_json(content_type: bytes) -> bool:
    kind, _, parameters = content_type.lower().partition(b";")
    charset = parameters.partition(b"charset=")[2].partition(b";")[0].strip(b' "')
    return kind.strip() in JSON_TYPES and charset in (b"", b"utf-8", b"utf8", b"us-ascii")


def _too_large(limit: int) -> Problem:
    return Problem(413, "body_too_large", f"The body is larger than {limit} bytes.", limit=limit)
