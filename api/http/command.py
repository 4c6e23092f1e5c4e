"""From a call to a command and from its outcome to an answer: one code for single calls and batches."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from api.http.caller import Call, Head, admit, read_head
from api.http.database import UNREACHABLE
from api.http.endpoint import (
    JSON,
    POSITION,
    REPLAYED,
    Answer,
    Endpoint,
    declare,
    idempotency_key,
    receive_body,
    room_of,
    send_bytes,
    shaped,
)
from api.http.limits import Begins
from api.http.policy import Rule
from api.http.problems import (
    MEDIA_TYPE,
    RETRY_AFTER_S,
    UNDECIDED,
    Problem,
    away,
    disk_full,
    not_yet_visible,
    rate_limited,
    refused,
    undecided,
)
from api.http.services import Services
from api.in_use import release
from domain.credits.address import Address, parse_address
from domain.generations.count import MOST_AT_ONCE, CountEarlier, StartCounting
from domain.organisations.refusals import NotCounted
from domain.quotas.counted import stream_of
from domain.resources.table import RESOURCES
from infra.position import format_position
from infra.security.principal import Role
from infra.security.rates import Limit
from infra.writer.submission import KeyReused, NotApplied, Outcome, OutcomeUnknown, Submission

# What was open before counting started is among it once the read models have reached that. What it has beside, because
# they are behind with what was counted or ended since, is left alone by the command.
_OF_STATUS = """(select g.id, g.created_position from read.generations g
    where g.org = %(org)s and g.status = '{}' and g.created_position between %(first)s and %(last)s and not exists (
        select 1 from read.use_holds h where h.org = g.org and h.stream = %(stream)s and h.generation_id = g.id)
    order by g.created_position limit %(most)s)"""
_NOT_COUNTED = (
    f"select * from ({_OF_STATUS.format('held')} union all {_OF_STATUS.format('running')}) found"
    " order by created_position limit %(most)s"
)


async def count_open(services: Services, org: str, resource: str, actor: str) -> None:
    """Count all that is open, a slice at a time. It can be repeated, and goes on where another one was killed.

    Raises Problem: 503 where the read models do not come up in time or nothing can be reached, 409 where more is open
    than one stream may hold.
    """
    try:
        await _count(services, org, resource, actor)
    except UNREACHABLE as error:
        raise away(error) from None
    except UNDECIDED as error:
        raise undecided(error) from None


def limited_by(commands: Iterable[Any]) -> set[str]:
    """The resources on which the commands set a limit and that must be counted before it."""
    found: set[str] = set()
    for given in filter(None, (getattr(command, "settings", None) for command in commands)):
        found.update(name for setting, name in RESOURCES.counting.items() if given.get(setting.name) is not None)
    return found


async def _count(services: Services, org: str, resource: str, actor: str) -> None:
    outcome = await _counted(services, org, actor, StartCounting(resource=resource))
    if outcome.result_state:
        return
    if not await services.visible.reached(outcome.partition, outcome.position):
        raise not_yet_visible()
    asked = {"org": org, "stream": stream_of(resource), "most": MOST_AT_ONCE, "first": 0, "last": outcome.position}
    last = False
    while not last:
        rows = await services.rows(_NOT_COUNTED, asked)
        ids = tuple(row["id"] for row in rows)
        last = len(ids) < MOST_AT_ONCE
        await _counted(services, org, actor, CountEarlier(resource=resource, generation_ids=ids, last=last))
        if rows:
            asked["first"] = rows[-1]["created_position"] + 1


async def _counted(services: Services, org: str, actor: str, command: StartCounting | CountEarlier) -> Outcome:
    outcome = await services.ledger.execute(Submission(org=org, command=command, actor=actor, caller=actor))
    if outcome.refusal is not None:
        raise refused(outcome.refusal)
    return outcome


async def within_rate(call: Call) -> None:
    """Let the call pass or raise Problem (429; 503 where the count cannot be made: it never passes uncounted).

    Whatever makes a generation counts for its caller, by whichever call it does so. A user's own token has the limit;
    workers, admins and API keys have one only where it is configured.
    """
    settings = call.services.settings
    requests = settings.rate_limit if call.principal.role is Role.USER else settings.rate_limit_programs
    if not requests:
        return
    limit = Limit(requests, settings.rate_window_s)
    try:
        wait_s = await call.services.rates.wait_s(call.org, call.principal.actor, limit, call.key)
    except UNREACHABLE as error:
        raise away(error) from None
    if wait_s:
        raise rate_limited(wait_s, limit.requests, limit.window_s)


PERSONAL = ("prompt", "reason", "metadata", "error_message")  # fields of bodies that are stored sealed
OWN = ""  # the name of a command's only text
_LATER = {"Retry-After": str(RETRY_AFTER_S)}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The ETag of an earlier answer; 412 where the thing has changed since.",
    "schema": {"type": "string"},
}

Sealed = str | None


@dataclass(kw_only=True, eq=False)
class Command(Endpoint):
    """A call that becomes one command.

    `handler` makes the command from the call, its body and the sealed form of the body's personal fields; where there
    are `texts`, each sealed separately, from their sealed forms by name. `account` says whose key seals them; `org`
    overrides the caller's organisation.

    `answer` makes the answer from the outcome; `event` takes its place where the answer's fields are those of an event
    of this type; `tell` where the outcome alone does not say it all: it must answer a replay the same. An answer
    without `position` gets that of the outcome.

    `check` raises Problem for what call and body show only together. `look` finds out what must be known before the
    command can be made, and may raise Problem. `makes` is the id of a generation that the caller has chosen, with its
    user, for what follows in the same batch. `facts` are what a refusal says, where it is not the decision's own.
    `refused` answers a refusal with `status`, for a call that asks whether something is allowed; None: it is a problem.
    """

    answer: Callable[[Outcome], Answer] | None = None
    event: type | None = None
    tell: Callable[[Call, Any, Outcome], Awaitable[Answer]] | None = None
    refused: Callable[[Outcome], Answer | None] = lambda _outcome: None
    facts: Callable[[Call, Outcome], dict[str, Any]] | None = None
    account: Callable[[Call, Any], str] = lambda call, _body: call.address
    org: str | None = None
    check: Callable[[Call, Any], object] = lambda _call, _body: None
    look: Callable[[Call, Any], Awaitable[Call]] | None = None
    makes: Callable[[Call, Any], tuple[str, str] | None] = lambda _call, _body: None
    texts: Callable[[Any], dict[str, dict[str, Any]]] | None = None
    limited: Callable[[Any], bool] = lambda _body: False  # whether a body makes a generation: the rate limit counts it
    free: Callable[[Any], bool] = lambda _body: False  # whether it takes nothing from a user even where it is accepted
    begins: Callable[[Call, Any], Begins] | None = None  # what is there for ever afterwards, where it is new
    sized: bool = False  # its body says how much, and by default it is all that is left: a lost body would charge it

    def _inspect(self) -> None:
        super()._inspect()
        if sum(each is not None for each in (self.answer, self.event, self.tell)) != 1:
            raise TypeError(f"{self.name} needs one of `answer`, `event` and `tell`")
        self.keyed = self.method == "POST"
        self.private = tuple(name for name in PERSONAL if name in self.body.model_fields)

    async def respond(self, services: Services, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises Problem."""
        head = read_head(scope)
        call = await admit(services, self.may, scope, head)
        room = room_of(scope, call)
        if room is not None:  # a large body is not read and kept for who must wait
            services.free_writes.check(call.principal, call.org)
        raw = await receive_body(receive, head, self.max_bytes, room)
        body = self.read_body(call, raw)
        if not raw and self.sized and not _says_none(head):
            raise _body_missing()
        if self.keyed:
            call.key = idempotency_key(head)
        require_room(services)
        services.free_writes.check(call.principal, call.org)  # others of the caller may have come meanwhile
        if self.limited(body):
            await within_rate(call)
        item = await self.prepare(call, body)
        outcome = await execute(services, item)
        self.count(call, body, outcome)
        status, answer = await self.answer_of(call, body, outcome)
        headers = REPLAYED if outcome.replayed else _LATER if status == 429 else None
        await send_bytes(send, status, msgspec.json.encode(answer), JSON if status < 400 else MEDIA_TYPE, headers)

    async def prepare(self, call: Call, body: Any) -> Submission:
        """`submission` once all is looked up, with the personal text sealed. Raises Problem."""
        self.check(call, body)
        services = call.services
        if self.begins is not None:
            await services.room.take(call.org, self.begins(call, body))
        if self.look is not None:
            call = await self.look(call, body)
        texts = self.sealable(body)
        sealed: dict[str, Sealed] = {}
        if texts:
            org, owner = self.whose(call, body)
            work = partial(seal, services, org, owner, texts)
            try:
                # A thread costs more than sealing a text; only reading a key would hold up everybody.
                sealed = work() if services.sealer.knows(org, owner) else await services.threads.run(work)
            except UNREACHABLE as error:
                raise away(error) from None
        return self.submission(call, body, sealed)

    def owner(self, call: Call, body: Any) -> Address:
        """The account that the command is about, whose owner's key protects its text."""
        return parse_address(self.account(call, body))

    def sealable(self, body: Any) -> dict[str, dict[str, Any]]:
        """The body's personal texts by name, the empty name for a command's only one; none that are empty."""
        own = {OWN: {name: getattr(body, name) for name in self.private}}
        texts = own if self.texts is None else self.texts(body)
        return {name: text for name, text in texts.items() if any(value is not None for value in text.values())}

    def whose(self, call: Call, body: Any) -> tuple[str, str]:
        """The organisation and the owner whose key seals a call's texts."""
        return self.org or call.org, self.owner(call, body).owner

    def submission(self, call: Call, body: Any, sealed: dict[str, Sealed]) -> Submission:
        """The command on its way into the ledger. Raises Problem for what only making it finds out."""
        command = self.handler(call, body, sealed.get(OWN) if self.texts is None else sealed)
        return call.submission(command, org=self.org)

    def count(self, call: Call, body: Any, outcome: Outcome) -> None:
        """Note a command that took nothing."""
        count_free(call, outcome, free=self.free(body))

    async def answer_of(self, call: Call, body: Any, outcome: Outcome) -> tuple[int, dict[str, Any]]:
        """Status and body for an outcome, refusals included: a pure function of it (but for being counted).

        Raises Problem (503) where something must be looked up for the answer.
        """
        refusal = outcome.refusal
        if refusal is None:
            accepted = await self._answer(call, body, outcome)
            accepted.setdefault(POSITION, format_position(outcome.position))
            return self.status, accepted
        call.services.metrics.refused(self.name, refusal.code)
        answer = self.refused(outcome)
        if answer is not None:
            return self.status, answer
        if self.facts is not None:
            refusal = refusal._replace(facts=self.facts(call, outcome))
        problem = refused(refusal)
        return problem.status, problem.body()

    async def _answer(self, call: Call, body: Any, outcome: Outcome) -> Answer:
        if self.tell is not None:
            return await self.tell(call, body, outcome)
        if self.answer is not None:
            return self.answer(outcome)
        return shaped(self.answers, outcome.one(self.event))  # type: ignore[arg-type]  # one of the three is given

    def _extra(self) -> dict[str, Any] | None:
        return super()._extra() or {"parameters": [_IF_MATCH]}


def command(call: str, may: Rule, answers: type[Any], **options: Any) -> Callable[[Callable[..., Any]], Command]:
    """Declare the maker of a command as an endpoint. `call`: method and path."""
    return declare(Command, call, may, answers, **options)


def count_free(call: Call, outcome: Outcome, *, free: bool = False) -> None:
    """Note a command that was refused or is `free`. One that was answered before has written nothing now."""
    if outcome.replayed:
        return
    if outcome.refusal is not None:
        call.services.free_writes.count(call.principal, call.org)
    elif free:
        call.services.free_writes.count_accepted(call.principal, call.org)


def _says_none(head: Head) -> bool:
    """Whether a request says itself that it has no body; one that only lacks it may have lost it on the way."""
    return head.content_length == b"0" and head.content_type is None


def _body_missing() -> Problem:
    return Problem(
        400,
        "body_missing",
        "The body says how much, and none came. Send {} for all that is left, or Content-Length: 0"
        " without a Content-Type.",
    )


def seal(services: Services, org: str, owner: str, texts: dict[str, dict[str, Any]]) -> dict[str, str | None]:
    """The sealed forms of personal texts. May block: a key may have to be read or made."""
    return {name: services.sealer.seal(org, owner, text) for name, text in texts.items()}


def require_room(services: Services) -> None:
    """Raises Problem (503) where the disk is full: before a request is counted, which writes too."""
    if services.ledger.writer.disk.full:
        raise disk_full()


async def execute(services: Services, item: Submission) -> Outcome:
    """Run one command. Raises Problem; a copy of a request that is still in flight at its deadline is 409.

    The first limit on what is open is set once all of that is counted.
    """
    outcome = await _once(services, item)
    if outcome.refusal is None or outcome.refusal.code != NotCounted.code:
        return outcome
    await count_open(services, item.org, str(outcome.refusal.facts["resource"]), item.actor)
    return await _once(services, item)


async def execute_all(
    services: Services, items: list[Submission], *, atomic: bool = False
) -> list[Outcome | KeyReused | NotApplied]:
    """Run many commands together. Raises Problem."""
    try:
        return await services.ledger.execute_all(items, atomic=atomic)
    except UNDECIDED as error:
        raise undecided(error) from None


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
    except UNDECIDED as error:
        if copy and isinstance(error, OutcomeUnknown):
            raise Problem(409, "in_progress", "The same request is still being worked on.") from None
        raise undecided(error) from None


def key_reused() -> Problem:
    """The key stands for another request."""
    return Problem(
        422, "idempotency_key_reused", "The Idempotency-Key was used for another request.", field="Idempotency-Key"
    )
