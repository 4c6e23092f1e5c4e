"""Many commands in one request: each is checked as if it came alone, and all go to the ledger together."""

import re
from asyncio import gather
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field, StringConstraints

from api.audit_log import DENIED, denied
from api.commands import OPERATIONS
from api.counting import count_open, limited_by
from api.database import UNREACHABLE
from api.fields import Body
from api.guard import path_values
from api.limit import within_rate
from api.operation import Call, Found, Operation
from api.pipeline import Read, answer_of, count, key_reused, read_body, require_room, seal, sealable, submission, whose
from api.policy import authorise
from api.problems import Problem, away, turned_away, unknown_outcome
from api.rounds import Stretches
from api.routing import BodyRoute, Given
from api.services import Services
from api.strict_json import MAX_DEPTH
from infra.writer.submission import KeyReused, NotApplied, Outcome, OutcomeUnknown, Overloaded, Submission

MAX_OPERATIONS = 1_000
MAX_BATCH_BODY = 4_194_304  # 1,000 operations of 4 KiB
NOT_FOUND = 404
LOOKS = 50  # operations for which something is looked up at a time
_AROUND = 3  # levels of the batch's own JSON around each operation's body


class BatchItem(Body):
    """One operation: the path of a POST of this API, its body, and its own idempotency key."""

    path: Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
    body: dict[str, Any] = Field(default_factory=dict)
    idempotency_key: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,255}$")] | None = None


class BatchBody(Body):
    """With `atomic`, all operations are applied or none. What has no key of its own gets one from the batch's."""

    operations: Annotated[list[BatchItem], Field(min_length=1, max_length=MAX_OPERATIONS)]
    atomic: bool = False


class BatchResult(BaseModel):
    """What the operation would have answered alone."""

    status: int
    body: dict[str, Any]


class BatchAnswer(BaseModel):
    """The results in the operations' order."""

    results: list[BatchResult]


class _Ready:
    """An operation that may go to the ledger."""

    __slots__ = ("call", "key", "operation", "path", "read", "sealed")

    def __init__(self, operation: Operation, call: Call, read: Read, key: str | None, path: str) -> None:
        self.operation, self.call, self.read, self.key, self.path = operation, call, read, key, path
        self.sealed: dict[str, str | None] = {}


def _pattern(path: str) -> re.Pattern[str]:
    parts = (f"(?P<{part[1:-1]}>[^/]+)" if part.startswith("{") else re.escape(part) for part in path.split("/"))
    return re.compile("/".join(parts))


_PATHS = [(_pattern(each.path), each) for each in OPERATIONS if each.method == "POST"]


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""
    return [
        BodyRoute(
            "/api/v1/batch",
            _run_batch,
            services,
            "Many commands in one request",
            BatchBody,
            BatchAnswer,
            max_bytes=MAX_BATCH_BODY,
            max_depth=MAX_DEPTH + _AROUND,
        )
    ]


async def _run_batch(given: Given) -> tuple[dict[str, Any], None]:
    services, batch = given.services, given.body
    require_room(services)
    services.free_writes.check(given.call.principal, given.call.org)
    stretches = Stretches(services.rounds)
    found: list[_Ready | Problem] = []
    for index, item in enumerate(batch.operations):
        found.append(await _within_rate(services, _ready(given, index, item)))
        await stretches.pause()
    found = await _look_up(services, found)
    ready = [each for each in found if isinstance(each, _Ready)]
    if batch.atomic and len(ready) < len(found):
        return {"results": [_told(each if isinstance(each, Problem) else _not_applied()) for each in found]}, None
    try:
        await services.threads.run(_seal_all, services, ready)
    except UNREACHABLE as error:
        raise away(error) from None
    submissions: list[Submission] = []
    for each in ready:
        submissions.append(_submission(services, each))
        await stretches.pause()
    for resource in limited_by(each.command for each in submissions):
        await count_open(services, given.call.org, resource, submissions[0].actor)
    outcomes = iter(await _execute(services, submissions, batch.atomic))
    results: list[dict[str, Any]] = []
    for one in found:
        results.append(_told(one) if isinstance(one, Problem) else await _result(services, one, next(outcomes)))
        await stretches.pause()
    return {"results": results}, None


def _ready(given: Given, index: int, item: BatchItem) -> _Ready | Problem:
    """Everything that would be checked for the operation alone."""
    path = unquote(item.path)
    try:
        operation, params = _operation(path)
        authorise(given.call.principal, operation.name, path_values(params))
        call = replace(given.call, params=params, if_match=None)
        raw = msgspec.json.encode(item.body)
        limit = operation.max_bytes
        if len(raw) > limit:
            raise Problem(413, "body_too_large", f"The body is larger than {limit} bytes.", limit=limit)
        read = read_body(operation.adapter, call, raw)
        operation.check(call, read.body)
    except Problem as problem:
        if problem.status in DENIED:
            denied(given.call.principal, given.call.org, f"run_batch[{index}]", problem.status, problem.code)
        return problem
    key = item.idempotency_key or (f"{given.key}/{index}" if given.key else None)
    return _Ready(operation, call, read, key, path)


def _operation(path: str) -> tuple[Operation, dict[str, str]]:
    for pattern, operation in _PATHS:
        match = pattern.fullmatch(path)
        if match:
            return operation, match.groupdict()
    raise Problem(422, "not_batchable", "The path is not one of a POST that takes part in batches.", field="path")


async def _within_rate(services: Services, each: _Ready | Problem) -> _Ready | Problem:
    """Each generation of a batch counts as if it came alone."""
    if isinstance(each, _Ready) and each.operation.limited(each.read.body):
        try:
            await within_rate(services, each.call, each.key)
        except Problem as problem:
            return problem
    return each


async def _look_up(services: Services, found: list[_Ready | Problem]) -> list[_Ready | Problem]:
    """What the operations must know beforehand. What is about a generation that the batch itself makes knows it so."""
    made: dict[str, str] = {}
    for each in found:
        if isinstance(each, _Ready):
            own = each.operation.makes(each.call, each.read.body)
            if own is not None:
                made[own[0]] = own[1]
    looked: list[_Ready | Problem] = []
    for start in range(0, len(found), LOOKS):
        looked += await gather(*(_looked_up(services, each, made) for each in found[start : start + LOOKS]))
    return looked


async def _looked_up(services: Services, each: _Ready | Problem, made: dict[str, str]) -> _Ready | Problem:
    if isinstance(each, Problem):
        return each
    operation = each.operation
    try:
        if operation.begins is not None:
            await services.room.take(each.call.org, operation.begins(each.call, each.read.body))
    except Problem as problem:
        return problem
    if operation.look is None:
        return each
    try:
        each.call = await operation.look(services, each.call, each.read.body)
    except Problem as problem:
        owner = made.get(each.call.params.get("id", ""))
        if problem.status != NOT_FOUND or owner is None:
            return problem
        each.call = replace(each.call, found=Found(owner=owner))
    return each


def _seal_all(services: Services, ready: list[_Ready]) -> None:
    for each in ready:
        texts = sealable(each.operation, each.read.body)
        if texts:
            each.sealed = seal(services, *whose(each.operation, each.call, each.read.body), texts)


def _submission(services: Services, each: _Ready) -> Submission:
    return submission(services, each.operation, each.call, each.read, each.key, each.path, each.sealed)


async def _execute(services: Services, items: list[Submission], atomic: bool) -> list[Outcome | KeyReused | NotApplied]:
    try:
        return await services.ledger.execute_all(items, atomic=atomic)
    except OutcomeUnknown:
        raise unknown_outcome() from None
    except Overloaded as error:
        raise turned_away(error) from None


async def _result(services: Services, each: _Ready, result: Outcome | KeyReused | NotApplied) -> dict[str, Any]:
    if isinstance(result, KeyReused):
        return _told(key_reused())
    if isinstance(result, NotApplied):
        return _told(_not_applied())
    count(services, each.operation, each.call, each.read.body, result)
    status, body = await answer_of(services, each.operation, each.call, each.read.body, result)
    return {"status": status, "body": body}


def _not_applied() -> Problem:
    return Problem(
        409, "not_applied", "Another operation of the atomic batch was refused, so this one was not applied."
    )


def _told(problem: Problem) -> dict[str, Any]:
    return {"status": problem.status, "body": problem.body()}
