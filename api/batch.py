"""Many commands in one request: each is checked as if it came alone, and all go to the ledger together."""

from asyncio import gather
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec
from pydantic import BaseModel, Field, StringConstraints

from api.http.caller import Call, Found, path_values
from api.http.command import Command, count_open, execute_all, key_reused, limited_by, require_room, seal, within_rate
from api.http.database import UNREACHABLE
from api.http.endpoint import Endpoint, Routes, endpoint
from api.http.fields import Body
from api.http.policy import DENIED, May, authorise, denied
from api.http.problems import Problem, away
from api.http.services import Services
from api.rounds import Stretches
from infra.strict_json import MAX_DEPTH
from infra.writer.submission import KeyReused, NotApplied, Outcome, Submission

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

    __slots__ = ("body", "call", "operation", "sealed")

    def __init__(self, operation: Command, call: Call, body: Any) -> None:
        self.operation, self.call, self.body = operation, call, body
        self.sealed: dict[str, str | None] = {}


def batch_of(endpoints: Iterable[Endpoint]) -> Endpoint:
    """The call that runs commands which are among these endpoints."""
    routes = Routes(each for each in endpoints if isinstance(each, Command))
    depth = MAX_DEPTH + _AROUND

    @endpoint("POST /api/v1/batch", May.SEND_BATCHES, BatchAnswer, max_bytes=MAX_BATCH_BODY, max_depth=depth)
    async def run_batch(call: Call, body: BatchBody) -> dict[str, Any]:
        """Many commands in one request."""
        return await _run(routes, call, body)

    return run_batch


async def _run(routes: Routes, call: Call, body: BatchBody) -> dict[str, Any]:
    services = call.services
    require_room(services)
    services.free_writes.check(call.principal, call.org)
    stretches = Stretches(services.rounds)
    found: list[_Ready | Problem] = []
    for index, item in enumerate(body.operations):
        found.append(await _within_rate(_ready(routes, call, index, item)))
        await stretches.pause()
    found = await _look_up(found)
    ready = [each for each in found if isinstance(each, _Ready)]
    if body.atomic and len(ready) < len(found):
        return {"results": [_refusal(each if isinstance(each, Problem) else _not_applied()) for each in found]}
    try:
        await services.threads.run(_seal_all, services, ready)
    except UNREACHABLE as error:
        raise away(error) from None
    submissions: list[Submission] = []
    for each in ready:
        submissions.append(each.operation.submission(each.call, each.body, each.sealed))
        await stretches.pause()
    for resource in limited_by(each.command for each in submissions):
        await count_open(services, call.org, resource, submissions[0].actor)
    outcomes = iter(await execute_all(services, submissions, atomic=body.atomic))
    results: list[dict[str, Any]] = []
    for one in found:
        results.append(_refusal(one) if isinstance(one, Problem) else await _result(one, next(outcomes)))
        await stretches.pause()
    return {"results": results}


def _ready(routes: Routes, batch: Call, index: int, item: BatchItem) -> _Ready | Problem:
    """Everything that would be checked for the operation alone."""
    path = unquote(item.path)
    try:
        operation, params = routes.find("POST", path)
        if not isinstance(operation, Command):
            raise Problem(
                422, "not_batchable", "The path is not one of a POST that takes part in batches.", field="path"
            )
        authorise(batch.principal, operation.may, path_values(params))
        key = item.idempotency_key or (f"{batch.key}/{index}" if batch.key else None)
        call = replace(batch, params=params, if_match=None, path=path, key=key)
        limit = operation.max_bytes
        if len(msgspec.json.encode(item.body)) > limit:
            raise Problem(413, "body_too_large", f"The body is larger than {limit} bytes.", limit=limit)
        body = operation.read_value(call, item.body)
        operation.check(call, body)
    except Problem as problem:
        if problem.status in DENIED:
            denied(batch.principal, batch.org, f"run_batch[{index}]", problem.status, problem.code)
        return problem
    return _Ready(operation, call, body)


async def _within_rate(each: _Ready | Problem) -> _Ready | Problem:
    """Each generation of a batch counts as if it came alone."""
    if isinstance(each, _Ready) and each.operation.limited(each.body):
        try:
            await within_rate(each.call)
        except Problem as problem:
            return problem
    return each


async def _look_up(found: list[_Ready | Problem]) -> list[_Ready | Problem]:
    """What the operations must know beforehand. What is about a generation that the batch itself makes knows it so."""
    made: dict[str, str] = {}
    for each in found:
        if isinstance(each, _Ready):
            own = each.operation.makes(each.call, each.body)
            if own is not None:
                made[own[0]] = own[1]
    looked: list[_Ready | Problem] = []
    for start in range(0, len(found), LOOKS):
        looked += await gather(*(_looked_up(each, made) for each in found[start : start + LOOKS]))
    return looked


async def _looked_up(each: _Ready | Problem, made: dict[str, str]) -> _Ready | Problem:
    if isinstance(each, Problem):
        return each
    operation, call = each.operation, each.call
    try:
        if operation.begins is not None:
            await call.services.room.take(call.org, operation.begins(call, each.body))
    except Problem as problem:
        return problem
    if operation.look is None:
        return each
    try:
        each.call = await operation.look(call, each.body)
    except Problem as problem:
        owner = made.get(call.params.get("id", ""))
        if problem.status != NOT_FOUND or owner is None:
            return problem
        each.call = replace(call, found=Found(owner=owner))
    return each


def _seal_all(services: Services, ready: list[_Ready]) -> None:
    for each in ready:
        texts = each.operation.sealable(each.body)
        if texts:
            each.sealed = seal(services, *each.operation.whose(each.call, each.body), texts)


async def _result(each: _Ready, result: Outcome | KeyReused | NotApplied) -> dict[str, Any]:
    if isinstance(result, KeyReused):
        return _refusal(key_reused())
    if isinstance(result, NotApplied):
        return _refusal(_not_applied())
    each.operation.count(each.call, each.body, result)
    status, body = await each.operation.answer_of(each.call, each.body, result)
    return {"status": status, "body": body}


def _not_applied() -> Problem:
    return Problem(
        409, "not_applied", "Another operation of the atomic batch was refused, so this one was not applied."
    )


def _refusal(problem: Problem) -> dict[str, Any]:
    return {"status": problem.status, "body": problem.body()}
